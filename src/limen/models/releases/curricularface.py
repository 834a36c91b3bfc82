"""CurricularFace's networks: AdaFace's names, without a batch norm between a block's first convolution and its PReLU."""

from limen.models.preprocessing import Preprocessing
from limen.models.releases import ir
from limen.models.releases.release import Network, Release, State


def recognise(state: State) -> Network | None:
    found = ir.recognise(state)
    return found if found is not None and found.options.get("inner_norm") is False else None


CURRICULARFACE = Release(
    "curricularface",
    Preprocessing(),
    "CurricularFace's weights: no licence stated by their authors",
    recognise,
    ir.rename,
    heads=("head", "kernel"),
)
