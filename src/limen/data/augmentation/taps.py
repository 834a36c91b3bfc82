"""Along one side of an image: which pixels cv2.resize takes, and with what weights.

OpenCV takes the place of pixel k as k * (1 / (new / old)), which at some sizes is another number than k * old / new; it computes weights in
float32, and clamps places outside to the edge. The numbers here are its own to the bit, as the tests find them.
"""

from math import pi, sqrt

import numpy as np

TAPS = 8  # at most: Lanczos's, and areas' when a fifth of the side is left
A = np.float32(-0.75)  # of the cubic
HALF = sqrt(0.5)
LANCZOS_TURNS = np.array([(1, 0), (-HALF, -HALF), (0, 1), (HALF, -HALF), (-1, 0), (HALF, HALF), (0, -1), (-HALF, HALF)])  # by pi / 4 each


def nearest(old: int, new: int) -> tuple[np.ndarray, np.ndarray]:
    """(new, 1) int64 pixels and their weights, 1, from `old` to `new` pixels."""
    places = np.floor(np.arange(new) * _scale(old, new)).astype(np.int64)
    return np.minimum(places, old - 1)[:, None], np.ones((new, 1), np.float32)


def linear(old: int, new: int, across: bool) -> tuple[np.ndarray, np.ndarray]:
    """(new, 2) pixels and weights. At the edges, which have one pixel, OpenCV keeps two weights of rows, and one of columns (`across`)."""
    first, share = _places(old, new)
    if across:
        alone = (first < 0) | (first >= old - 1)
        first, share = np.clip(first, 0, old - 1), np.where(alone, np.float32(0), share)
    return _clamped(first, range(2), old), np.stack([1 - share, share], 1)


def enlarging_areas(old: int, new: int) -> tuple[np.ndarray, np.ndarray]:
    """(new, 2) pixels and weights of areas where new > old: linear at the edges of the old pixels."""
    places = np.arange(new)
    first = np.floor(places * _scale(old, new)).astype(np.int64)
    share = ((places + 1) - (first + 1) * (new / old)).astype(np.float32)
    share = np.where((share <= 0) | (first >= old - 1), np.float32(0), share - np.floor(share))
    return _clamped(first, range(2), old), np.stack([1 - share, share], 1)


def areas(old: int, new: int) -> tuple[np.ndarray, np.ndarray]:
    """(new, TAPS) pixels and weights of areas where new < old: what share of a new pixel each old one is. Where there are fewer, 0."""
    scale = _scale(old, new)
    begin = np.arange(new) * scale
    end = begin + scale
    width = np.minimum(scale, old - begin)
    last = np.minimum(np.floor(end), old - 1)
    first = np.minimum(np.ceil(begin), last)
    whole = first[:, None] + np.arange(-1, TAPS - 1)
    weights = np.where((whole >= first[:, None]) & (whole < last[:, None]), (1 / width)[:, None], 0)
    weights[:, 0] = np.where(first - begin > 1e-3, (first - begin) / width, 0)
    rows = np.arange(new)
    after = (last - first).astype(np.int64) + 1
    left = np.where(end - last > 1e-3, np.minimum(np.minimum(end - last, 1), width) / width, 0)
    weights[rows, after] = left
    return np.clip(whole, 0, old - 1).astype(np.int64), weights.astype(np.float32)


def cubic(old: int, new: int) -> tuple[np.ndarray, np.ndarray]:
    """(new, 4) pixels and weights."""
    first, x = _places(old, new)
    one, y = np.float32(1), 1 - x
    weights = [
        ((A * (x + one) - 5 * A) * (x + one) + 8 * A) * (x + one) - 4 * A,
        ((A + 2) * x - (A + 3)) * x * x + one,
        ((A + 2) * y - (A + 3)) * y * y + one,
    ]
    weights.append(one - weights[0] - weights[1] - weights[2])
    return _clamped(first - 1, range(4), old), np.stack(weights, 1)


def lanczos(old: int, new: int) -> tuple[np.ndarray, np.ndarray]:
    """(new, 8) pixels and weights."""
    first, x = _places(old, new)
    distance = (x + np.float32(3))[:, None] - np.arange(8, dtype=np.float32)
    begin, angle = -distance[:, :1].astype(np.float64) * pi * 0.25, -distance.astype(np.float64) * pi * 0.25
    with np.errstate(divide="ignore", invalid="ignore"):
        weights = ((LANCZOS_TURNS[:, 0] * np.sin(begin) + LANCZOS_TURNS[:, 1] * np.cos(begin)) / (angle * angle)).astype(np.float32)
    weights = np.where(np.abs(distance) >= 1e-6, weights, np.float32(1e30))
    total = weights[:, 0]
    for tap in range(1, 8):
        total = total + weights[:, tap]
    return _clamped(first - 3, range(8), old), weights * (np.float32(1) / total)[:, None]


def _scale(old: int, new: int) -> float:
    return 1 / (new / old)


def _places(old: int, new: int) -> tuple[np.ndarray, np.ndarray]:
    """The pixel left of the middle of each new one, int64, and how far right of it the middle lies, float32."""
    places = ((np.arange(new) + 0.5) * _scale(old, new) - 0.5).astype(np.float32)
    first = np.floor(places)
    return first.astype(np.int64), places - first


def _clamped(first: np.ndarray, offsets: range, old: int) -> np.ndarray:
    return np.clip(first[:, None] + np.array(offsets), 0, old - 1)
