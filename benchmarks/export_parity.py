"""How far an exported model stands from its bundle: the largest differences over real faces, which the limits of the gate are set by
(TOLERANCE in limen.models.export.gate). Appends rows to benchmarks/results/export_parity.csv.

    python benchmarks/export_parity.py --faces FACES --model mbf.safetensors      a bundle of yours
    python benchmarks/export_parity.py --faces FACES --drawn iresnet50            drawn weights, batch norms and a quality layer of FACES

FACES are aligned images. The first --images of them, spread over the folder, set the ranges of the eight bits; all other ways are judged on
every fifth. bfloat16 is PyTorch's too: it runs on any CPU, where OpenVINO's needs one that has bfloat16.
"""

import argparse
import tempfile
import warnings
from pathlib import Path

import numpy as np
import torch
from machine import append_row

from limen.data import FileSource, list_images
from limen.models.bundle import Architecture, Bundle
from limen.models.embedder import Embedder
from limen.models.export import export_model
from limen.models.export.gate import TOLERANCE, Parity, check_parity
from limen.models.model import open_model

ANY = 10.0  # what the gate would refuse is measured as well
FILES = {
    "ONNX float32": ("f32.onnx", "float32"),
    "OpenVINO float32": ("f32.xml", "float32"),
    "OpenVINO bf16": ("bf16.xml", "bf16"),
    "ONNX int8": ("int8.onnx", "int8"),
    "OpenVINO int8": ("int8.xml", "int8"),
}


def read_faces(folder: str, count: int, size: int = 112) -> np.ndarray:
    files = list_images([folder])
    source = FileSource([files[place] for place in np.linspace(0, len(files) - 1, count).astype(int)], size, "resize")
    return np.stack([source.image(number) for number in range(len(source))])


def drawn(name: str, images: np.ndarray) -> Embedder:
    """Drawn weights and a drawn quality layer; the batch norms hold the statistics of 64 faces."""
    torch.manual_seed(0)
    architecture = Architecture(name, 512)
    backbone = architecture.build()
    with torch.no_grad():
        for module in backbone.modules():
            if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
                module.momentum = None  # the plain mean over the batches
        for batch in torch.from_numpy(images[:64]).permute(0, 3, 1, 2).div(127.5).sub(1).split(16):
            backbone(batch)
    tensors = {f"backbone.{key}": tensor for key, tensor in backbone.state_dict().items()}
    tensors |= {"quality.weight": torch.randn(1, 512) / 512**0.5, "quality.bias": torch.ones(1)}
    return Embedder(Bundle(architecture, tensors))


def report(model: str, way: str, computed: str, limit: str, parity: Parity) -> None:
    print(f"{model}, {way} (computed in {computed}): {parity}; lowest cosine {parity.cosine:.6f}; limit {TOLERANCE[limit]:g}", flush=True)
    row = {"model": model, "way": way, "computed_in": computed, "images": parity.images}
    row |= {name: getattr(parity, name) for name in ("vectors", "norms", "quality", "cosine")} | {"limit": TOLERANCE[limit]}
    append_row("export_parity", {key: float(f"{value:.4g}") if isinstance(value, float) else value for key, value in row.items()})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faces", required=True, metavar="DIR")
    parser.add_argument("--model", metavar="FILE")
    parser.add_argument("--drawn", metavar="NAME", help="of a backbone")
    parser.add_argument("--images", type=int, default=625)
    parser.add_argument("--pytorch-bf16", type=int, default=16, metavar="N", help="images of that way: it is slow where the CPU has none")
    options = parser.parse_args()
    images = read_faces(options.faces, options.images)
    bundle = Embedder.load(options.model) if options.model else drawn(options.drawn, images)
    name, judging = options.drawn or Path(options.model).name, images[4::5]
    warnings.simplefilter("ignore")  # that the CPU has no bfloat16: the rows say what was computed
    with tempfile.TemporaryDirectory() as folder:
        for way, (file, precision) in FILES.items():
            given = images if precision == "int8" else judging
            parity = export_model(bundle, Path(folder) / file, precision=precision, images=given, tolerance=ANY)
            computed = "int8" if precision == "int8" else open_model(Path(folder) / file).description.get("precision", "float32")
            report(name, way, computed, precision, parity)
    half = Embedder(bundle.bundle, precision="bf16")
    report(name, "PyTorch bf16", "bf16", "bf16", check_parity(bundle, half, judging[: options.pytorch_bf16], ANY))


if __name__ == "__main__":
    main()
