"""What a model file holds: architecture, preprocessing, recipe, training, hashes, licence.

limen info model.safetensors
limen info model.safetensors --json
limen info model.onnx
"""

import argparse
from typing import Any

import yaml

from limen.models.model import open_model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a bundle that limen wrote, or an ONNX file")


def run(options: argparse.Namespace) -> dict[str, Any]:
    return {"file": options.model, **open_model(options.model).facts}


def text(result: dict[str, Any]) -> str:
    plain = result | {"preprocessing": {name: list(v) if isinstance(v, tuple) else v for name, v in result["preprocessing"].items()}}
    return yaml.safe_dump(plain, sort_keys=False).rstrip()
