"""Take a model elsewhere: to an ONNX file or one of OpenVINO's, proved to compute the same before it is there.

  limen export model.safetensors --out model.onnx
  limen export model.safetensors --out model.onnx --input uint8
  limen export model.safetensors --format openvino --out model.xml --precision bf16
  limen export model.safetensors --out small.onnx --precision int8 --images faces/ --pairs heldout.bin

The graph takes any number of images. Its outputs are embedding, a unit vector, norm and, of a model with a quality head, quality. With
--input uint8 the preprocessing is inside, and (B, 112, 112, 3) RGB pixels go in; otherwise the sidecar beside the file, model.onnx.json,
says how to scale them. The mirror image is the caller's: docs/onnxruntime_alone.py shows how, in ONNX Runtime alone. Every command of
limen takes the file as it takes a bundle.

Images go through both, drawn ones where --images names none. Where they differ by more than --tolerance, nothing is written. int8 needs
125 images of faces or more, and they should not be those of --pairs, on which the accuracy before and after is measured.
"""

import argparse
from dataclasses import asdict
from typing import Any

import numpy as np

from limen.cli.progress import progress_bar
from limen.data import FileSource, list_images
from limen.errors import LimenError
from limen.models.bundle import load_bundle
from limen.models.embedder import Embedder
from limen.models.export import PRECISIONS, export_model
from limen.models.model import graph_format, open_model
from limen.protocols import Verification
from limen.protocols.comparison import accuracy_change

MOST = 1000  # images read of --images, evenly spread


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a bundle that limen wrote")
    parser.add_argument("--format", choices=PRECISIONS, help="onnx or openvino (what the suffix of --out says)")
    parser.add_argument("--out", required=True, metavar="FILE", help="FILE.onnx, or FILE.xml for OpenVINO")
    parser.add_argument(
        "--input", default="float32", choices=["float32", "uint8"], help="uint8 puts the preprocessing into the graph (float32)"
    )
    parser.add_argument("--precision", default="float32", choices=["float32", "bf16", "int8"], help="bf16 is for OpenVINO (float32)")
    parser.add_argument("--images", nargs="+", metavar="IMAGE|DIR", help="aligned faces for the proof, and for int8 its ranges")
    parser.add_argument("--tolerance", type=float, metavar="X", help="largest difference of unit vectors (1e-4; bf16 0.2, int8 0.6)")
    parser.add_argument("--pairs", metavar="FILE", help="a .bin file or a text list: accuracy before and after")
    parser.add_argument("--pair-images", metavar="DIR", help="the folder of the images that a text list names")
    parser.add_argument("--threads", type=int, metavar="N", help="CPU threads of the network (all)")


def run(options: argparse.Namespace) -> dict[str, Any]:
    if graph_format(options.model):
        raise LimenError(f"{options.model}: it is exported already; name the bundle that it was made from")
    protocol = Verification(options.pairs, options.pair_images, flip=None) if options.pairs else None
    embedder = Embedder(load_bundle(options.model), threads=options.threads)
    images = _read(options.images, embedder.preprocessing.size) if options.images else None
    stated = {"input": options.input, "precision": options.precision, "tolerance": options.tolerance}
    parity = export_model(embedder, options.out, options.format, images=images, **stated)
    exported = open_model(options.out, threads=options.threads)
    result = {"out": options.out, "parity": asdict(parity), "said": str(parity), "facts": exported.facts}
    if protocol:
        with progress_bar(protocol.pair_set.name) as progress:
            change = accuracy_change(protocol, protocol.score(embedder, progress), protocol.score(exported, progress))
        result |= {"accuracy": asdict(change), "accuracy_said": str(change)}
    return result


def _read(paths: list[str], size: int) -> np.ndarray:
    files = list_images(paths)
    if not files:
        raise LimenError(f"--images {', '.join(paths)}: no images in these folders; check the path")
    source = FileSource([files[place] for place in np.unique(np.linspace(0, len(files) - 1, MOST).round().astype(int))], size)
    return np.stack([source.image(number) for number in range(len(source))])


def text(result: dict[str, Any]) -> str:
    parity, exported = result["parity"], result["facts"]["exported"]
    lines = [f"{result['said']}; tolerance {parity['tolerance']:g}, lowest cosine {parity['cosine']:.6f}"]
    lines += [result["accuracy_said"]] if "accuracy_said" in result else []
    if "accuracy" not in result and exported["precision"] == "int8":
        lines.append("what int8 costs in accuracy is not measured; add --pairs")
    takes = "uint8 RGB pixels" if exported["input"] == "uint8" else "float32, scaled as the sidecar says"
    return "\n".join([*lines, f"takes {takes}; computed by {result['facts']['backend']}", result["out"]])
