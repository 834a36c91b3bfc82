"""What turns an image into a network's input. It travels with the weights, so that nobody types RGB or BGR, mean or flip at inference."""

import math
from dataclasses import dataclass
from typing import Literal

from limen.align import SIZE
from limen.data.images import MEAN, STD
from limen.errors import LimenError

KINDS: dict[str, type] = {"size": int, "colour": str, "alignment": str, "fusion": str, "flip": bool}
LARGEST = 4096  # pixels of a side: more is damage, and would be asked of the memory


@dataclass(frozen=True)
class Preprocessing:
    """What turns an image into the network's input, `(image / 255 - mean) / std`, and its output into an embedding.

    The defaults are what `limen train` feeds its networks (`limen.data.normalise`).

    colour   the channel order the network was trained with; callers hand in RGB whatever it is
    flip     whether the mirror image is fused in where the caller does not say
    """

    size: int = SIZE
    colour: Literal["RGB", "BGR"] = "RGB"
    mean: tuple[float, float, float] = (MEAN, MEAN, MEAN)  # in the order of `colour`
    std: tuple[float, float, float] = (STD, STD, STD)
    alignment: str = "arcface 5-point 112x112"
    fusion: str = "sum of raw features of image and mirror, then L2"
    flip: bool = True

    def __post_init__(self) -> None:
        for name, kind in KINDS.items():
            if type(value := getattr(self, name)) is not kind:  # True is an int to isinstance
                raise LimenError(f"preprocessing.{name}: {value!r} is not a {kind.__name__}")
        if not 1 <= self.size <= LARGEST:
            raise LimenError(f"preprocessing.size: {self.size} is not a number of pixels from 1 to {LARGEST}")
        if self.colour not in ("RGB", "BGR"):
            raise LimenError(f"preprocessing.colour: {self.colour!r} is not known; it is RGB or BGR")
        if self.fusion != Preprocessing.fusion:
            raise LimenError(f"preprocessing.fusion: {self.fusion!r} is not known; limen knows {Preprocessing.fusion!r}")
        if not all(type(value) in (int, float) for value in (*self.mean, *self.std)):
            raise TypeError(f"preprocessing.mean and .std: {self.mean} and {self.std} are not numbers")
        if len(self.mean) != 3 or len(self.std) != 3 or not all(map(math.isfinite, (*self.mean, *self.std))) or min(self.std) <= 0:
            raise LimenError("preprocessing.mean and .std: three finite numbers each are needed, those of std above 0")
