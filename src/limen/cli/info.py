"""What a model file holds: architecture, preprocessing, recipe, training, hashes, licence.

limen info model.safetensors
limen info model.safetensors --json
limen info model.onnx
"""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from limen.models.bundle import load_bundle
from limen.models.onnx_embedder import OnnxEmbedder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a bundle that limen wrote, or an ONNX file")


def run(options: argparse.Namespace) -> dict[str, Any]:
    if Path(options.model).suffix.lower() == ".onnx":
        embedder = OnnxEmbedder(options.model)
        description = embedder.description
        calibration = embedder.calibration.summary if embedder.calibration else None
        return {"file": options.model, "sha256": description.pop("model_sha256"), **description, "calibration": calibration}
    bundle = load_bundle(options.model)
    return {
        "file": options.model,
        "sha256": bundle.sha256,
        "weights_sha256": bundle.weights_sha256,
        "architecture": asdict(bundle.architecture),
        "parameters": sum(tensor.numel() for tensor in bundle.tensors.values()),
        "preprocessing": asdict(bundle.preprocessing),
        "quality_head": bundle.quality_head() is not None,
        "calibration": bundle.calibration.summary if bundle.calibration else None,
        "licence": bundle.licence,
        "training": bundle.training,
        "class_names_sha256": bundle.class_names_sha256,
        "source_sha256": bundle.source_sha256,
        "created": bundle.created,
        "recipe": bundle.recipe,
    }


def text(result: dict[str, Any]) -> str:
    plain = result | {"preprocessing": {name: list(v) if isinstance(v, tuple) else v for name, v in result["preprocessing"].items()}}
    return yaml.safe_dump(plain, sort_keys=False).rstrip()
