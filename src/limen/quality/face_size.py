"""The size of the face before it was aligned, which an aligned crop no longer shows."""

import math
from collections.abc import Sequence
from os import PathLike

import numpy as np

from limen.align import SIZE as ALIGNED
from limen.data.image_table import ImageTable
from limen.errors import LimenError
from limen.recogniser import check_images


class FaceSize:
    """Square root of the area of the face's box in the photo, in pixels.

    Args:
        boxes: a CSV file with the columns file, width, height: the detector's box of each image. Files are found as
            limen.data.image_table.ImageTable says. None measures the images themselves, which then are the crops before
            alignment.

    Raises:
        LimenError: a CSV that cannot be used; in scoring, an image that is not in it, and aligned crops without one.

    >>> import numpy as np
    >>> from limen.quality import FaceSize
    >>> FaceSize().score(np.zeros((1, 80, 20, 3), np.uint8))  # a crop before alignment: sqrt(80 * 20)
    array([40.])
    """

    name = "face_size"
    needs = "It needs the size of the face in the photo: a CSV file with the columns file, width, height (face_size:boxes.csv)."

    def __init__(self, boxes: str | PathLike[str] | None = None):
        self.boxes = None if boxes is None else ImageTable(boxes, ("width", "height"), _size)

    def score(self, images: np.ndarray, files: Sequence[str] | None = None) -> np.ndarray:
        check_images(images)
        if self.boxes is None:
            if images.shape[1:3] == (ALIGNED, ALIGNED):
                raise LimenError(f"face_size: crops of {ALIGNED}x{ALIGNED} pixels are aligned ones, all of one size. {self.needs}")
            return np.full(len(images), math.sqrt(images.shape[1] * images.shape[2]))
        if files is None or len(files) != len(images):
            raise LimenError(f"face_size: the name of each image's file is needed to find it in {self.boxes.path}; pass files")
        sizes = [self.boxes.get(file) for file in files]
        for file in (file for file, size in zip(files, sizes, strict=True) if size is None):
            raise LimenError(f"{self.boxes.path}: has no row for {file}; add its file, width and height")
        return np.array(sizes, float)


def _size(width: str, height: str) -> float:
    size = math.sqrt(float(width) * float(height))
    if not 0 < size < math.inf:
        raise ValueError(f"a box of {width} x {height}")
    return size
