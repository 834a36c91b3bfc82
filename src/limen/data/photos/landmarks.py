"""Five points that people already have, in place of a detector: a file beside each photo, or one list.

A list has a line for each face, in one of these forms; commas may stand for spaces:
  name x1 y1 ... x5 y5 [score]       as IJB's name_5pts_score.txt
  name TAB label TAB x1 ... y5       as RFW's _lmk.txt
A file of one face, NAME.txt, NAME.pts or NAME_5loc_attri.txt (CALFW, CPLFW), has five lines `x y`.
"""

import os
import re
from collections import defaultdict
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from limen.align import SIZE, TEMPLATE, Face, similarity
from limen.data.images import stem_of
from limen.errors import LimenError, UnreadableImage
from limen.files import MIB, file_sha256, read_plain_file

LARGEST = 1024 * MIB
ENDINGS = ("_5loc_attri.txt", ".txt", ".pts")
FORM = "five points need `name x1 y1 x2 y2 x3 y3 x4 y4 x5 y5 [score]`, or RFW's form with a label after the name and tabs"
PLAUSIBLE = 0.5  # share of the template's spread that five points have to explain; profiles explain more
BEYOND = 0.1  # of a photo's side that a point may lie outside it


class GivenLandmarks:
    """A FaceFinder that looks faces up.

    A photo is the one of a list whose path ends as its own does, endings of images apart; of a path of several parts, two have to agree.
    In a folder, the file of a photo has its name, and lies below it as the photo below `photos`, or in it.

    Args:
        path: a list, or a folder of files of one face each.
        photos: the folder of the photos.

    Raises:
        LimenError: a list that is missing or damaged.
    """

    def __init__(self, path: str | PathLike[str], photos: str | PathLike[str]):
        self.path, self.photos = Path(path), Path(photos)
        self._listed: dict[str, list[tuple[tuple[str, ...], Face]]] = defaultdict(list)
        if not self.path.is_dir():
            for parts, points, score in read_list(self.path):
                self._listed[parts[-1]].append((parts, _face(points, score)))

    @property
    def description(self) -> dict[str, Any]:
        return {"landmarks": self.path.name} | ({} if self.path.is_dir() else {"landmarks_sha256": file_sha256(self.path)})

    def faces(self, photo: np.ndarray, where: str) -> list[Face]:
        """The faces of the photo at the path `where`. Raises UnreadableImage where it has none, or points that are not of a face in it."""
        found = self._of_its_file(where) if self.path.is_dir() else self._of_the_list(where)
        if not found:
            raise UnreadableImage(f"{where}: has no landmarks in {self.path}")
        height, width = photo.shape[:2]
        for face in found:
            if fault := landmark_fault(face.points, width, height):
                raise UnreadableImage(f"{where}: its landmarks in {self.path} {fault}")
        return found

    def _of_the_list(self, where: str) -> list[Face]:
        own = _parts(where)
        alike: dict[int, set[tuple[str, ...]]] = defaultdict(set)
        for parts, _ in self._listed.get(own[-1], []):
            common = _common_end(own, parts)
            if common >= min(2, len(parts)):
                alike[common].add(parts)
        if not alike:
            return []
        best = alike[max(alike)]
        if len(best) > 1:
            few = " and ".join("/".join(parts) for parts in sorted(best)[:2])
            raise UnreadableImage(f"{where}: {self.path} has landmarks of {few}, either of which it may be; give a folder further up")
        return [face for parts, face in self._listed[own[-1]] if parts in best]

    def _of_its_file(self, where: str) -> list[Face]:
        relative = Path(os.path.relpath(where, self.photos))
        for folder in (self.path / relative.parent, self.path):
            for ending in ENDINGS:
                if (file := folder / (stem_of(relative.name) + ending)).is_file():
                    try:
                        return [_face(read_points(file))]
                    except LimenError as error:
                        raise UnreadableImage(f"{where}: {error}") from error
        return []


def landmark_fault(points: np.ndarray, width: int, height: int) -> str | None:
    """What keeps five given points from being a face in a photo of that size: a sentence's end; None where nothing does."""
    side = np.array([width, height])
    if (points < -BEYOND * side).any() or (points > (1 + BEYOND) * side).any():
        return f"lie outside its {width}x{height} pixels; they may be of another size of it"
    try:
        fit, mirrored = (_explained(points[order]) for order in ([0, 1, 2, 3, 4], [1, 0, 2, 4, 3]))
    except LimenError as error:
        return f"are no face ({error})"
    if fit < PLAUSIBLE < mirrored:
        return "are mirrored; the eye and the corner of the mouth on the image's left come first"
    if fit < PLAUSIBLE:
        return "are not in the order of eyes, nose, corners of the mouth, as x y"
    return None


def _explained(points: np.ndarray) -> float:
    """Share of the template's spread that the points explain once they are laid onto it, 1 for the template's own shape."""
    matrix = similarity(points)
    left = np.square(points @ matrix[:, :2].T + matrix[:, 2] - TEMPLATE).sum()
    return 1 - left / np.square(TEMPLATE - TEMPLATE.mean(0)).sum()


def _face(points: np.ndarray, score: float = np.nan) -> Face:
    """The face of given points; its box holds the crop."""
    try:
        crop = Face(np.array([0, 0, SIZE, SIZE], float), score, TEMPLATE).moved(similarity(TEMPLATE, points)).box
    except LimenError:  # said of the photo, by landmark_fault
        crop = np.zeros(4)
    return Face(crop, score, points)


def read_list(path: Path) -> list[tuple[tuple[str, ...], np.ndarray, float]]:
    """The parts of each name of a list, without the ending of an image; its points (5, 2); its score, NaN where there is none.

    Raises LimenError for a line of none of the forms, and an empty list.
    """
    text = read_plain_file(path, LARGEST).decode("utf-8-sig", "surrogateescape")
    found = []
    for number, line in enumerate(re.split("\r\n|\n|\r", text), start=1):
        if not line.strip():
            continue
        fields = [field.strip() for field in line.split("\t")] if "\t" in line else re.split(r"\s*,\s*|\s+", line.strip())
        values = _numbers(fields[1:])
        if len(fields) == 12 and values is not None:
            points, score = (values[1:], np.nan) if "\t" in line else (values[:10], values[10])
        elif len(fields) == 11 and values is not None:
            points, score = values, np.nan
        elif number == 1 and all(_numbers([field]) is None for field in fields):
            continue  # the names of columns
        else:
            raise LimenError(f"{path}: line {number} has {len(fields)} fields or one that is no number; {FORM}; correct it")
        found.append((_parts(fields[0]), points.reshape(5, 2), float(score)))
    if not found:
        raise LimenError(f"{path}: holds no landmarks; {FORM}")
    return found


def read_points(path: Path) -> np.ndarray:
    """(5, 2) of a file of one face. Raises LimenError for another one."""
    lines = read_plain_file(path, MIB).decode("utf-8-sig", "surrogateescape").splitlines()
    kept = [line for line in lines if line.strip() and not re.match(r"\s*(version|n_points)\s*:|\s*[{}]\s*$", line)]
    rows = [_numbers(re.split(r"\s*,\s*|\s+", line.strip())) for line in kept]
    if len(rows) != 5 or any(row is None or len(row) != 2 for row in rows):
        raise LimenError(f"{path}: holds {len(rows)} lines where five lines `x y` are expected; correct it or leave the file out")
    return np.array(rows)


def _numbers(fields: list[str]) -> np.ndarray | None:
    try:
        values = np.array([float(field) for field in fields])
    except ValueError:
        return None
    return values if np.isfinite(values).all() else None


def _parts(name: str) -> tuple[str, ...]:
    """The parts of a path, without the ending of an image: RFW's begins with a slash, Windows' has other ones."""
    *folders, last = [part for part in re.split(r"[/\\]", name) if part not in ("", ".")] or [""]
    return (*folders, stem_of(last))


def _common_end(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    """How many of the last parts are the same."""
    return next((count for count, (a, b) in enumerate(zip(one[::-1], other[::-1], strict=False)) if a != b), min(len(one), len(other)))
