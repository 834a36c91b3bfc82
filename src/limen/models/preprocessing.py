"""What turns an image into a network's input. It travels with the weights, so that nobody types RGB or BGR, mean or flip at inference."""

import math
from dataclasses import dataclass
from typing import Literal

from limen.errors import LimenError


@dataclass(frozen=True)
class Preprocessing:
    """What turns an image into the network's input, `(image / 255 - mean) / std`, and its output into an embedding.

    colour   the channel order the network was trained with; callers hand in RGB whatever it is
    flip     whether the mirror image is fused in where the caller does not say
    """

    size: int = 112
    colour: Literal["RGB", "BGR"] = "RGB"
    mean: tuple[float, float, float] = (0.5, 0.5, 0.5)  # in the order of `colour`
    std: tuple[float, float, float] = (0.5, 0.5, 0.5)
    alignment: str = "arcface 5-point 112x112"
    fusion: str = "sum of raw features of image and mirror, then L2"
    flip: bool = True

    def __post_init__(self) -> None:
        if self.colour not in ("RGB", "BGR"):
            raise LimenError(f"preprocessing.colour: {self.colour!r} is not known; it is RGB or BGR")
        if len(self.mean) != 3 or len(self.std) != 3 or not all(map(math.isfinite, (*self.mean, *self.std))) or min(self.std) <= 0:
            raise LimenError("preprocessing.mean and .std: three finite numbers each are needed, those of std above 0")
