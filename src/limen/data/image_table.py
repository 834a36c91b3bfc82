"""A CSV file that gives images numbers."""

import os
import unicodedata
from collections.abc import Callable
from os import PathLike
from pathlib import Path

import numpy as np

from limen.data.source import ImageSource
from limen.errors import LimenError
from limen.tables import read_csv


class ImageTable:
    """`number(*values)` of the `columns` of every image in a CSV file that has them and a column `file`.

    A file is named as `get` will be asked for it, or by its path from the working folder or from the folder of the CSV, with its accents
    composed or not; other columns are passed over, and so are rows
    without a file.

    Raises:
        LimenError: no such CSV, a column that it lacks, a row of which `number` makes none (ValueError), two rows of one file that differ.
    """

    def __init__(self, path: str | PathLike[str], columns: tuple[str, ...], number: Callable[..., float]):
        self.path = path = Path(path)
        self.columns = wanted = ("file", *columns)
        self._numbers: dict[str, float] = {}
        for line, row in read_csv(path, wanted):
            try:
                if not (name := row["file"]):
                    continue
                found = number(*(row[column] for column in columns))
                for known_as in {name, os.path.realpath(name), os.path.realpath(path.parent / name)}:
                    if str(self._numbers.setdefault(known_as, found)) != str(found):  # as text, for nan is not equal to itself
                        raise ValueError(f"{name} stands there already, with {self._numbers[known_as]:g}")
            except ValueError as error:
                raise LimenError(f"{path}: line {line} is no {', '.join(wanted)} ({error}); correct it") from error
        self._composed = {_composed(name): found for name, found in self._numbers.items()}

    def of(self, source: ImageSource) -> np.ndarray:
        """(N,) the number of each image of `source`. Raises LimenError where one has no row."""
        files = [source.locate(index) for index in range(len(source))]
        found = [self.get(file) for file in files]
        if absent := [file for file, number in zip(files, found, strict=True) if number is None]:
            few = f"{len(absent)} of the {len(files)} images are missing"
            raise LimenError(f"{self.path}: has no row for {absent[0]} ({few}); add {','.join(self.columns)} rows")
        return np.array(found, float)

    def get(self, file: str) -> float | None:
        """The number of an image, None where it has no row."""
        places = ((self._numbers, file), (self._numbers, os.path.realpath(file)), (self._composed, _composed(os.path.realpath(file))))
        return next((table[name] for table, name in places if name in table), None)


def _composed(name: str) -> str:
    return unicodedata.normalize("NFC", name)
