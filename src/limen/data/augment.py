"""Training augmentations: functions of one uint8 RGB image (H, W, 3) and a numpy Generator.

No function here writes into its input, whose buffer may therefore be shared; where nothing changes, the very same array
is returned, so a caller who wants to write into the result copies it first. The same image and generator state give the
same bytes.
"""

from collections.abc import Callable
from math import exp, log, sqrt

import cv2
import numpy as np

from limen.errors import LimenError
from limen.lookup import did_you_mean

Augmentation = Callable[[np.ndarray, np.random.Generator], np.ndarray]

ADAFACE_PROBABILITY = 0.2
INTERPOLATIONS = (cv2.INTER_NEAREST, cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)
LUMA = np.array([0.2989, 0.587, 0.114])
UNIT = np.eye(3)


def unchanged(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The image itself."""
    return image


def flip(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Mirrored left to right with probability 1/2."""
    return cv2.flip(image, 1) if rng.random() < 0.5 else image


def crop(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A random rectangle left where it is, black around it: area U(.2, 1) of the image, aspect ratio log-uniform in 3/4 to 4/3.

    The rectangle is RandomResizedCrop's: ten attempts to draw one that fits, else the whole image.
    """
    height, width = image.shape[:2]
    for _ in range(10):
        area, ratio = height * width * rng.uniform(0.2, 1.0), exp(rng.uniform(log(3 / 4), log(4 / 3)))
        w, h = round(sqrt(area * ratio)), round(sqrt(area / ratio))
        if 0 < w <= width and 0 < h <= height:
            top, left = rng.integers(height - h + 1), rng.integers(width - w + 1)
            cropped = np.zeros(image.shape, np.uint8)
            cropped[top : top + h, left : left + w] = image[top : top + h, left : left + w]
            return cropped
    return image


def low_resolution(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Reduced to U(.2, 1) of its side and enlarged again, each with a random one of the five interpolations."""
    height, width = image.shape[:2]
    factor = rng.uniform(0.2, 1.0)
    down, up = (INTERPOLATIONS[rng.integers(len(INTERPOLATIONS))] for _ in range(2))  # at a third of the price of an array of two
    small = _resize(image, max(1, int(width * factor)), max(1, int(height * factor)), down)
    return _resize(small, width, height, up)


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
    sums = cv2.sumElems(image)[:3]  # of whole numbers, so exact, at a quarter of the price of cv2.mean
    mean = float(LUMA @ sums) / image[..., 0].size
    return cv2.addWeighted(image, factor, image, 0, (1 - factor) * mean)


def saturation(image: np.ndarray, factor: float) -> np.ndarray:
    """factor * image + (1 - factor) * luma of each pixel, rounded and clipped."""
    return cv2.transform(image, factor * UNIT + (1 - factor) * LUMA)


def photometric(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Brightness, contrast and saturation in random order, each by a factor U(.5, 1.5): torchvision's ColorJitter(.5, .5, .5)."""
    operations = (brightness, contrast, saturation)
    factors = rng.uniform(0.5, 1.5, size=3).tolist()
    for k in rng.permutation(3).tolist():
        image = operations[k](image, factors[k])
    return image


def adaface(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """AdaFace's augmentation (Kim et al., CVPR 2022, section 4.1; order and ranges of the release): flip with p = 1/2, then crop,
    low resolution and photometric change, each with p = .2."""
    image = flip(image, rng)
    for operation in (crop, low_resolution, photometric):
        if rng.random() < ADAFACE_PROBABILITY:
            image = operation(image, rng)
    return image


AUGMENTATIONS: dict[str, Augmentation] = {"none": unchanged, "flip": flip, "adaface": adaface}


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
