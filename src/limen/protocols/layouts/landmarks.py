"""Faces that are not aligned, with five points each: moved onto the template as they are read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from limen.align import Face
from limen.data.images import image_size
from limen.data.photos import AlignedSource
from limen.data.photos.landmarks import landmark_fault
from limen.data.readers import FileSource
from limen.data.source import ImageSource
from limen.errors import LimenError, UnreadableImage
from limen.protocols.layouts.tree import first_raw, raw_refused

SHOWN = 100  # faces whose points are checked against their images before any is read


@dataclass(frozen=True)
class _Known:
    """A FaceFinder of one face an image: `points` (5, 2) by the image's path."""

    points: Mapping[str, np.ndarray]

    @property
    def description(self) -> dict[str, Any]:
        return {"alignment": "five points of the benchmark"}

    def faces(self, photo: np.ndarray, where: str) -> list[Face]:
        if where not in self.points:
            raise UnreadableImage(f"{where}: has no landmarks")
        return [Face(np.zeros(4), np.nan, self.points[where])]


def crops(files: Sequence[Path], name: str, points_of: Callable[[Path], np.ndarray | None]) -> ImageSource:
    """The files as they are where they are aligned crops of 112x112; else moved onto the template by their points.

    A few faces may have points that are no face: they are aligned by them all the same, as the benchmarks' numbers are. Where most have,
    the list is another one, or in another order.

    Args:
        name: of the benchmark, for messages.
        points_of: (5, 2) the points of a file, None where it has none.

    Raises:
        LimenError: raw images of which none has points, and points of which most are no face in their image.
    """
    if not (raw := first_raw(files)):
        return FileSource(files)
    points = {str(file): found for file in files if (found := points_of(file)) is not None}
    if not points:
        raise raw_refused(name, *raw)
    _check(points, name)
    return AlignedSource(FileSource(files, size=None), _Known(points))


def _check(points: Mapping[str, np.ndarray], name: str) -> None:
    """Raises LimenError where the points of most of some images are no face in them."""
    files = list(points)
    shown = [files[place] for place in np.unique(np.linspace(0, len(files) - 1, SHOWN).round().astype(int))]
    faults = []
    for file in shown:
        try:
            if fault := landmark_fault(points[file], *image_size(Path(file))):
                faults.append((file, fault))
        except UnreadableImage:  # a failure to acquire, later
            continue
    if 2 * len(faults) > len(shown):
        file, fault = faults[0]
        raise LimenError(f"{name}: {file}: its landmarks {fault} (so of {len(faults)} of {len(shown)} images); fetch the landmarks again")
