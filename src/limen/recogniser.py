"""What a recogniser is and what it gives: the one thing that quality measures, protocols and commands ask of a model."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from limen.errors import LimenError


@dataclass(frozen=True)
class Embeddings:
    """What `embed` gives for N images.

    vectors   (N, D) float32, unit length
    norms     (N,) float32, length of the raw feature; with flip, half the length of image's plus mirror's
    quality   (N,) float32 of the model's quality head, higher is better; with flip, the mean of image and mirror; None without a head

    >>> import numpy as np
    >>> from limen import Embeddings
    >>> pair = Embeddings(np.eye(2, dtype=np.float32), np.ones(2, np.float32))
    >>> float(pair.vectors[0] @ pair.vectors[1])  # the cosine of two images
    0.0
    """

    vectors: np.ndarray
    norms: np.ndarray
    quality: np.ndarray | None = None

    def __repr__(self) -> str:
        count, size = self.vectors.shape
        return f"Embeddings({count} vectors of {size}{'' if self.quality is None else ', with quality'})"


class Recogniser(Protocol):
    """Anything that embeds faces. `limen.Embedder` is one; one of your own needs these two members and no more."""

    @property
    def description(self) -> Mapping[str, Any]:
        """The switches of the embeddings: preprocessing, fusion, sha256 of the weights. They stand beside every number."""
        ...

    def embed(self, images: np.ndarray, flip: bool | None = None) -> Embeddings:
        """(N, size, size, 3) uint8 RGB -> their embeddings; `flip` adds the mirror image's, None is the model's own rule.

        Raises NoDirection where a feature has none."""
        ...


class NoDirection(LimenError):
    """Features of length zero, or of one that is not finite, have no direction and so no vector.

    embeddings   of all the images, NaN for those
    reasons      row -> what is wrong with it
    """

    def __init__(self, embeddings: Embeddings, lengths: dict[int, float]):
        remedy = "look at the image and at how the model was trained"
        self.embeddings = embeddings
        self.reasons = {row: f"its feature has length {length} and so no direction; {remedy}" for row, length in lengths.items()}
        row, reason = next(iter(self.reasons.items()))
        super().__init__(f"image {row} of {len(embeddings.vectors)}: {reason}")


def embeddings_of(feature: np.ndarray, flip: bool, quality: np.ndarray | None = None) -> Embeddings:
    """The embeddings whose raw features are `feature` (N, D), with `flip` those of image plus mirror.

    Raises NoDirection where the length of a feature is zero or not finite.
    """
    lengths = np.linalg.norm(feature, axis=1)
    without = ~np.isfinite(lengths) | (lengths == 0)
    length = np.where(without, np.float32(np.nan), lengths)
    quality = quality if quality is None else np.where(without, np.float32(np.nan), quality)
    embeddings = Embeddings(feature / length[:, None], length / 2 if flip else length, quality)
    if without.any():
        raise NoDirection(embeddings, {row: lengths[row] for row in np.flatnonzero(without).tolist()})
    return embeddings


def check_images(images: np.ndarray, size: int | None = None) -> None:
    """Raises LimenError unless `images` is (N, H, W, 3) uint8, and H and W are `size` where it is given."""
    fits = isinstance(images, np.ndarray) and images.dtype == np.uint8 and images.ndim == 4 and images.shape[3] == 3
    if not fits or (size is not None and images.shape[1:3] != (size, size)):
        given = f"{images.dtype} {images.shape}" if isinstance(images, np.ndarray) else type(images).__name__
        height, width = ("H", "W") if size is None else (size, size)
        raise LimenError(f"images: expected a uint8 RGB array of shape (N, {height}, {width}, 3), values 0 to 255, not {given}")
