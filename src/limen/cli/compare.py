"""The cosine similarity of two aligned 112x112 images.

limen compare model.safetensors a.jpg b.jpg
"""

import argparse
from typing import Any

import numpy as np

from limen.data import read_image
from limen.models.model import open_model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a bundle that limen wrote, or an ONNX file")
    parser.add_argument("a", metavar="A", help="an aligned image")
    parser.add_argument("b", metavar="B", help="another")


def run(options: argparse.Namespace) -> dict[str, Any]:
    images = np.stack([read_image(options.a), read_image(options.b)])
    first, second = open_model(options.model).embed(images).vectors
    return {"a": options.a, "b": options.b, "similarity": float(first @ second)}


def text(result: dict[str, Any]) -> str:
    return f"{result['similarity']:.4f}  cosine similarity, -1 to 1; which threshold means one person is found by `limen evaluate`"
