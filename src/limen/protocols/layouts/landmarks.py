"""Faces that are not aligned, with five points each: moved onto the template as they are read."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from limen.align import warp
from limen.data.images import read_photo
from limen.data.readers import FileSource
from limen.data.source import ImageSource
from limen.errors import LimenError, UnreadableImage
from limen.protocols.layouts.text import rows_of, wrong_line
from limen.protocols.layouts.tree import first_raw, raw_refused

ALIGNED = "five points onto the template, as read (similarity, bilinear)"


class WarpedSource:
    """An ImageSource of the faces in `files`, each moved onto the template by its `points` (N, 5, 2), (x, y) in pixels; NaN is none."""

    def __init__(self, files: Sequence[str | Path], points: np.ndarray) -> None:
        self.paths = [str(file) for file in files]
        self.points = points

    def __len__(self) -> int:
        return len(self.paths)

    def image(self, index: int) -> np.ndarray:
        photo = read_photo(self.paths[index])
        try:
            return warp(photo, self.points[index])
        except LimenError as error:
            raise UnreadableImage(f"{self.paths[index]}: cannot be aligned ({error})") from error

    def locate(self, index: int) -> str:
        return self.paths[index]


def crops(files: Sequence[Path], name: str, points_of: Callable[[Path], np.ndarray | None]) -> ImageSource:
    """The files as they are where they are aligned crops of 112x112; else moved onto the template by their points.

    Args:
        name: of the benchmark, for messages.
        points_of: (5, 2) the points of a file, None where it has none.

    Raises:
        LimenError: raw images of which none has points.
    """
    if not (raw := first_raw(files)):
        return FileSource(files)
    points = [points_of(file) for file in files]
    if all(found is None for found in points):
        raise raw_refused(name, *raw)
    return WarpedSource(files, np.stack([np.full((5, 2), np.nan) if found is None else found for found in points]))


def five_points(path: Path) -> np.ndarray:
    """(5, 2) of a file of five lines `x y`. Raises LimenError for another one."""
    rows = [numbers_of(path, line, row) for line, row in rows_of(path, 2)][:5]
    if len(rows) < 5:
        raise LimenError(f"{path}: holds {len(rows)} points where 5 are expected; fetch it again")
    return np.array(rows)


def numbers_of(path: Path, line: int, row: Sequence[str]) -> list[float]:
    """The fields of a line as numbers. Raises LimenError that names the line."""
    try:
        values = [float(text) for text in row]
    except ValueError as error:
        raise wrong_line(path, line, f"has a field that is no number ({error})") from error
    if not np.isfinite(values).all():
        raise wrong_line(path, line, "has a number that is not finite")
    return values
