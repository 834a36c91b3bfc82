"""An embedder from an ONNX file: any recogniser, whoever trained it, beside a small JSON file that states its preprocessing.

The sidecar of `model.onnx` is `model.onnx.json`. It holds the fields of `limen.models.bundle.Preprocessing`, a `licence`, and `pixels`:
"0..1" where `mean` and `std` are those of `pixel / 255`, "0..255" where they are those of the pixels as they are. None of them may be left
out. A `calibration` is added by `limen calibrate`.
"""

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np

from limen.errors import LimenError
from limen.files import atomic_write, file_sha256
from limen.lookup import did_you_mean
from limen.models.bundle import Preprocessing
from limen.models.embeddings import Embeddings, check_images, embeddings_of
from limen.quality import Calibration

SCALES = {"0..1": 1.0, "0..255": 255.0}
TEMPLATE = asdict(Preprocessing()) | {"pixels": "0..1", "licence": "not stated"}
KINDS = {
    "size": int,
    "colour": str,
    "mean": list,
    "std": list,
    "alignment": str,
    "fusion": str,
    "flip": bool,
    "pixels": str,
    "licence": str,
}
PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
PROBES = 2  # images to try a model of any batch size with: one would not show that it handles several


class OnnxEmbedder:
    """What limen.Embedder is, for an ONNX file with one input, (B, 3, size, size) float32, and one output, (B, D) float32.

    B may be fixed: the last batch is then filled up. The model is tried out when it is loaded. `threads` are ONNX Runtime's own; None is
    one for each core. Raises LimenError for an unusable model, sidecar or device, and where onnxruntime is not installed.
    """

    quality_head = None

    def __init__(self, path: str | Path, device: Any = "cpu", threads: int | None = None):
        self.path = Path(path)
        self._session, self._external = _open(self.path, str(device), threads)
        self.device = str(device)
        self.preprocessing, self.licence, self.calibration = read_sidecar(sidecar_of(self.path))
        try:
            self._fixed_batch = self._check_input()
            self.embedding_size = self._probe()
        except LimenError as error:
            raise LimenError(f"cannot use {self.path}: {error}") from error
        self._sha256 = file_sha256(self.path), file_sha256(sidecar_of(self.path))

    @property
    def description(self) -> dict[str, Any]:
        """The switches of the embeddings, to be printed beside every number made from them."""
        model, sidecar = self._sha256
        return {
            "model_sha256": model,
            "sidecar_sha256": sidecar,
            **({"external_data_sha256": self._external} if self._external else {}),
            "architecture": {"name": "onnx", "embedding_size": self.embedding_size},
            "preprocessing": asdict(self.preprocessing),
            "licence": self.licence,
        }

    def save_calibration(self) -> Path:
        """Writes `calibration` into the sidecar, and returns its path."""
        path = sidecar_of(self.path)
        stated = json.loads(path.read_text(encoding="utf-8")) | {"calibration": self.calibration and asdict(self.calibration)}
        atomic_write(path, lambda temporary: _write(temporary, json.dumps(stated, indent=1)))
        self._sha256 = self._sha256[0], file_sha256(path)
        return path

    def embed(self, images: np.ndarray, flip: bool | None = None, batch_size: int = 64) -> Embeddings:
        """Equals limen.Embedder.embed: (N, size, size, 3) uint8 RGB -> embeddings; `flip=None` is the sidecar's rule.

        `batch_size` is for models of any batch size. `quality` is None.
        """
        check_images(images, self.preprocessing.size)
        flip = self.preprocessing.flip if flip is None else flip
        step = self._fixed_batch or batch_size
        feature = np.zeros((len(images), self.embedding_size), np.float32)
        for start in range(0, len(images), step):
            inputs = self._inputs(images[start : start + step])
            found = self._run(inputs) + self._run(inputs[..., ::-1]) if flip else self._run(inputs)
            feature[start : start + step] = found[: len(inputs)]
        return embeddings_of(feature, flip)

    def _inputs(self, images: np.ndarray) -> np.ndarray:
        """(B, 3, size, size) float32, as the network wants it."""
        preprocessing = self.preprocessing
        channels = images if preprocessing.colour == "RGB" else images[..., ::-1]
        mean, std = np.array(preprocessing.mean, np.float32), np.array(preprocessing.std, np.float32)
        return ((channels / np.float32(255) - mean) / std).transpose(0, 3, 1, 2)

    def _run(self, inputs: np.ndarray) -> np.ndarray:
        """The model's output, with rows for the blank images too that fill up a fixed batch."""
        if self._fixed_batch:
            inputs = np.concatenate([inputs, np.zeros((self._fixed_batch - len(inputs), *inputs.shape[1:]), np.float32)])
        name = self._session.get_inputs()[0].name
        return self._session.run(None, {name: np.ascontiguousarray(inputs)})[0]

    def _check_input(self) -> int | None:
        """The number of images the model takes at a time, None where it takes any."""
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        size = self.preprocessing.size
        if len(inputs) != 1 or len(outputs) != 1:
            raise LimenError(f"it has inputs {_listed(inputs)} and outputs {_listed(outputs)}; export it with one of each")
        shape, wanted = inputs[0].shape, (None, 3, size, size)
        fits = len(shape) == 4 and all(not isinstance(a, int) or b is None or a == b for a, b in zip(shape, wanted, strict=True))
        if not fits or inputs[0].type != "tensor(float)":
            if inputs[0].type == "tensor(float)" and shape[1:] == [3, shape[-1], shape[-1]]:
                raise wrong_sidecar(sidecar_of(self.path), f"size: {size}, but the model's input is {_listed(inputs)}", size=shape[-1])
            raise LimenError(f"its input is {_listed(inputs)}, not tensor(float) [batch, 3, {size}, {size}]; export it so")
        return shape[0] if isinstance(shape[0], int) else None

    def _probe(self) -> int:
        """The length of an embedding. Raises LimenError unless blank images give one each."""
        count, size = self._fixed_batch or PROBES, self.preprocessing.size
        try:
            output = self._run(np.zeros((count, 3, size, size), np.float32))
        except Exception as error:  # ONNX Runtime's exceptions have no base class of their own
            raise LimenError(f"it fails on {count} images ({_first_line(error)}); export it again") from error
        if output.ndim != 2 or len(output) != count or output.dtype != np.float32:
            raise LimenError(f"for {count} images it gives {output.dtype} {list(output.shape)}, not float32 [{count}, D]; export it again")
        return output.shape[1]


def sidecar_of(path: Path) -> Path:
    """`model.onnx` -> `model.onnx.json`."""
    return path.with_name(path.name + ".json")


def read_sidecar(path: Path) -> tuple[Preprocessing, str, Calibration | None]:
    """The preprocessing, the licence and the calibration, if there is one, that a sidecar states.

    Raises LimenError that says in its first line what is wrong, and ends in a whole sidecar to paste.
    """
    try:
        stated = json.loads(path.read_text(encoding="utf-8"))
        parts = _parse(stated)
    except OSError as error:
        reason = f"{error.strerror}; an ONNX file needs this sidecar, which states its preprocessing"
    except ValueError as error:
        reason = f"it is not JSON ({error})"
    except LimenError as error:
        reason = str(error)
    else:
        return *parts, _calibration(path, stated.get("calibration"))
    raise wrong_sidecar(path, reason)


def _calibration(path: Path, stated: Any) -> Calibration | None:
    try:
        return Calibration.from_json(stated) if stated else None
    except (ValueError, TypeError, AttributeError) as error:
        raise LimenError(f"{path}: its calibration is damaged ({error}); take it out and run `limen calibrate` again") from error


def wrong_sidecar(path: Path, reason: str, **known: Any) -> LimenError:
    """An error that ends in a whole sidecar, in which what is `known` is right already."""
    template = "{\n" + ",\n".join(f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in (TEMPLATE | known).items()) + "\n}"
    return LimenError(f"{path}: {reason}; paste this into it and set it to what the model was trained with\n{template}")


def _write(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _parse(stated: Any) -> tuple[Preprocessing, str]:
    if not isinstance(stated, dict):
        raise LimenError(f"it holds a {type(stated).__name__}, not an object")
    for name in stated:
        if name not in (*KINDS, "calibration"):
            raise LimenError(f"{name!r} is not one of its fields; {did_you_mean(name, KINDS)}")
    for name, kind in KINDS.items():
        if name not in stated:
            raise LimenError(f"it lacks {name!r}")
        if type(stated[name]) is not kind:  # True is an int to isinstance
            raise LimenError(f"{name}: {stated[name]!r} is not as in the template")
    if stated["size"] < 1:
        raise LimenError(f"size: {stated['size']} is not a number of pixels")
    if stated["fusion"] != Preprocessing.fusion:
        raise LimenError(f"fusion: {stated['fusion']!r} is not known; limen knows {Preprocessing.fusion!r}")
    if stated["pixels"] not in SCALES:
        raise LimenError(f"pixels: {stated['pixels']!r} is not known; it is {' or '.join(SCALES)}")
    if not all(type(value) in (int, float) for value in stated["mean"] + stated["std"]):
        raise LimenError("mean and std: three numbers each are needed")
    scale = SCALES[stated["pixels"]]
    if not all(0 <= mean <= scale for mean in stated["mean"]) or any(std > scale or 0 < std < 1 < scale for std in stated["std"]):
        raise LimenError(f"mean {stated['mean']} and std {stated['std']} are not of pixels from {stated['pixels']}")
    scaled = {name: tuple(value / scale for value in stated[name]) for name in ("mean", "std")}
    return Preprocessing(**{f.name: stated[f.name] for f in fields(Preprocessing)} | scaled), stated["licence"]


def _open(path: Path, device: str, threads: int | None) -> tuple[Any, dict[str, str]]:
    """ONNX Runtime's session, and the SHA-256 of each file beside the model that holds weights of it."""
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise LimenError(f"{path}: an ONNX file needs onnxruntime ({error}); pip install 'limen[export]'") from error
    if device not in PROVIDERS or PROVIDERS[device] not in onnxruntime.get_available_providers():
        raise LimenError(f"device {device!r} cannot be used here with an ONNX file (this onnxruntime has no provider for it); try cpu")
    if threads is not None and threads < 1:
        raise LimenError(f"threads: {threads} is not a whole number above 0")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.log_severity_level = 4  # its refusals are raised as well as printed
    try:
        tensors = onnx.load(path, load_external_data=False).graph.initializer
        locations = {entry.value for tensor in tensors for entry in tensor.external_data if entry.key == "location"}
        session = onnxruntime.InferenceSession(path, options, providers=[PROVIDERS[device]])
        return session, {location: file_sha256(path.parent / location) for location in sorted(locations)}
    except OSError as error:
        raise LimenError(f"cannot load {path}: {error.strerror or error}; check the path") from error
    except Exception as error:  # ONNX Runtime's and protobuf's exceptions have no base class in common
        raise LimenError(f"cannot load {path}: it is not an ONNX model, or a damaged one ({_first_line(error)})") from error


def _listed(arguments: list[Any]) -> str:
    return ", ".join(f"{argument.name} {argument.type} [{', '.join(map(str, argument.shape))}]" for argument in arguments)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
