"""OpenVINO's files, and ONNX files through OpenVINO."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np

from limen.errors import LimenError, LimenWarning
from limen.files import file_sha256, open_plain_file
from limen.models.graphs.graph import METADATA, Graph, Port, first_line
from limen.models.graphs.onnxruntime import beside_and_inside
from limen.models.model import graph_format

HINTS = {"float32": "f32", "bf16": "bf16"}  # OpenVINO chooses bf16 by itself where the CPU has it: it is always told
KINDS = {"f32": "tensor(float)", "u8": "tensor(uint8)"}


def openvino_library() -> Any:
    """The package. Raises LimenError that names the extra where it is not installed."""
    try:
        import openvino
    except ImportError as error:
        raise LimenError(f"this needs OpenVINO ({error}); pip install 'limen[openvino]'") from error
    return openvino


def open_openvino(path: Path, device: str, threads: int | None, precision: str) -> Graph:
    """The graph of an .xml file of OpenVINO's, whose weights lie beside it in the .bin file of that name, or of an ONNX file.

    `precision` "bf16" computes in bfloat16 where the CPU can, and warns where it cannot; otherwise in float32.
    Raises LimenError for an unusable file or device, and where openvino is not installed.
    """
    openvino = openvino_library()
    if device != "cpu":
        raise LimenError(f"device {device!r} cannot be used with OpenVINO here; leave --device, or take another --backend")
    external, inside = beside_and_inside(path) if graph_format(path) == "onnx" else (_weights(path), None)
    properties: dict[str, Any] = {"INFERENCE_PRECISION_HINT": HINTS[precision], "PERFORMANCE_HINT": "LATENCY"}
    if threads is not None:
        properties["INFERENCE_NUM_THREADS"] = threads
    try:
        core = openvino.Core()
        model = core.read_model(path)
        compiled = core.compile_model(model, "CPU", properties)
        chosen = compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name()
    except Exception as error:  # OpenVINO raises RuntimeError and others
        raise LimenError(f"cannot load {path}: it is not a model for OpenVINO, or a damaged one ({first_line(error)})") from error
    found = next(name for name, hint in HINTS.items() if hint == chosen)
    if found != precision:
        warnings.warn(LimenWarning(f"precision {precision}: this CPU has no such arithmetic; OpenVINO computes in {found}"), stacklevel=2)
    return Graph(
        [_port(port) for port in model.inputs],
        [_port(port) for port in model.outputs],
        call=lambda inputs: _call(compiled, inputs),
        runtime=f"openvino {openvino.__version__.split('-')[0]}",
        external=external,
        metadata=model.get_rt_info(METADATA).astype(str) if model.has_rt_info(METADATA) else inside,
        precision=found,
    )


def _weights(path: Path) -> dict[str, str]:
    weights = path.with_suffix(".bin")
    for file in (path, weights):
        try:
            open_plain_file(file).close()
        except LimenError as error:
            beside = "" if file == path else "; the weights of an OpenVINO file lie beside it"
            raise LimenError(f"cannot load {error}{beside}") from error
    return {weights.name: file_sha256(weights)}


def _port(port: Any) -> Port:
    kind = port.element_type.get_type_name()
    shape = [str(side) if side.is_dynamic else side.get_length() for side in port.partial_shape]
    return Port(port.any_name if port.names else "", KINDS.get(kind, f"tensor({kind})"), shape)


def _call(compiled: Any, inputs: np.ndarray) -> list[np.ndarray]:
    found = compiled(np.ascontiguousarray(inputs))
    return [found[place].copy() for place in range(len(compiled.outputs))]  # the next call would write over them


def write_openvino(onnx: Path, path: Path, text: str) -> None:
    """Writes the graph of an ONNX file as OpenVINO's, with the text of the sidecar inside."""
    openvino = openvino_library()
    model = openvino.Core().read_model(onnx)
    model.set_rt_info(text, METADATA)
    openvino.save_model(model, path, compress_to_fp16=False)  # its default halves the weights
