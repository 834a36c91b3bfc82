"""What an augmentation does to one image, as it is drawn: the one place that draws, for the CPU and for the training device."""

from collections.abc import Callable
from math import exp, log, sqrt
from typing import NamedTuple

import numpy as np

ADAFACE_PROBABILITY = 0.2
LEAST_SHARE = 0.2  # of the side that low resolution leaves
INTERPOLATIONS = ("nearest", "area", "linear", "cubic", "lanczos")
OPERATIONS = ("brightness", "contrast", "saturation")


class Changes(NamedTuple):
    """What is done to one image, in this order."""

    mirrored: bool = False
    """left to right"""
    kept: tuple[int, int, int, int] | None = None
    """top, left, height and width of the rectangle that stays where it is; all else becomes black"""
    reduced: tuple[int, int, int, int] | None = None
    """height and width it is reduced to before it is enlarged again, and which of INTERPOLATIONS do the one and the other"""
    photometric: tuple[tuple[int, float], ...] = ()
    """which of OPERATIONS, and by what factor, one after another"""


Draw = Callable[[int, int, np.random.Generator], Changes]  # of an image of that height and width


def draw_nothing(height: int, width: int, rng: np.random.Generator) -> Changes:
    """The image stays as it is."""
    return Changes()


def draw_flip(height: int, width: int, rng: np.random.Generator) -> Changes:
    """Mirrored left to right with probability 1/2."""
    return Changes(rng.random() < 0.5)


def draw_adaface(height: int, width: int, rng: np.random.Generator) -> Changes:
    """AdaFace's augmentation (Kim et al., CVPR 2022, section 4.1; order and ranges of the release): flip with p = 1/2, then crop,
    low resolution and photometric change, each with p = .2."""
    mirrored = rng.random() < 0.5
    kept = draw_rectangle(height, width, rng) if rng.random() < ADAFACE_PROBABILITY else None
    reduced = draw_reduction(height, width, rng) if rng.random() < ADAFACE_PROBABILITY else None
    return Changes(mirrored, kept, reduced, draw_photometric(rng) if rng.random() < ADAFACE_PROBABILITY else ())


def draw_rectangle(height: int, width: int, rng: np.random.Generator) -> tuple[int, int, int, int] | None:
    """What is kept: area U(.2, 1) of the image, aspect ratio log-uniform in 3/4 to 4/3.

    The rectangle is RandomResizedCrop's: ten attempts to draw one that fits, else the whole image.
    """
    for _ in range(10):
        area, ratio = height * width * rng.uniform(0.2, 1.0), exp(rng.uniform(log(3 / 4), log(4 / 3)))
        w, h = round(sqrt(area * ratio)), round(sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            return int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1)), h, w
    return None


def draw_reduction(height: int, width: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
    """Reduced to U(.2, 1) of its side and enlarged again, each with a random one of the five interpolations."""
    factor = rng.uniform(LEAST_SHARE, 1.0)
    down, up = (int(rng.integers(len(INTERPOLATIONS))) for _ in range(2))  # at a third of the price of an array of two
    return max(1, int(height * factor)), max(1, int(width * factor)), down, up


def draw_photometric(rng: np.random.Generator) -> tuple[tuple[int, float], ...]:
    """Brightness, contrast and saturation in random order, each by a factor U(.5, 1.5): torchvision's ColorJitter(.5, .5, .5)."""
    factors = rng.uniform(0.5, 1.5, size=len(OPERATIONS)).tolist()
    return tuple((k, factors[k]) for k in rng.permutation(len(OPERATIONS)).tolist())
