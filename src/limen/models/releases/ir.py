"""AdaFace's networks (IR-18/34/50/101, IR-SE-50), in AdaFace's own checkpoints and in CVLface's."""

from limen.models.preprocessing import Preprocessing
from limen.models.releases.release import Network, Release, State, nearest_depths

BLOCKS = {"ir18": (8,), "ir34": (16,), "ir50": (24,), "ir101": (49,)}
PARTS = {"input_layer": "stem", "output_layer": "head", "body": "blocks", "res_layer": "residual", "shortcut_layer": "shortcut"}


def recognise(state: State) -> Network | None:
    """By the number of blocks, the squeeze-and-excitation layers, and whether a batch norm follows a block's first convolution."""
    blocks = {name.split(".")[1] for name in state if name.startswith("body.")}
    name = nearest_depths((len(blocks),), BLOCKS)
    if name is None or "output_layer.3.weight" not in state:
        return None
    if any(".fc1." in part for part in state):
        name = f"ir_se{name.removeprefix('ir')}"
    inner_norm = "body.0.res_layer.2.running_mean" in state
    return Network(name, len(state["output_layer.3.weight"]), {} if inner_norm else {"inner_norm": False})


def rename(name: str, network: Network) -> str | None:
    place = "6" if network.options.get("inner_norm", True) else "5"
    first, *rest = name.replace("se_block", place).split(".")  # some count it with the layers, some name it
    return ".".join(PARTS.get(part, part) for part in (first, *rest)) if first in PARTS else None


ADAFACE = Release(
    "adaface",
    Preprocessing(colour="BGR"),
    "AdaFace's weights: code MIT, training data for research only",
    recognise,
    rename,
    prefixes=("model.",),
    heads=("head",),
)
CVLFACE = Release(
    "cvlface",
    Preprocessing(),
    "CVLface's weights: code MIT, training data for research only",
    recognise,
    rename,
    prefixes=("net.", "model.net."),
    heads=("head", "classifier"),
    colour_in_yaml=True,
)
