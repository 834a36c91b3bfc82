"""ONNX Runtime's session of a file with one input, (B, 3, size, size) float32, and one output, (B, D) float32."""

from pathlib import Path
from typing import Any

import numpy as np

from limen.errors import LimenError
from limen.files import file_sha256
from limen.models.onnx.sidecar import sidecar_of, wrong_sidecar

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}
PROBES = 2  # images to try a model of any batch size with: one would not show that it handles several


class Session:
    """The network of an ONNX file. `external`: SHA-256 of each file beside it that holds weights of it.

    Raises LimenError for an unusable file or device, and where onnxruntime is not installed.
    """

    def __init__(self, path: Path, device: str, threads: int | None):
        self.path = path
        self._session, self.external = _open(path, device, threads)
        self._inputs, self._outputs = self._session.get_inputs(), self._session.get_outputs()
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
            raise LimenError(f"it has inputs {_listed(inputs)} and outputs {_listed(outputs)}; export it with one of each")
        shape, wanted = inputs[0].shape, (None, 3, size, size)
        fits = len(shape) == 4 and all(not isinstance(a, int) or b is None or a == b for a, b in zip(shape, wanted, strict=True))
        if not fits or inputs[0].type != "tensor(float)":
            if inputs[0].type == "tensor(float)" and shape[1:] == [3, shape[-1], shape[-1]]:
                raise wrong_sidecar(sidecar_of(self.path), f"size: {size}, but the model's input is {_listed(inputs)}", size=shape[-1])
            raise LimenError(f"its input is {_listed(inputs)}, not tensor(float) [batch, 3, {size}, {size}]; export it so")

    def _probe(self, size: int) -> int:
        count = self.fixed_batch or PROBES
        try:
            output = self._call(np.zeros((count, 3, size, size), np.float32))
        except Exception as error:  # ONNX Runtime's exceptions have no base class of their own
            raise LimenError(f"it fails on {count} images ({_first_line(error)}); export it again") from error
        if output.ndim != 2 or len(output) != count or output.dtype != np.float32:
            raise LimenError(f"for {count} images it gives {output.dtype} {list(output.shape)}, not float32 [{count}, D]; export it again")
        return output.shape[1]


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
