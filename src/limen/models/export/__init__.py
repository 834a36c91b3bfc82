"""A bundle to a file that other runtimes take, proved equal before it is there."""

import os
import tempfile
from pathlib import Path
from typing import Any, Literal

import numpy as np

from limen.errors import LimenError
from limen.files import REFUSALS, explain
from limen.models.embedder import Embedder
from limen.models.export.gate import TOLERANCE, Parity, check_parity, made_images
from limen.models.export.graph import write_metadata, write_onnx
from limen.models.export.int8 import calibration_images, quantise
from limen.models.graphs.embedder import GraphEmbedder
from limen.models.graphs.onnxruntime import onnxruntime_library
from limen.models.graphs.openvino import openvino_library, write_openvino
from limen.models.graphs.sidecar import Exported, Sidecar, sidecar_of, write_sidecar
from limen.models.model import GRAPHS, graph_format

__all__ = ["PRECISIONS", "Parity", "export_model", "export_onnx"]

SUFFIXES = {name: suffix for suffix, name in GRAPHS.items()}
PRECISIONS = {"onnx": ("float32", "int8"), "openvino": ("float32", "bf16", "int8")}


def export_onnx(embedder: Embedder, path: str | Path, **options: Any) -> Parity:
    """Equals `export_model(embedder, path, "onnx", **options)`."""
    return export_model(embedder, path, "onnx", **options)


def export_model(
    embedder: Embedder,
    path: str | Path,
    format: str | None = None,
    *,
    input: Literal["float32", "uint8"] = "float32",
    precision: Literal["float32", "bf16", "int8"] = "float32",
    images: np.ndarray | None = None,
    tolerance: float | None = None,
) -> Parity:
    """Writes the model to `path` and its sidecar beside it, of OpenVINO also its .bin, and returns how far the two differ.

    The graph takes any number of images. Its outputs are `embedding`, a unit vector, `norm` and, where the model has one, `quality`, each
    of the image alone: the mirror image is the caller's. Calibration and operating points go along at float32; other
    precisions move what they rest on.

    Args:
        format: "onnx" or "openvino"; None is what the suffix says, .onnx or .xml.
        input: "uint8" takes the preprocessing inside: (B, size, size, 3) RGB.
        precision: "bf16" (OpenVINO) is what it is computed in; "int8" also what it is stored in.
        images: (N, size, size, 3) uint8 faces for the proof, and for int8 the ranges of its activations; None draws some for the proof.
        tolerance: the largest difference allowed, see Parity; None is TOLERANCE of the precision.

    Raises:
        LimenError: a difference above the tolerance, an unusable path, option or network, a package that is not installed. Then nothing
            is written.
    """
    path = Path(path)
    format = _checked(embedder, path, format, precision)
    judging = images
    if precision == "int8":
        images, judging = calibration_images(images)
    reference = Embedder(embedder.bundle)
    try:
        with tempfile.TemporaryDirectory(prefix=f".{path.stem[:40]}.", dir=path.parent) as folder:
            draft = Path(folder) / path.name
            write_model(reference, draft, format, input, precision, images)
            exported = GraphEmbedder(draft)
            judging = made_images(reference.preprocessing.size) if judging is None else judging
            parity = check_parity(reference, exported, judging, TOLERANCE[precision] if tolerance is None else tolerance)
            for file in _files(draft, format):
                os.replace(file, path.with_name(file.name))
    except REFUSALS as error:
        raise LimenError(f"cannot export to {path}: {explain(error)}") from error
    return parity


def _checked(embedder: Embedder, path: Path, format: str | None, precision: str) -> str:
    """The format. Raises LimenError for what can be told before any work."""
    if not isinstance(embedder, Embedder):
        raise LimenError(f"{embedder!r}: only a bundle can be exported; name the .safetensors that it was made from")
    format = format or graph_format(path)
    if format not in SUFFIXES or path.suffix.lower() != SUFFIXES[format]:
        names = ", ".join(f"{suffix} for {name}" for name, suffix in SUFFIXES.items())
        raise LimenError(f"{path}: the name of an exported model ends in {names}; choose such a name")
    if format == "openvino":
        openvino_library()
    else:
        onnxruntime_library(path)  # it runs the proof
    if precision not in PRECISIONS[format]:
        raise LimenError(f"precision {precision}: {format} files have {', '.join(PRECISIONS[format])}; choose one, or another format")
    if path.is_dir() or not path.parent.is_dir():
        raise LimenError(
            f"cannot export to {path}: {'it is a folder' if path.is_dir() else f'there is no folder {path.parent}'}; choose a file"
        )
    return format


def _files(path: Path, format: str) -> list[Path]:
    """What belongs to an exported model, itself last."""
    weights = [path.with_suffix(".bin")] if format == "openvino" else []
    return [*weights, sidecar_of(path), path]


def write_model(
    reference: Embedder,
    path: Path,
    format: str,
    input: Literal["float32", "uint8"] = "float32",
    precision: Literal["float32", "bf16", "int8"] = "float32",
    images: np.ndarray | None = None,
) -> None:
    """Writes the files of an exported model, unproved, and others beside them: into a folder of its own. `images` are for int8."""
    exported = Exported(input, precision, reference.bundle.weights_sha256, reference.margin)
    calibration = reference.calibration if precision == "float32" else None
    points = reference.operating_points if precision == "float32" else ()
    sidecar = Sidecar(reference.preprocessing, reference.bundle.licence, calibration, exported, points)
    graph = path.with_suffix(".graph.onnx")
    write_onnx(reference.bundle, graph, input == "uint8")
    if precision == "int8" and images is not None:
        quantised = path.with_suffix(".int8.onnx")
        quantise(graph, quantised, images if input == "uint8" else reference.inputs(images).numpy())
        graph = quantised
    if format == "onnx":
        os.replace(graph, path)
        write_metadata(path, sidecar.text)
    else:
        write_openvino(graph, path, sidecar.text)
    write_sidecar(sidecar_of(path), sidecar)
