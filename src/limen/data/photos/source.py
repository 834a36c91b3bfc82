"""A source of photos seen as a source of aligned faces: the one mechanism by which anything that embeds images takes photos."""

from typing import Any, Protocol

import numpy as np

from limen.align import RULES, SIZE, Face, choose, warp
from limen.data.source import ImageSource
from limen.errors import LimenError, UnreadableImage

NO_FACE = "no face found in it"


class FaceFinder(Protocol):
    """Where the faces of a photo come from: `limen.align.FaceSearch` asks a detector, GivenLandmarks a list."""

    @property
    def description(self) -> dict[str, Any]:
        """What decides the answers; it stands beside every number."""
        ...

    def faces(self, photo: np.ndarray, where: str) -> list[Face]:
        """The faces in a photo (H, W, 3) uint8 RGB that comes from `where`, in its pixels. May raise UnreadableImage."""
        ...


def aligned_faces(photo: np.ndarray, where: str, finder: FaceFinder, rule: str, size: int = SIZE) -> list[tuple[Face, np.ndarray]]:
    """Each face that `rule` means, and its aligned crop (size, size, 3). Raises UnreadableImage where there is none."""
    height, width = photo.shape[:2]
    found = choose(finder.faces(photo, where), rule, width, height)
    if not found:
        raise UnreadableImage(f"{where}: {NO_FACE}")
    try:
        return [(face, warp(photo, face.points, size)) for face in found]
    except LimenError as error:
        raise UnreadableImage(f"{where}: cannot be aligned ({error})") from error


class AlignedSource:
    """An ImageSource of one aligned face of each photo of another. A photo without a face is an UnreadableImage: a failure to acquire.

    Args:
        source: whole photos of any size, such as FileSource(paths, size=None).
        finder: where their faces come from.
        rule: "largest" or "central", see `limen.align.choose`.
        size: of the crops, in pixels.
    """

    def __init__(self, source: ImageSource, finder: FaceFinder, rule: str = "largest", size: int = SIZE) -> None:
        if rule not in RULES or rule == "all":
            raise LimenError(f"faces: {rule!r} does not choose one face of a photo; use largest or central")
        self.source, self.finder, self.rule, self.size = source, finder, rule, size

    @property
    def description(self) -> dict[str, Any]:
        return {**self.finder.description, "faces": self.rule}

    def __len__(self) -> int:
        return len(self.source)

    def image(self, index: int) -> np.ndarray:
        ((_, crop),) = aligned_faces(self.source.image(index), self.locate(index), self.finder, self.rule, self.size)
        return crop

    def locate(self, index: int) -> str:
        return self.source.locate(index)
