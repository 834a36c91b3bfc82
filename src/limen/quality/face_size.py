"""The size of the face before it was aligned, which an aligned crop no longer shows."""

import csv
import math
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import numpy as np

from limen.errors import LimenError
from limen.quality.measure import check_images

ALIGNED = 112


class FaceSize:
    """Square root of the area of the face's box in the photo, in pixels.

    Args:
        boxes: a CSV file with the columns file, width, height: the detector's box of each image. A file is found as it is written
            there, or by its path from the folder of the CSV. None measures the images themselves, which then are the crops before
            alignment.

    Raises:
        LimenError: a CSV that cannot be used; in scoring, an image that is not in it, and aligned crops without one.
    """

    name = "face_size"
    needs = "It needs the size of the face in the photo: a CSV file with the columns file, width, height (face_size:boxes.csv)."

    def __init__(self, boxes: str | PathLike[str] | None = None):
        self.boxes = None if boxes is None else Path(boxes)
        self.sizes = {} if self.boxes is None else _read(self.boxes)

    def score(self, images: np.ndarray, files: Sequence[str] | None = None) -> np.ndarray:
        check_images(images)
        if self.boxes is None:
            if images.shape[1:3] == (ALIGNED, ALIGNED):
                raise LimenError(f"face_size: crops of {ALIGNED}x{ALIGNED} pixels are aligned ones, all of one size. {self.needs}")
            return np.full(len(images), math.sqrt(images.shape[1] * images.shape[2]))
        if files is None or len(files) != len(images):
            raise LimenError(f"face_size: the name of each image's file is needed to find it in {self.boxes}; pass files")
        return np.array([self._size(file) for file in files])

    def _size(self, file: str) -> float:
        for known in (file, str(Path(file).resolve())):
            if known in self.sizes:
                return self.sizes[known]
        raise LimenError(f"{self.boxes}: has no row for {file}; add its file, width and height")


def _read(path: Path) -> dict[str, float]:
    sizes = {}
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            if missing := {"file", "width", "height"} - set(rows.fieldnames or ()):
                raise LimenError(f"{path}: lacks the column {', '.join(sorted(missing))}; the first line is file,width,height")
            for row in rows:
                size = math.sqrt(float(row["width"]) * float(row["height"]))
                if not 0 < size < math.inf:
                    raise ValueError(f"a box of {row['width']} x {row['height']}")
                sizes[row["file"]] = sizes[str((path.parent / row["file"]).resolve())] = size
    except OSError as error:
        raise LimenError(f"{path}: {error.strerror}; give a CSV file with the columns file, width, height") from error
    except (ValueError, TypeError, csv.Error) as error:
        raise LimenError(f"{path}: line {rows.line_num} is no file with a width and a height in pixels ({error}); correct it") from error
    return sizes
