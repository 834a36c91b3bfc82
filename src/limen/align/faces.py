"""What a detector finds in a photo, and which of several faces is meant."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from limen.errors import LimenError

RULES = ("largest", "central", "all")


@dataclass(frozen=True)
class Face:
    """A face in a photo.

    Attributes:
        box: (4,) left, top, width and height in pixels; it may reach beyond the photo.
        score: of the detector, higher is surer; NaN where nobody gave one.
        points: (5, 2) eye on the image's left, eye on its right, tip of the nose, corner of the mouth on the left, on the right.
    """

    box: np.ndarray
    score: float
    points: np.ndarray

    def moved(self, matrix: np.ndarray) -> "Face":
        """The face where the similarity `matrix` (2, 3) puts it; its box stays upright, around the corners of the former one."""
        left, top, width, height = self.box
        corners = np.array([[left, top], [left + width, top], [left, top + height], [left + width, top + height]])
        corners, points = (places @ matrix[:, :2].T + matrix[:, 2] for places in (corners, self.points))
        low = corners.min(0)
        return Face(np.r_[low, corners.max(0) - low], self.score, points)


class Detector(Protocol):
    """Finds faces; `limen.align.yunet.YuNet` is one. One of your own needs these members and no more, and threads share it.

    Attributes:
        sure: the score from which a face is surely upright. Below it, FaceSearch shows the photo turned as well; 0 never does.
    """

    sure: float

    @property
    def description(self) -> dict[str, str]:
        """What decides its answers, such as its name and the hash of its file. It stands beside every number."""
        ...

    def detect(self, image: np.ndarray) -> list[Face]:
        """The faces in an (H, W, 3) uint8 RGB image, in any order; none where there is none."""
        ...


def choose(faces: Sequence[Face], rule: str, width: int, height: int) -> list[Face]:
    """The faces that `rule` means in a photo of `width` times `height` pixels.

    largest   the one with the largest box
    central   the one whose box has its centre nearest to the photo's
    all       every one, the largest first

    Of equals, the one with the better score. Raises LimenError for a rule that is none of these.

    >>> import numpy as np
    >>> from limen.align import Face, choose
    >>> small, large = (Face(np.array([0, 0, side, side]), 0.9, np.zeros((5, 2))) for side in (20, 40))
    >>> [int(face.box[2]) for face in choose([small, large], "largest", 300, 300)]
    [40]
    """
    if rule not in RULES:
        raise LimenError(f"faces: {rule!r} is not known; choose from {', '.join(RULES)}")
    ordered = sorted(faces, key=lambda face: (-face.box[2] * face.box[3], -face.score, *face.box))
    if rule == "central":
        middle = (width / 2, height / 2)
        ordered = sorted(ordered, key=lambda face: np.square(face.box[:2] + face.box[2:] / 2 - middle).sum())
    return ordered if rule == "all" else ordered[:1]
