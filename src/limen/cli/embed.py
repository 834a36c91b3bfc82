"""Embed aligned 112x112 images into a .npz file: vectors (N, D) of unit length, norms (N,), files (N,).

  limen embed model.safetensors faces/ --out faces.npz
  limen embed model.safetensors a.jpg b.jpg --out two.npz --no-flip

Images that cannot be read are left out, counted and named; every other one is kept.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from limen.cli.progress import progress_bar
from limen.data import FileSource, list_images
from limen.embedder import Embedder
from limen.errors import LimenError, UnreadableImage
from limen.files import atomic_write

BLOCK = 256  # images in memory at a time


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a bundle that limen wrote")
    parser.add_argument("images", nargs="+", metavar="IMAGE|DIR", help="aligned images, or folders that are searched for them")
    parser.add_argument("--out", required=True, metavar="FILE.npz")
    parser.add_argument("--no-flip", action="store_true", help="embed the image alone, without its mirror image")
    parser.add_argument("--resize", action="store_true", help="resize images that are not 112x112 instead of refusing them")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (cpu)")


def run(options: argparse.Namespace) -> dict[str, Any]:
    files = list_images(options.images)
    embedder = Embedder.load(options.model, options.device)
    source = FileSource(files, on_other_size="resize" if options.resize else "refuse")
    vectors, norms, kept, failures = [], [], [], []
    with progress_bar("embedding") as progress:
        for start in range(0, len(source), BLOCK):
            images = []
            for index in range(start, min(start + BLOCK, len(source))):
                try:
                    images.append(source.image(index))
                    kept.append(source.locate(index))
                except UnreadableImage as error:
                    failures.append(str(error))
            if images:
                found = embedder.embed(np.stack(images), flip=False if options.no_flip else None)
                vectors.append(found.vectors)
                norms.append(found.norms)
            progress(min(start + BLOCK, len(source)), len(source))
    if not vectors:
        raise LimenError(f"none of the {len(files)} images can be used; the first: {failures[0]}")
    arrays = {"vectors": np.concatenate(vectors), "norms": np.concatenate(norms), "files": np.array(kept)}

    def write(path: Path) -> None:
        with open(path, "wb") as file:
            np.savez(file, **arrays)

    atomic_write(Path(options.out), write)
    return {"out": options.out, "embedded": len(kept), "failures": failures, "model_sha256": embedder.description["model_sha256"]}


def text(result: dict[str, Any]) -> str:
    lines = [f"{len(result['failures'])} images could not be used:", *result["failures"][:10]] if result["failures"] else []
    return "\n".join([*lines, f"{result['embedded']} embeddings in {result['out']}"])
