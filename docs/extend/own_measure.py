"""A quality measure of one's own: contrast. It is scored, calibrated, judged and used as a gate like any other.

PYTHONPATH=docs/extend limen quality model.safetensors faces/ --measure own_measure:Contrast
PYTHONPATH=docs/extend limen evaluate model.safetensors --pairs lfw.bin --quality own_measure:Contrast random --out report/
"""

from collections.abc import Sequence

import numpy as np


class Contrast:
    """Standard deviation of the grey values."""

    name = "contrast"
    needs = "It needs nothing but the image."

    def score(self, images: np.ndarray, files: Sequence[str] | None = None) -> np.ndarray:
        return images.mean(3).std((1, 2))  # (N, H, W, 3) uint8 RGB
