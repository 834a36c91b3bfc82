"""A MobileFaceNet in the paper's widths with ReLU6, trained with ArcFace on MS1M, fed with ImageNet's mean and standard deviation."""

import re

from limen.models.preprocessing import Preprocessing
from limen.models.releases.release import Network, Release, State

FIRST = {"conv1.0": "layers.0.0", "conv1.1": "layers.0.1", "conv2.0": "layers.18.0", "conv2.1": "layers.18.1"}
FIRST |= {"dw_conv.depthwise": "layers.1.0", "dw_conv.bn1": "layers.1.1", "dw_conv.pointwise": "layers.2.0", "dw_conv.bn2": "layers.2.1"}
FIRST |= {"gdconv.depthwise": "head.0.0", "gdconv.bn": "head.0.1", "conv3": "head.2", "bn": "head.3"}
INNER = {"0.0": "0.0", "0.1": "0.1", "1.0": "1.0", "1.1": "1.1", "2": "2.0", "3": "2.1"}
IN_A_BLOCK = re.compile(r"features\.(\d+)\.conv\.(0\.0|0\.1|1\.0|1\.1|2|3)\.(\w+)")


def recognise(state: State) -> Network | None:
    blocks = {name.split(".")[1] for name in state if name.startswith("features.")}
    return Network("mobilefacenet_relu6", len(state["conv3.weight"]), {}) if "conv3.weight" in state and len(blocks) == 15 else None


def rename(name: str, network: Network) -> str | None:
    if match := IN_A_BLOCK.fullmatch(name):
        return f"layers.{int(match[1]) + 3}.{INNER[match[2]]}.{match[3]}"
    layer, _, kind = name.rpartition(".")
    return f"{FIRST[layer]}.{kind}" if layer in FIRST else None


MOBILEFACENET = Release(
    "mobilefacenet",
    Preprocessing(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)),
    "of an Apache-2.0 repository; training data MS1M for research only",
    recognise,
    rename,
)
