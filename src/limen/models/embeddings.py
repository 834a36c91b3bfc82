"""What every kind of embedder gives, and the two things they all do alike: refuse other images, and make unit vectors of raw features."""

from dataclasses import dataclass

import numpy as np

from limen.errors import LimenError


@dataclass(frozen=True)
class Embeddings:
    """What `embed` gives for N images.

    vectors   (N, D) float32, unit length
    norms     (N,) float32, length of the raw feature; with flip, half the length of image's plus mirror's
    quality   (N,) float32 of the model's quality head, higher is better; with flip, the mean of image and mirror; None without a head
    """

    vectors: np.ndarray
    norms: np.ndarray
    quality: np.ndarray | None = None


def embeddings_of(feature: np.ndarray, flip: bool, quality: np.ndarray | None = None) -> Embeddings:
    """The embeddings whose raw features are `feature` (N, D), with `flip` those of image plus mirror.

    Raises LimenError where a feature has no direction: its length is zero or not finite.
    """
    lengths = np.linalg.norm(feature, axis=1)
    for index in np.flatnonzero(~(np.isfinite(lengths) & (lengths > 0))):
        raise LimenError(
            f"image {index} of {len(feature)}: its feature has length {lengths[index]} and so no direction; "
            "look at the image and at how the model was trained"
        )
    return Embeddings(feature / lengths[:, None], lengths / 2 if flip else lengths, quality)


def check_images(images: np.ndarray, size: int) -> None:
    """Raises LimenError unless `images` is (N, size, size, 3) uint8."""
    if not isinstance(images, np.ndarray) or images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (size, size, 3):
        given = f"{images.dtype} {images.shape}" if isinstance(images, np.ndarray) else type(images).__name__
        raise LimenError(f"images: expected a uint8 RGB array of shape (N, {size}, {size}, 3), values 0 to 255, not {given}")
