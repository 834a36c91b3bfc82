"""From a photo of any size, whichever way up, to its faces: what a detector is shown, one view after another."""

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np

from limen.align.faces import Detector, Face
from limen.errors import LimenError

SIDE = 640  # pixels of the longer side that a detector is shown
BORDER = 0.25  # of the photo's longer side, around it
MARGIN = 0.03  # of the score, by which a turned photo has to be better: most photos are upright


class FaceSearch:
    """Finds the faces of photos with a detector.

    A photo is shown so reduced that its longer side has `side` pixels. Where the best score is not that of a surely upright face, it is
    shown turned by 90, 270 and 180 degrees: YuNet finds lying faces, with points as if they stood, and with lower scores. A turned view
    counts where its best score is higher by MARGIN. Where no face is found, the photo is also shown halved inside a black border (for
    faces cut off by the edge, or larger than the detector knows) and at twice the size (for small faces), and the best score counts. So a
    photo without a face costs about nine times the time.

    Args:
        detector: see Detector.
        side: in pixels. Faces of less than about a fiftieth of the longer side are found with a larger one.
    """

    def __init__(self, detector: Detector, side: int = SIDE):
        if side < 32:
            raise LimenError(f"side: {side} pixels are too few for a detector; give 32 or more (640)")
        self.detector, self.side = detector, side

    @property
    def description(self) -> dict[str, Any]:
        return {**self.detector.description, "side": self.side}

    def faces(self, photo: np.ndarray, where: str) -> list[Face]:
        """The faces in a photo (H, W, 3) uint8 RGB, in its pixels; none where there is none. `where` is for finders that look it up."""
        plain, back = _scaled(photo, min(1, self.side / max(photo.shape[:2])))
        best = [face.moved(back) for face in self.detector.detect(plain)]
        if best and _top(best) >= self.detector.sure:
            return best
        views = list(_turned(plain, back))
        if not best:
            views += [_bordered(plain, back), _scaled(photo, min(2, 2 * self.side / max(photo.shape[:2])))]
        least = _top(best) + MARGIN if best else 0
        for view, back in views:
            found = [face.moved(back) for face in self.detector.detect(view)]
            if found and _top(found) > least:
                best, least = found, _top(found)
        return best


def _top(faces: list[Face]) -> float:
    return max(face.score for face in faces)


def _bordered(plain: np.ndarray, back: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Half of `plain` inside a black border, and the matrix (2, 3) from its pixels to the photo's; `back` is that of `plain`."""
    half, unhalve = _scaled(plain, 0.5)
    border = round(BORDER * max(half.shape[:2]))
    bordered = cv2.copyMakeBorder(half, border, border, border, border, cv2.BORDER_CONSTANT, value=0)
    return bordered, _after(back, _after(unhalve, np.array([[1.0, 0, -border], [0, 1, -border]])))


def _turned(plain: np.ndarray, back: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """`plain` turned, and the matrix from its pixels to the photo's."""
    height, width = plain.shape[:2]
    turns = {  # from a pixel of the turned photo to that of the upright one
        cv2.ROTATE_90_CLOCKWISE: [[0, 1, 0], [-1, 0, height - 1]],
        cv2.ROTATE_90_COUNTERCLOCKWISE: [[0, -1, width - 1], [1, 0, 0]],
        cv2.ROTATE_180: [[-1, 0, width - 1], [0, -1, height - 1]],
    }
    for turn, upright in turns.items():
        yield cv2.rotate(plain, turn), _after(back, np.array(upright, float))


def _scaled(image: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """The image at about `scale`, and the matrix from its pixels back; a pixel's place is its centre."""
    height, width = image.shape[:2]
    new_width, new_height = max(1, round(width * scale)), max(1, round(height * scale))
    if (new_width, new_height) == (width, height):
        return image, np.eye(2, 3)
    smaller = new_width * new_height < width * height
    scaled = cv2.resize(image, (new_width, new_height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
    x, y = width / new_width, height / new_height
    return scaled, np.array([[x, 0, (x - 1) / 2], [0, y, (y - 1) / 2]])


def _after(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    """(2, 3) the matrix of `inner`, then `outer`."""
    return outer[:, :2] @ inner + np.c_[np.zeros((2, 2)), outer[:, 2]]
