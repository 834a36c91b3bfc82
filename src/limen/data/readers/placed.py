"""Encoded images that stand in one piece in larger files: what readers of such files share."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from limen.data.images import LARGEST_FILE, decode_image
from limen.errors import LimenError, UnreadableImage
from limen.files import explain, open_plain_file, read_at


class PlacedSource:
    """A FaceSource of images of which a subclass has found where they stand.

    An image is one read at its place. Workers share nothing: each opens the files for itself.

    A subclass sets

        files                 the files
        places                (N, 3) int64: the number of the file, the first byte, how many bytes
        labels, class_names   as of FaceSource
        size, on_other_size   as of FolderSource

    and has `locate`.
    """

    files: Sequence[Path]
    places: np.ndarray
    labels: np.ndarray
    class_names: Sequence[str]
    size: int
    on_other_size: str

    def __init__(self) -> None:
        self._open: dict[int, BinaryIO] = {}

    def __len__(self) -> int:
        return len(self.labels)

    def locate(self, index: int) -> str:
        raise NotImplementedError

    def image(self, index: int) -> np.ndarray:
        where = self.locate(index)
        try:
            encoded = self.encoded(index)
        except LimenError as error:  # the file has changed since it was opened
            raise UnreadableImage(f"{where}: {error}") from error
        return decode_image(encoded, where, self.size, self.on_other_size)

    def encoded(self, index: int) -> bytes:
        """Image `index` as it stands in the file."""
        number, start, length = self.places[index].tolist()
        if length > LARGEST_FILE:
            raise LimenError(f"{length:,} bytes are no image")
        try:
            data = read_at(self.opened(number).fileno(), length, start)
        except OSError as error:
            raise LimenError(explain(error)) from error
        if len(data) < length:
            raise LimenError("the file has become shorter; fetch it again")
        return data

    def opened(self, number: int) -> BinaryIO:
        if number not in self._open:
            self._open[number] = open_plain_file(self.files[number])
        return self._open[number]

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_open": {}}


def people_of_numbers(numbers: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Labels (N,) in [0, C) and C names of people who are known by `numbers` (N,) alone, in the order of these."""
    known, labels = np.unique(numbers, return_inverse=True)
    return labels.astype(np.int64), [str(number) for number in known.tolist()]
