"""Measures that look at the pixels alone: no model, no training. Baselines for the learned ones."""

from collections.abc import Sequence

import cv2
import numpy as np

from limen.recogniser import check_images

LOW_BAND = slice(1, 8)  # cycles per side: 2 to 8, coarse detail that a face of any resolution has
FALL_OFF = 0.03  # share of the low band's level below which a frequency counts as empty
SMOOTHED = 5  # frequencies that are averaged


class Sharpness:
    """Variance of the Laplacian of the luma. Noise and compression count as sharpness.

    >>> import numpy as np
    >>> from limen.quality import Sharpness
    >>> flat = np.full((1, 112, 112, 3), 128, np.uint8)
    >>> Sharpness().score(flat)
    array([0.])
    """

    name = "sharpness"
    needs = "It needs nothing but the aligned images."

    def score(self, images: np.ndarray, files: Sequence[str] | None = None) -> np.ndarray:
        return np.array([cv2.Laplacian(luma, cv2.CV_64F).var() for luma in _luma(images)])


class Resolution:
    """Pixels across the image that carry detail: twice the frequency, in cycles per side, at which its spectrum falls off.

    The power at frequency f, averaged over directions and multiplied by f^2 (natural images fall as f^-2), is level as far as there is
    detail; the fall-off is where it first sinks to FALL_OFF of its level from 2 to 8 cycles. A 112-pixel face enlarged from 16 pixels
    has about 22, a sharp one up to 112, a flat image 0. Blur counts as low resolution; noise weaker than the detail does not hide it.

    >>> import numpy as np
    >>> from limen.data import SyntheticFaces
    >>> from limen.quality import Resolution
    >>> image = SyntheticFaces(1, 1, difficulty=0).image(0)[None]
    >>> bool(Resolution().score(image)[0] > 30)
    True
    """

    name = "resolution"
    needs = "It needs nothing but the aligned images."

    def score(self, images: np.ndarray, files: Sequence[str] | None = None) -> np.ndarray:
        return np.array([2 * _fall_off(_radial_power(luma)) for luma in _luma(images)])


class Exposure:
    """Entropy of the histogram of the luma, in bits: 0 to 8; low where the image is dark, glaring or flat. Backgrounds count too.

    >>> import numpy as np
    >>> from limen.quality import Exposure
    >>> flat = np.full((1, 112, 112, 3), 128, np.uint8)
    >>> abs(Exposure().score(flat))
    array([0.])
    """

    name = "exposure"
    needs = "It needs nothing but the aligned images."

    def score(self, images: np.ndarray, files: Sequence[str] | None = None) -> np.ndarray:
        shares = [np.bincount(luma.ravel(), minlength=256) / luma.size for luma in _luma(images)]
        return np.array([-(share[share > 0] * np.log2(share[share > 0])).sum() for share in shares])


def _luma(images: np.ndarray) -> list[np.ndarray]:
    """(H, W) uint8 of each image: .299 R + .587 G + .114 B."""
    check_images(images)
    return [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images]


def _radial_power(luma: np.ndarray) -> np.ndarray:
    """Mean power at 1, 2, .. cycles per shorter side, up to half its pixels, of the image under a Hann window."""
    height, width = luma.shape
    side = min(height, width)
    window = np.hanning(height)[:, None] * np.hanning(width)
    power = np.abs(np.fft.rfft2((luma - luma.mean()) * window)) ** 2
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)) * side
    ring = np.rint(frequency).astype(int).ravel()
    return (np.bincount(ring, power.ravel()) / np.maximum(np.bincount(ring), 1))[1 : side // 2 + 1]


def _fall_off(power: np.ndarray) -> float:
    """The frequency, between two whole ones by logarithmic interpolation, at which power * f^2 falls to FALL_OFF of its low band."""
    level = power * np.arange(1, len(power) + 1) ** 2
    level = np.convolve(np.pad(level, SMOOTHED // 2, "edge"), np.full(SMOOTHED, 1 / SMOOTHED), "valid")
    if not (reference := level[LOW_BAND].mean()) > 0:
        return 0.0
    share = np.log(np.maximum(level / reference, 1e-12) / FALL_OFF)
    empty = np.flatnonzero(share <= 0)
    if not len(empty):
        return float(len(power))
    first = int(empty[0])
    return first + share[first - 1] / (share[first - 1] - share[first]) if first else 0.0
