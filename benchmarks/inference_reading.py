"""Seconds of embedding 10,000 images as `limen embed` does, reading ahead in threads, beside the loop that it had before: read a block,
embed it, read the next.

    python benchmarks/inference_reading.py                                    the tiny network, JPEGs of synthetic faces
    python benchmarks/inference_reading.py --models a.safetensors b.onnx      others besides
    python benchmarks/inference_reading.py --images DIR                       112x112 images of one's own
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np
from machine import append_row

from limen.data import FileSource, SyntheticFaces, list_images
from limen.errors import UnreadableImage
from limen.inference.reading import BLOCK, WORKERS
from limen.inference.table import embed_images
from limen.models.bundle import Architecture, Bundle
from limen.models.embedder import Embedder
from limen.models.model import open_model

FACES = 1000  # drawn; the list of files repeats them


def former_loop(embedder, source):
    """(N, D) vectors; NaN for images that cannot be read."""
    found, read = [], []
    for start in range(0, len(source), BLOCK):
        numbers, images = [], []
        for number in range(start, min(start + BLOCK, len(source))):
            try:
                images.append(source.image(number))
                numbers.append(number)
            except UnreadableImage:
                pass
        read += numbers
        found.append(embedder.embed(np.stack(images)).vectors)
    vectors = np.full((len(source), found[0].shape[1]), np.nan, np.float32)
    vectors[read] = np.concatenate(found)
    return vectors


def tiny():
    weights = Architecture("tiny", 64).build().state_dict()
    return Embedder(Bundle(Architecture("tiny", 64), {f"backbone.{name}": tensor for name, tensor in weights.items()}))


def write_faces(folder):
    source = SyntheticFaces(identities=FACES // 20, images_per_identity=20)
    for number in range(len(source)):
        cv2.imwrite(str(folder / f"{number:05d}.jpg"), source.image(number)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])


def measure(name, embedder, source, rounds, workers):
    ways = {"former loop": former_loop, "reading ahead": lambda *of: embed_images(*of, workers=workers).vectors}
    seconds, vectors = {way: [] for way in ways}, {}
    for _ in range(rounds):
        for way, embed in ways.items():
            start = time.perf_counter()
            vectors[way] = embed(embedder, source)
            seconds[way].append(time.perf_counter() - start)
    np.testing.assert_array_equal(*vectors.values())
    former, ahead = (statistics.median(times) for times in seconds.values())
    print(f"{name}: {len(source)} images, former loop {former:.2f} s, reading ahead with {workers} threads {ahead:.2f} s", flush=True)
    ratios = ", ".join(f"{one / other:.2f}" for one, other in zip(*seconds.values(), strict=True))
    print(f"  {former / ahead:.2f} x; of each round {ratios}", flush=True)
    row = {"model": name, "images": len(source), "workers": workers, "rounds": rounds}
    append_row("inference_reading", row | {"former_s": round(former, 2), "ahead_s": round(ahead, 2), "ratio": round(former / ahead, 3)})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="*", default=[], metavar="MODEL", help="besides the tiny network")
    parser.add_argument("--images", metavar="DIR", help="in place of synthetic faces")
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=WORKERS)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        if options.images is None:
            write_faces(Path(made))
        files = list_images([options.images or made])
        source = FileSource([files[number % len(files)] for number in range(options.count)])
        embed_images(None, source, range(min(FACES, options.count)))  # the files come into memory
        for name, embedder in [("tiny", tiny()), *((Path(model).name, open_model(model)) for model in options.models)]:
            measure(name, embedder, source, options.rounds, options.workers)


if __name__ == "__main__":
    main()
