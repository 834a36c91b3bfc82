"""What a measure of face image quality is. One of your own is any object with these members."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np


class QualityMeasure(Protocol):
    """A number for each image, higher for a better one; no two measures share a scale."""

    @property
    def name(self) -> str:
        """What to call it in a table."""
        ...

    @property
    def needs(self) -> str:
        """What it has to be given, as a sentence."""
        ...

    def score(self, images: np.ndarray, files: Sequence[str] | None = None) -> np.ndarray:
        """(N, H, W, 3) uint8 RGB -> (N,) float64. `files` say where each image comes from; most measures do not look at them."""
        ...
