"""The cosine similarity of two aligned images, or of the faces of two photos.

limen compare model.safetensors a.jpg b.jpg
limen compare model.safetensors photo.jpg other.jpg --detector yunet
"""

import argparse
from typing import Any

from limen.cli.inference import add_inference_arguments, alignment_of, inference_options, model_options, open_faces
from limen.errors import LimenError
from limen.inference.table import embed_images
from limen.models.model import open_model


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a bundle that limen wrote, or an ONNX file")
    parser.add_argument("a", metavar="A", help="an aligned image, or with --detector a photo")
    parser.add_argument("b", metavar="B", help="another")
    add_inference_arguments(parser)


def run(options: argparse.Namespace) -> dict[str, Any]:
    embedder = open_model(options.model, **model_options(options))
    source = open_faces([options.a, options.b], embedder.preprocessing.size, options)
    table = embed_images(embedder, source, **inference_options(options))
    for failure in table.failures.values():
        raise LimenError(failure)
    first, second = table.vectors
    return {"a": options.a, "b": options.b, "similarity": float(first @ second), **alignment_of(source)}


def text(result: dict[str, Any]) -> str:
    return f"{result['similarity']:.4f}  cosine similarity, -1 to 1; which threshold means one person is found by `limen evaluate`"
