"""A CSV file that gives images numbers."""

import csv
from collections.abc import Callable
from os import PathLike
from pathlib import Path

import numpy as np

from limen.data.source import ImageSource
from limen.errors import LimenError


class ImageTable:
    """`number(*values)` of the `columns` of every image in a CSV file that has them and a column `file`.

    A file is named as `get` will be asked for it, or by its path from the working folder or from the folder of the CSV; other columns
    are passed over.

    Raises:
        LimenError: no such CSV, a column that it lacks, a row of which `number` makes none (ValueError), two rows of one file that differ.
    """

    def __init__(self, path: str | PathLike[str], columns: tuple[str, ...], number: Callable[..., float]):
        self.path = path = Path(path)
        self.columns = wanted = ("file", *columns)
        self._numbers: dict[str, float] = {}
        try:
            with open(path, newline="", encoding="utf-8-sig") as file:
                rows = csv.DictReader(file)
                if missing := [column for column in wanted if column not in (rows.fieldnames or ())]:
                    lacking = f"column{'s' * (len(missing) > 1)} {' and '.join(missing)}"
                    raise LimenError(f"{path}: lacks the {lacking}; the first line is {','.join(wanted)}")
                for row in rows:
                    name, found = row["file"], number(*(row[column] for column in columns))
                    for known_as in {name, str(Path(name).resolve()), str((path.parent / name).resolve())}:
                        if str(self._numbers.setdefault(known_as, found)) != str(found):  # as text, for nan is not equal to itself
                            raise ValueError(f"{name} stands there already, with {self._numbers[known_as]:g}")
        except OSError as error:
            raise LimenError(f"{path}: {error.strerror}; give a CSV file with the columns {', '.join(wanted)}") from error
        except (ValueError, TypeError, csv.Error) as error:
            raise LimenError(f"{path}: line {rows.line_num} is no {', '.join(wanted)} ({error}); correct it") from error

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
        found = self._numbers.get(file)
        return self._numbers.get(str(Path(file).resolve())) if found is None else found
