"""What a model loses on its way out: accuracy on pairs as a bundle, as ONNX and OpenVINO files, at bfloat16 and in eight bits, each less
the bundle's, with the interval of the paired bootstrap, subjects drawn alike for both. Appends rows to
benchmarks/results/export_accuracy.csv.

    python benchmarks/export_accuracy.py --model model.safetensors --pairs lfw_pairs.txt --images LFW --faces FACES

FACES are aligned images of people who are not in the pairs: they set the ranges of the eight bits. Where the CPU has no bfloat16, OpenVINO
computes in float32, which the row says; the bundle's own bfloat16 is PyTorch's, which any CPU computes.
"""

import argparse
import tempfile
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
from machine import append_row

from limen.data import FileSource, list_images
from limen.models.embedder import Embedder
from limen.models.export import export_model
from limen.models.export.int8 import MOST
from limen.models.model import open_model
from limen.protocols import Verification
from limen.protocols.comparison import accuracy_change

FILES = {  # what it is called -> the file, precision
    "ONNX float32": ("f32.onnx", "float32"),
    "OpenVINO float32": ("f32.xml", "float32"),
    "ONNX int8": ("int8.onnx", "int8"),
    "OpenVINO int8": ("int8.xml", "int8"),
    "OpenVINO bf16": ("bf16.xml", "bf16"),
}


ANY = 10.0  # what the proof would refuse is measured as well: unit vectors are 2 apart at most


def faces(folder: str, size: int) -> np.ndarray:
    files = list_images([folder])
    source = FileSource([files[place] for place in np.linspace(0, len(files) - 1, MOST * 5 // 4).astype(int)], size, "resize")
    return np.stack([source.image(number) for number in range(len(source))])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--pairs", required=True)
    parser.add_argument("--images", metavar="DIR", help="of a text list")
    parser.add_argument("--faces", required=True, metavar="DIR")
    parser.add_argument("--no-flip", action="store_true", help="without the mirror image: half the time")
    parser.add_argument("--bundle-bf16", action="store_true", help="also by PyTorch in bfloat16: slow where the CPU has none")
    options = parser.parse_args()
    protocol = Verification(options.pairs, options.images, flip=False if options.no_flip else None)
    bundle = Embedder.load(options.model)
    before = protocol.score(bundle)
    images = faces(options.faces, bundle.preprocessing.size)
    with tempfile.TemporaryDirectory() as folder:
        report("bundle float32", protocol, bundle, before, before)
        for name, (file, precision) in FILES.items():
            path = Path(folder) / file
            print(name, export_model(bundle, path, precision=precision, images=images, tolerance=ANY), flush=True)
            judge(name, protocol, open_model(path), before)
    if options.bundle_bf16:
        judge("bundle bf16", protocol, open_model(options.model, precision="bf16"), before)


def judge(name, protocol, model, before):
    start = time.perf_counter()
    after = protocol.score(model)
    print(f"{name}: scored in {time.perf_counter() - start:.0f} s")
    report(name, protocol, model, before, after)


def report(name, protocol, model, before, after):
    change = accuracy_change(protocol, before, after)
    computed = model.description.get("precision", "float32")
    print(f"{name}, computed in {computed}: {change}; mean change of a cosine {change.cosine:.2g}", flush=True)
    numbers = {key: round(value, 6) for key, value in asdict(change).items()}
    append_row(
        "export_accuracy",
        {"model": name, "computed_in": computed, **numbers, "pairs_set": protocol.pair_set.name, "flip": protocol.flip is None},
    )


if __name__ == "__main__":
    main()
