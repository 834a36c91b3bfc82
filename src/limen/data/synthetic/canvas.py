"""Soft polygons and streaks of noise on the head's texture."""

import cv2
import numpy as np

from limen.data.synthetic.head import COLUMNS, ROWS, TOP

DENSITY = 2  # texels to the pixel
SHAPE = (len(ROWS) * DENSITY, len(COLUMNS) * DENSITY)
ORIGIN = np.array([COLUMNS[0], TOP])
SHIFT = 4  # fractional bits of OpenCV's drawing
Colour = np.ndarray | tuple[float, float, float]


def texels(points: np.ndarray) -> np.ndarray:
    """Texture coordinates (n, 2) of points given in pixels of the head."""
    return (points - ORIGIN) * DENSITY


def window(points: np.ndarray) -> tuple[slice, slice]:
    """The part of a texture that holds the points, with room to spare."""
    corners = texels(points)
    (left, top), (right, bottom) = corners.min(0).astype(int) - 4, corners.max(0).astype(int) + 4
    return slice(top, bottom), slice(left, right)


def fill(texture: np.ndarray, points: np.ndarray, colour: Colour, thickness: float = 0.0) -> None:
    """A polygon, or with a thickness an open line, of points (n, 2) drawn hard on a texture; lengths in pixels of the head."""
    _draw(texture, texels(points), tuple(map(float, colour)), thickness * DENSITY)


def keep_within(patch: np.ndarray, outside: np.ndarray, points: np.ndarray, place: tuple[slice, slice]) -> None:
    """Puts `outside` back into a patch of a texture beyond the polygon."""
    mask = np.zeros(patch.shape[:2], np.uint8)
    _draw(mask, texels(points) - (place[1].start, place[0].start), 255, 0)
    inside = mask * np.float32(1 / 255)
    patch[:] = cv2.blendLinear(patch, outside, inside, 1 - inside)


def paint(
    texture: np.ndarray, points: np.ndarray, colour: Colour, opacity: float = 1.0, softness: float = 0.0, thickness: float = 0.0
) -> None:
    """`blend` on a texture of the head, with all lengths in pixels of the head."""
    blend(texture, texels(points), colour, opacity, softness * DENSITY, thickness * DENSITY)


def blend(image: np.ndarray, corners: np.ndarray, colour: Colour, opacity: float, softness: float, thickness: float = 0.0) -> None:
    """Lays a polygon, or with a thickness an open line, of corners (n, 2) over an image (H, W, 3), in place.

    softness is the standard deviation of the edge's blur.
    """
    margin = int(3 * softness + thickness) + 2
    x, y, width, height = cv2.boundingRect(corners.astype(np.float32))
    left, top = max(x - margin, 0), max(y - margin, 0)
    patch = image[top : max(y + height + margin, 0), left : max(x + width + margin, 0)]
    if patch.size:
        mask = np.zeros(patch.shape[:2], np.uint8)
        _draw(mask, corners - (left, top), 255, thickness)
        cover = cv2.GaussianBlur(mask, (0, 0), softness).astype(np.float32)
        alpha = cv2.cvtColor(cover, cv2.COLOR_GRAY2RGB) * np.float32(opacity / 255)
        patch[:] = patch - alpha * cv2.subtract(patch, np.array([*np.minimum(colour, 255), 0.0]), dtype=cv2.CV_32F)


def _draw(image: np.ndarray, corners: np.ndarray, colour: float | tuple[float, ...], thickness: float) -> None:
    fixed = np.rint(corners * (1 << SHIFT)).astype(np.int32)
    if thickness:
        cv2.polylines(image, [fixed], False, colour, max(1, round(thickness)), cv2.LINE_AA, SHIFT)
    else:
        cv2.fillPoly(image, [fixed], colour, cv2.LINE_AA, SHIFT)


def noise(rng: np.random.Generator, rows: int, columns: int, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    """Smooth noise of unit spread with so many knots down and across, float32 of the given shape."""
    knots = rng.standard_normal((rows, columns), dtype=np.float32)
    return cv2.resize(knots, shape[::-1], interpolation=cv2.INTER_CUBIC)


def enlarge(coarse: np.ndarray) -> np.ndarray:
    """A map on the head's grid brought to the texture's density."""
    return cv2.resize(coarse, SHAPE[::-1], interpolation=cv2.INTER_LINEAR)
