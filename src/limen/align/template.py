"""The five-point template of ArcFace, and the warp of a face onto it."""

import cv2
import numpy as np

from limen.errors import LimenError

SIZE = 112
"""Side in pixels of an aligned face; every other room takes the number from here."""

# Eye on the image's left, eye on its right, tip of the nose, corner of the mouth on the left, on the right.
TEMPLATE = np.array([[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]])
TEMPLATE.flags.writeable = False


def similarity(points: np.ndarray, target: np.ndarray = TEMPLATE) -> np.ndarray:
    """(2, 3) the matrix A of the similarity that maps `points` (P, 2) onto `target` (P, 2) with the least sum of squared distances.

    Equals Umeyama's (1991, equations 40 to 42) without mirroring: with points as complex numbers, w = a z + b turns by the angle of a and
    scales by |a|, so that the least squares are those of one complex line.
    Raises LimenError for points of another shape, that are not finite, or all on one spot.

    >>> import numpy as np
    >>> from limen.align import TEMPLATE, similarity
    >>> similarity(TEMPLATE * 2).round(3) + 0.0  # points twice as far apart: halve them
    array([[0.5, 0. , 0. ],
           [0. , 0.5, 0. ]])
    """
    points, target = np.asarray(points, float), np.asarray(target, float)
    if points.shape != target.shape:
        raise LimenError(f"points: {target.shape[0]} points (x, y) are needed, not an array of shape {points.shape}")
    if not np.isfinite(points).all():
        raise LimenError("points: some are not finite numbers; leave this face out, or correct them")
    z, w = points @ (1, 1j), target @ (1, 1j)
    spread = np.square(np.abs(z - z.mean())).sum()
    if spread <= np.square(1e-6 * np.abs(z).max()):
        raise LimenError("points: all lie on one spot; leave this face out, or correct them")
    a = np.vdot(z - z.mean(), w - w.mean()) / spread  # vdot conjugates its first argument
    b = w.mean() - a * z.mean()
    return np.array([[a.real, -a.imag, b.real], [a.imag, a.real, b.imag]])


def warp(image: np.ndarray, points: np.ndarray, size: int = SIZE) -> np.ndarray:
    """(size, size, 3) uint8: the face whose five `points` (5, 2) are given, moved onto the template; black where the photo ends.

    Args:
        image: (H, W, 3) uint8 RGB.
        points: eye on the image's left, eye on its right, tip of the nose, corner of the mouth on the left, on the right.
        size: a size other than 112 scales the template.

    Raises:
        LimenError: see `similarity`.

    >>> import numpy as np
    >>> from limen.align import TEMPLATE, warp
    >>> photo = np.zeros((300, 300, 3), np.uint8)
    >>> warp(photo, TEMPLATE + 50).shape  # the face lay 50 pixels right and down
    (112, 112, 3)
    """
    matrix = similarity(points) * (size / SIZE)
    return cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
