"""ONNX files through ONNX Runtime."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from limen.errors import LimenError
from limen.files import explain, file_sha256, open_plain_file
from limen.models.graphs.graph import METADATA, Graph, Port, first_line

PROVIDERS = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}


def onnxruntime_library(path: Path) -> Any:
    """The package. Raises LimenError that names the file and the extra where it is not installed."""
    try:
        import onnxruntime
    except ImportError as error:
        raise LimenError(f"{path}: an ONNX file needs onnxruntime ({error}); pip install 'limen[export]'") from error
    return onnxruntime


def open_onnx(path: Path, device: str, threads: int | None, precision: str) -> Graph:
    """The graph of an ONNX file. Raises LimenError for an unusable file or device, and where onnxruntime is not installed.

    It computes as the file says, in no other `precision`.
    """
    onnxruntime = onnxruntime_library(path)
    if device not in PROVIDERS or PROVIDERS[device] not in onnxruntime.get_available_providers():
        raise LimenError(f"device {device!r} cannot be used here with an ONNX file (this onnxruntime has no provider for it); try cpu")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or 0
    options.log_severity_level = 4  # its refusals are raised as well as printed
    external, metadata = beside_and_inside(path)
    try:
        session = onnxruntime.InferenceSession(path, options, providers=[PROVIDERS[device]])
        (name, *_) = [port.name for port in session.get_inputs()] or [""]
        return Graph(
            [Port(port.name, port.type, port.shape) for port in session.get_inputs()],
            [Port(port.name, port.type, port.shape) for port in session.get_outputs()],
            call=lambda inputs: session.run(None, {name: np.ascontiguousarray(inputs)}),
            runtime=f"onnxruntime {onnxruntime.__version__}",
            external=external,
            metadata=metadata,
        )
    except OSError as error:
        raise LimenError(f"cannot load {path}: {explain(error)}") from error
    except Exception as error:  # ONNX Runtime's exceptions have no base class of their own
        raise damaged(path, error) from error


def damaged(path: Path, error: Exception) -> LimenError:
    return LimenError(f"cannot load {path}: it is not an ONNX model, or a damaged one ({first_line(error)})")


def beside_and_inside(path: Path) -> tuple[dict[str, str], str | None]:
    """SHA-256 of each file beside the ONNX file that holds weights of it, and the text of the sidecar where the file itself holds it.

    Raises LimenError for a file of weights that may not be opened.
    """
    try:
        import onnx
    except ImportError as error:
        raise LimenError(f"{path}: an ONNX file needs onnx ({error}); pip install 'limen[export]'") from error
    try:
        open_plain_file(path).close()
    except LimenError as error:
        raise LimenError(f"cannot load {error}") from error
    try:
        model = onnx.load(path, load_external_data=False)
        names = sorted(_external_names(model))
        metadata = next((entry.value for entry in model.metadata_props if entry.key == METADATA), None)
    except OSError as error:
        raise LimenError(f"cannot load {path}: {explain(error)}") from error
    except Exception as error:  # protobuf's exceptions have no base class in common
        raise damaged(path, error) from error
    return {name: file_sha256(_weights_file(path, name)) for name in names}, metadata


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
