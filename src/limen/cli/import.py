"""Published weights to a bundle, which every other command takes: with their colour order, scaling, licence and hash.

  limen import adaface_ir50_ms1mv2.ckpt --release adaface --out adaface_ir50.safetensors
  limen import 181952backbone.pth --release crfiqa --out crfiqa.safetensors
  limen import backbone.pth --release insightface --out r50.safetensors --json

The releases: adaface, elasticface, crfiqa (with its quality), insightface, magface, curricularface, cvlface, mobilefacenet. The network is
found from the names in the file. Nothing in the file is run. Weights keep the licence of those who published them.
"""

import argparse
from pathlib import Path
from typing import Any

from limen.errors import LimenError
from limen.models.releases import RELEASES, import_release


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", metavar="CHECKPOINT", help="the file that the authors published: .pth, .pt, .ckpt or .safetensors")
    parser.add_argument("--release", required=True, choices=RELEASES, metavar="NAME", help=", ".join(RELEASES))
    parser.add_argument("--architecture", metavar="NAME", help="the network, where it is to be checked (found from the file)")
    parser.add_argument("--out", required=True, metavar="FILE.safetensors", help="the bundle")


def run(options: argparse.Namespace) -> dict[str, Any]:
    out = Path(options.out)
    if out.suffix != ".safetensors":
        raise LimenError(f"--out {out}: a bundle's name ends in .safetensors; choose such a name")
    embedder = import_release(options.checkpoint, options.release, options.architecture)
    embedder.save(out)
    return {
        "out": str(out),
        **{k: v for k, v in embedder.facts.items() if k not in ("file", "recipe", "class_names_sha256", "names_hashed", "source_sha256")},
    }


def text(result: dict[str, Any]) -> str:
    preprocessing, network = result["preprocessing"], result["architecture"]
    quality = ", with its quality head" if result["quality_head"] else ""
    return "\n".join(
        [
            f"{network['name']}, {network['embedding_size']} numbers a face, {result['parameters']:,} parameters{quality}",
            f"takes {preprocessing['colour']}, (x / 255 - {list(preprocessing['mean'])}) / {list(preprocessing['std'])}; limen feeds it so",
            f"licence: {result['licence']}",
            result["out"],
        ]
    )
