"""Soft polygons and streaks of noise on the head's texture."""

import cv2
import numpy as np

from limen.data.synthetic.head import COLUMNS, ROWS, TOP

DENSITY = 2  # texels to the pixel
SHAPE = (len(ROWS) * DENSITY, len(COLUMNS) * DENSITY)
SHIFT = 4  # fractional bits of OpenCV's drawing


def texels(points: np.ndarray) -> np.ndarray:
    """Texture coordinates (n, 2) of points given in pixels of the head."""
    return (np.asarray(points, dtype=np.float32) - (COLUMNS[0], TOP)) * DENSITY


def blend(
    texture: np.ndarray,
    points: np.ndarray,
    colour: np.ndarray,
    opacity: float = 1.0,
    softness: float = 0.0,
    thickness: float = 0.0,
    within: np.ndarray | None = None,
) -> None:
    """Lays a polygon, or with a thickness an open line, of points (n, 2) over a float texture; all lengths in pixels of the head.

    softness is the standard deviation of the edge's blur; `within` a polygon outside which nothing is painted.
    """
    corners, margin = texels(points), (3 * softness + thickness) * DENSITY + 2
    low = np.maximum(np.floor(corners.min(0) - margin), 0).astype(int)
    high = np.ceil(corners.max(0) + margin).astype(int)
    patch = texture[low[1] : high[1], low[0] : high[0]]
    mask = np.zeros(patch.shape[:2], np.uint8)
    if thickness:
        cv2.polylines(mask, [_fixed(corners - low)], False, 255, max(1, round(thickness * DENSITY)), cv2.LINE_AA, SHIFT)
    else:
        cv2.fillPoly(mask, [_fixed(corners - low)], 255, cv2.LINE_AA, SHIFT)
    if softness:
        mask = cv2.GaussianBlur(mask, (0, 0), softness * DENSITY)
    if within is not None:
        mask = cv2.min(mask, cv2.fillPoly(np.zeros_like(mask), [_fixed(texels(within) - low)], 255, cv2.LINE_AA, SHIFT))
    patch += (np.asarray(colour, np.float32) - patch) * (mask[..., None] * np.float32(opacity / 255))


def _fixed(corners: np.ndarray) -> np.ndarray:
    """OpenCV's fixed-point coordinates."""
    return np.rint(corners * (1 << SHIFT)).astype(np.int32)


def noise(rng: np.random.Generator, rows: int, columns: int, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    """Smooth noise of unit spread with so many knots down and across, float32 of the given shape."""
    knots = rng.standard_normal((rows, columns), dtype=np.float32)
    return cv2.resize(knots, shape[::-1], interpolation=cv2.INTER_CUBIC)


def enlarge(coarse: np.ndarray) -> np.ndarray:
    """A map on the head's grid brought to the texture's density."""
    return cv2.resize(coarse, SHAPE[::-1], interpolation=cv2.INTER_LINEAR)
