"""Augmentations by name."""

from dataclasses import dataclass

import numpy as np

from limen.data.augmentation.changes import Draw, draw_adaface, draw_flip, draw_nothing
from limen.data.augmentation.on_cpu import apply
from limen.errors import LimenError
from limen.lookup import did_you_mean


@dataclass(frozen=True)
class Augmentation:
    """augmentation(image, rng) is the uint8 RGB image (H, W, 3) after what `draw(height, width, rng)` draws for it.

    The same image and generator state give the same bytes. It never writes into its input; where nothing changes, it returns the very same
    array, so a caller who wants to write into the result copies it first.
    """

    draw: Draw

    def __call__(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return apply(image, self.draw(image.shape[0], image.shape[1], rng))


AUGMENTATIONS = {"none": Augmentation(draw_nothing), "flip": Augmentation(draw_flip), "adaface": Augmentation(draw_adaface)}


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
