"""ONNX Runtime's session of a file with one input, (B, 3, size, size) float32, and one output, (B, D) float32."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from limen.devices import check_threads
from limen.errors import LimenError
from limen.files import explain, file_sha256, open_plain_file
from limen.models.onnx.sidecar import sidecar_of, wrong_sidecar

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
DEPENDS = 0.01  # of a vector's length: rounding is below, networks quantised on the fly are near, BatchNorm in training mode far above


class Argument(NamedTuple):
    """An input or output of a network."""

    name: str
    type: str
    shape: list[int | str | None]


class Session:
    """The network of an ONNX file. `external`: SHA-256 of each file beside it that holds weights of it.

    Raises LimenError for an unusable file or device, and where onnxruntime is not installed.
    """

    def __init__(self, path: Path, device: str, threads: int | None):
        self.path = path
        self._session, self._inputs, self._outputs, self.external = _open(path, device, threads)
        first = self._inputs[0].shape[:1] if self._inputs else []
        self.fixed_batch = first[0] if first and isinstance(first[0], int) else None  # None where it takes any number of images

    def run(self, inputs: np.ndarray) -> np.ndarray:
        """(B, 3, size, size) -> (B, D). A fixed batch is filled up with blank images, whose rows are dropped."""
        count = len(inputs)
        if self.fixed_batch:
            inputs = np.concatenate([inputs, np.zeros((self.fixed_batch - count, *inputs.shape[1:]), np.float32)])
        return self._call(inputs)[:count]

    def _call(self, inputs: np.ndarray) -> np.ndarray:
        return self._session.run(None, {self._inputs[0].name: np.ascontiguousarray(inputs)})[0]

    def try_out(self, size: int) -> int:
        """The length of an embedding. Raises LimenError unless the network takes images of `size` pixels and gives one vector each."""
        try:
            self._check_input(size)
            return self._probe(size)
        except LimenError as error:
            raise LimenError(f"cannot use {self.path}: {error}") from error

    def _check_input(self, size: int) -> None:
        inputs, outputs = self._inputs, self._outputs
        if len(inputs) != 1 or len(outputs) != 1:
            remedy = f"onnx.utils.extract_model({self.path.name!r}, 'one.onnx', ['{inputs[0].name if inputs else ''}'], ['EMBEDDING'])"
            raise LimenError(f"it has inputs {_listed(inputs)} and outputs {_listed(outputs)}; keep one of each: {remedy}")
        shape, wanted = inputs[0].shape, (None, 3, size, size)
        fits = len(shape) == 4 and all(not isinstance(a, int) or b is None or a == b for a, b in zip(shape, wanted, strict=True))
        if not fits or inputs[0].type != "tensor(float)":
            if inputs[0].type == "tensor(float)" and shape[1:] == [3, shape[-1], shape[-1]]:
                raise wrong_sidecar(sidecar_of(self.path), f"size: {size}, but the model's input is {_listed(inputs)}", size=shape[-1])
            last = "; its channels stand last: export it with image.permute(0, 2, 3, 1) in front" if shape[3:] == [3] else "; export it so"
            raise LimenError(f"its input is {_listed(inputs)}, not tensor(float) [batch, 3, {size}, {size}]{last}")

    def _probe(self, size: int) -> int:
        """The length of an embedding. Tries an image beside another and alone, or in a fixed batch beside others: it must give the same."""
        count = self.fixed_batch or 2
        images = np.random.default_rng(0).uniform(-1, 1, (count + 1, 3, size, size)).astype(np.float32)
        images[0] /= 4  # of another contrast, which a network that looks at the whole batch cannot miss
        together = self._try(images[:count])
        alone = self._try(images[np.r_[0, 2 : count + 1]] if self.fixed_batch else images[:1])
        if not np.linalg.norm(alone[0] - together[0]) <= DEPENDS * np.linalg.norm(together[0]):
            raise LimenError(
                "what it gives for an image changes with the images beside it or from run to run; "
                "export it in eval mode, with the statistics of its BatchNorms fixed and without dropout"
            )
        return together.shape[1]

    def _try(self, images: np.ndarray) -> np.ndarray:
        count = len(images)
        try:
            output = self._call(images)
        except Exception as error:  # ONNX Runtime's exceptions have no base class of their own
            raise LimenError(f"it fails on {count} images ({_first_line(error)}); export it again") from error
        if output.ndim != 2 or len(output) != count or output.dtype != np.float32:
            raise LimenError(f"for {count} images it gives {output.dtype} {list(output.shape)}, not float32 [{count}, D]; export it again")
        if not np.isfinite(output).all():
            raise LimenError("what it gives for images at random is not finite; export it again")
        return output


def _open(path: Path, device: str, threads: int | None) -> tuple[Any, list[Argument], list[Argument], dict[str, str]]:
    """ONNX Runtime's session, its inputs and outputs, and the SHA-256 of each file beside the model that holds weights of it."""
    try:
        import onnx
        import onnxruntime
    except ImportError as error:
        raise LimenError(f"{path}: an ONNX file needs onnxruntime ({error}); pip install 'limen[export]'") from error
    if device not in PROVIDERS or PROVIDERS[device] not in onnxruntime.get_available_providers():
        raise LimenError(f"device {device!r} cannot be used here with an ONNX file (this onnxruntime has no provider for it); try cpu")
    try:
        open_plain_file(path).close()
    except LimenError as error:
        raise LimenError(f"cannot load {error}") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = check_threads(threads) or 0
    options.log_severity_level = 4  # its refusals are raised as well as printed
    try:
        external = {name: _weights_file(path, name) for name in sorted(_external_names(onnx.load(path, load_external_data=False)))}
        session = onnxruntime.InferenceSession(path, options, providers=[PROVIDERS[device]])
        inputs, outputs = (  # read here, for names that are not UTF-8 are refused only now
            [Argument(one.name, one.type, one.shape) for one in found] for found in (session.get_inputs(), session.get_outputs())
        )
        return session, inputs, outputs, {name: file_sha256(file) for name, file in external.items()}
    except LimenError:
        raise
    except OSError as error:
        raise LimenError(f"cannot load {path}: {explain(error)}") from error
    except Exception as error:  # ONNX Runtime's and protobuf's exceptions have no base class in common
        raise LimenError(f"cannot load {path}: it is not an ONNX model, or a damaged one ({_first_line(error)})") from error


def _external_names(message: Any) -> Iterator[str]:
    """The names of the files that hold weights, wherever in the model a tensor is: initialisers, constants, subgraphs, functions."""
    if message.DESCRIPTOR.name == "TensorProto":
        yield from (entry.value for entry in message.external_data if entry.key == "location")
        return
    for field, value in message.ListFields():
        if field.type == field.TYPE_MESSAGE:
            for part in value if isinstance(value, Iterable) else (value,):
                yield from _external_names(part)


def _weights_file(model: Path, name: str) -> Path:
    """The file of weights that a model names. Raises LimenError unless it is a plain file below the model's folder, and no link."""
    folder, file = model.parent, model.parent / name
    below = Path(name).parts and not Path(name).is_absolute() and ".." not in Path(name).parts
    if not below or file.resolve() != folder.resolve() / name:
        raise LimenError(f"cannot load {model}: it names weights in {name!r}; only plain files below its own folder are opened, not links")
    if not file.exists():
        raise LimenError(f"cannot load {model}: its file of weights {file} is missing; put it there, it belongs to the model")
    if not file.is_file():
        raise LimenError(f"cannot load {model}: its weights {file} are not a plain file; get the model again")
    return file


def _listed(arguments: list[Argument]) -> str:
    return ", ".join(f"{argument.name} {argument.type} [{', '.join(map(str, argument.shape))}]" for argument in arguments)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
