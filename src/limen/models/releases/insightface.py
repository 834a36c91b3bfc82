"""insightface's networks (iresnet18 to 200, MobileFaceNet), which ElasticFace and CR-FIQA use too."""

import re

from limen.models.preprocessing import Preprocessing
from limen.models.releases.release import Network, Release, State, nearest_depths

DEPTHS = {
    "iresnet18": (2, 2, 2, 2),
    "iresnet34": (3, 4, 6, 3),
    "iresnet50": (3, 4, 14, 3),
    "iresnet100": (3, 13, 30, 3),
    "iresnet200": (6, 26, 60, 6),
}
TOP = {"conv1": "stem.0", "bn1": "stem.1", "prelu": "stem.2", "bn2": "head.0", "fc": "head.3", "features": "head.4"}
BLOCK = {
    "bn1": "residual.0",
    "conv1": "residual.1",
    "bn2": "residual.2",
    "prelu": "residual.3",
    "conv2": "residual.4",
    "bn3": "residual.5",
    "downsample": "shortcut",
}
IN_A_BLOCK = re.compile(r"layer(\d)\.(\d+)\.(\w+)\.(.+)")


def stage_depths(state: State) -> tuple[int, ...]:
    places = {(match[1], int(match[2])) for match in map(IN_A_BLOCK.match, state) if match}
    return tuple(sum(stage == str(k) for stage, _ in places) for k in range(1, 5))


def recognise(state: State) -> Network | None:
    name = nearest_depths(stage_depths(state), DEPTHS)
    return None if name is None or "fc.weight" not in state else Network(name, len(state["fc.weight"]), {})


def rename(name: str, network: Network) -> str | None:
    """insightface counts blocks within a stage, limen throughout."""
    if match := IN_A_BLOCK.match(name):
        stage, block, layer, rest = match.groups()
        before = sum(DEPTHS[network.name][: int(stage) - 1])
        return f"blocks.{before + int(block)}.{BLOCK[layer]}.{rest}" if layer in BLOCK else None
    if name in ("qs.weight", "qs.bias"):
        return f"quality.{name.removeprefix('qs.')}"
    layer, _, rest = name.partition(".")
    return f"{TOP[layer]}.{rest}" if layer in TOP and rest else None


def recognise_with_mobilefacenet(state: State) -> Network | None:
    if "features.layers.2.weight" in state and "conv_sep.layers.0.weight" in state:
        return Network("mobilefacenet", len(state["features.layers.2.weight"]), {})
    return recognise(state)


def rename_with_mobilefacenet(name: str, network: Network) -> str | None:
    if network.name != "mobilefacenet":
        return rename(name, network)
    if not name.startswith(("layers.", "conv_sep.", "features.")):
        return None
    return name.replace("conv_sep.layers", "layers.8").replace("features.", "head.").replace(".layers.", ".")


INSIGHTFACE = Release(
    "insightface",
    Preprocessing(),
    "insightface's weights: non-commercial research only",
    recognise_with_mobilefacenet,
    rename_with_mobilefacenet,
)
ELASTICFACE = Release("elasticface", Preprocessing(), "ElasticFace's weights: CC BY-NC-SA 4.0", recognise, rename)
CRFIQA = Release(
    "crfiqa",
    Preprocessing(),
    "CR-FIQA's weights: CC BY-NC 4.0",
    recognise,
    rename,
    remarks={"quality": 'trained with ratio "released" (without 1 + epsilon): scores above 2 are possible'},
)
