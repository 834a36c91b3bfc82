"""Training augmentations: functions of one uint8 RGB image (H, W, 3) and a numpy Generator.

No function here writes into its input, whose buffer may therefore be shared; where nothing changes, the very same array
is returned, so a caller who wants to write into the result copies it first. The same image and generator state give the
same bytes.
"""

from collections.abc import Callable
from math import exp, log, sqrt
from typing import NamedTuple

import cv2
import numpy as np

from limen.errors import LimenError
from limen.lookup import did_you_mean

Augmentation = Callable[[np.ndarray, np.random.Generator], np.ndarray]
Draw = Callable[[int, int, np.random.Generator], "Changes"]  # height, width

ADAFACE_PROBABILITY = 0.2
INTERPOLATIONS = (cv2.INTER_NEAREST, cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)
LUMA = np.array([0.2989, 0.587, 0.114])


def unchanged(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The image itself."""
    return image


class Changes(NamedTuple):
    """What is done to one image, drawn before: `apply` does it here, `limen.data.augment_on_device` on the training device."""

    mirrored: bool = False
    kept: tuple[int, int, int, int] | None = None  # top, left, height, width of the rectangle that stays
    reduced: tuple[float, int, int] | None = None  # share of the side, and which of INTERPOLATIONS go down and up
    photometric: tuple[tuple[int, float], ...] = ()  # which of OPERATIONS, in order, each with its factor


def flip(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mirrored left to right with probability 1/2."""
    return apply(image, Changes(rng.random() < 0.5))


def crop(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random rectangle left where it is, black around it: area U(.2, 1) of the image, aspect ratio log-uniform in 3/4 to 4/3.

    The rectangle is RandomResizedCrop's: ten attempts to draw one that fits, else the whole image.
    """
    return apply(image, Changes(kept=_rectangle(image.shape[0], image.shape[1], rng)))


def _rectangle(height: int, width: int, rng: np.random.Generator) -> tuple[int, int, int, int] | None:
    for _ in range(10):
        area, ratio = height * width * rng.uniform(0.2, 1.0), exp(rng.uniform(log(3 / 4), log(4 / 3)))
        w, h = round(sqrt(area * ratio)), round(sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            return int(rng.integers(height - h + 1)), int(rng.integers(width - w + 1)), h, w
    return None


def low_resolution(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Reduced to U(.2, 1) of its side and enlarged again, each with a random one of the five interpolations."""
    return apply(image, Changes(reduced=_reduction(rng)))


def _reduction(rng: np.random.Generator) -> tuple[float, int, int]:
    factor = rng.uniform(0.2, 1.0)
    down, up = rng.integers(len(INTERPOLATIONS), size=2)
    return factor, int(down), int(up)


def reduced_side(side: int, factor: float) -> int:
    return max(1, int(side * factor))


def _resize(image: np.ndarray, width: int, height: int, interpolation: int) -> np.ndarray:
    """cv2.resize; Lanczos in float32, for which OpenCV has the faster loops, rounded and clipped: within one level of its uint8 answer."""
    if interpolation != cv2.INTER_LANCZOS4:
        return cv2.resize(image, (width, height), interpolation=interpolation)
    resized = cv2.resize(image.astype(np.float32), (width, height), interpolation=interpolation)
    return cv2.addWeighted(resized, 1, resized, 0, 0, dtype=cv2.CV_8U)


def brightness(image: np.ndarray, factor: float) -> np.ndarray:
    """factor * image, rounded and clipped to 0..255."""
    return cv2.convertScaleAbs(image, alpha=factor)


def contrast(image: np.ndarray, factor: float) -> np.ndarray:
    """factor * image + (1 - factor) * mean luma of the image, rounded and clipped."""
    mean = float(LUMA @ cv2.mean(image)[:3])
    return cv2.addWeighted(image, factor, image, 0, (1 - factor) * mean)


def saturation(image: np.ndarray, factor: float) -> np.ndarray:
    """factor * image + (1 - factor) * luma of each pixel, rounded and clipped."""
    return cv2.transform(image, factor * np.eye(3) + (1 - factor) * LUMA)


def photometric(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Brightness, contrast and saturation in random order, each by a factor U(.5, 1.5): torchvision's ColorJitter(.5, .5, .5)."""
    return apply(image, Changes(photometric=_factors(rng)))


def _factors(rng: np.random.Generator) -> tuple[tuple[int, float], ...]:
    factors = rng.uniform(0.5, 1.5, size=3)
    return tuple((int(k), float(factors[k])) for k in rng.permutation(3))


OPERATIONS = (brightness, contrast, saturation)


def apply(image: np.ndarray, changes: Changes) -> np.ndarray:
    """The image after `changes`, in the order of their fields."""
    height, width = image.shape[:2]
    if changes.mirrored:
        image = cv2.flip(image, 1)
    if changes.kept is not None:
        top, left, h, w = changes.kept
        cropped = np.zeros_like(image)
        cropped[top : top + h, left : left + w] = image[top : top + h, left : left + w]
        image = cropped
    if changes.reduced is not None:
        factor, down, up = changes.reduced
        small = _resize(image, reduced_side(width, factor), reduced_side(height, factor), INTERPOLATIONS[down])
        image = _resize(small, width, height, INTERPOLATIONS[up])
    for operation, factor in changes.photometric:
        image = OPERATIONS[operation](image, factor)
    return image


def draw_flip(height: int, width: int, rng: np.random.Generator) -> Changes:
    """What `flip` does to an image."""
    return Changes(rng.random() < 0.5)


def draw_adaface(height: int, width: int, rng: np.random.Generator) -> Changes:
    """What `adaface` does to an image of that size."""
    mirrored = rng.random() < 0.5
    kept = _rectangle(height, width, rng) if rng.random() < ADAFACE_PROBABILITY else None
    reduced = _reduction(rng) if rng.random() < ADAFACE_PROBABILITY else None
    return Changes(mirrored, kept, reduced, _factors(rng) if rng.random() < ADAFACE_PROBABILITY else ())


def adaface(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """AdaFace's augmentation (Kim et al., CVPR 2022, section 4.1; order and ranges of the release): flip with p = 1/2, then crop,
    low resolution and photometric change, each with p = .2."""
    return apply(image, draw_adaface(image.shape[0], image.shape[1], rng))


def draw_nothing(height: int, width: int, rng: np.random.Generator) -> Changes:
    """What `unchanged` does to an image."""
    return Changes()


AUGMENTATIONS: dict[str, Augmentation] = {"none": unchanged, "flip": flip, "adaface": adaface}
DRAWS: dict[str, Draw] = {"none": draw_nothing, "flip": draw_flip, "adaface": draw_adaface}


def create_augmentation(name: str) -> Augmentation:
    """The augmentation of that name: "none", "flip" or "adaface". Raises LimenError, naming the nearest, for any other.

    >>> import numpy as np
    >>> from limen.data import create_augmentation
    >>> mirrored_or_not = create_augmentation("flip")(np.zeros((112, 112, 3), np.uint8), np.random.default_rng(0))
    >>> mirrored_or_not.shape
    (112, 112, 3)
    """
    if name not in AUGMENTATIONS:
        raise LimenError(f"augmentation {name!r} is not known; {did_you_mean(name, AUGMENTATIONS)}")
    return AUGMENTATIONS[name]
