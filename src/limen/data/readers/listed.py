"""Images by a list: a CSV file of the columns file and person."""

import os
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import numpy as np

from limen.data.images import SIZE, check_on_other_size, encoded_file, read_image
from limen.errors import LimenError
from limen.tables import read_csv, write_csv

COLUMNS = ("file", "person")


class ListSource:
    """A FaceSource of a CSV file with the columns file and person: images in the order of the lines, people in that of their names.

    A file is named by its path, a relative one from the folder of the list. Other columns are passed over.

    Args:
        path: the CSV file.
        size, on_other_size: as of FolderSource.

    Raises:
        LimenError: no such table, a line without file or person, a file that stands there twice.
    """

    def __init__(self, path: str | PathLike[str], size: int = SIZE, on_other_size: str = "refuse") -> None:
        self.path = Path(path)
        self.size = size
        self.on_other_size = check_on_other_size(on_other_size)
        files, people, seen = list[str](), list[str](), dict[str, int]()
        for line, row in read_csv(self.path, COLUMNS):
            if not row["file"] or not row["person"]:
                raise LimenError(f"{self.path}: line {line} has no {'file' if not row['file'] else 'person'}; correct it")
            file = os.path.join(self.path.parent, row["file"])
            if file in seen:
                raise LimenError(f"{self.path}: line {line}: {row['file']} stands in line {seen[file]} too; take one of them out")
            seen[file] = line
            files.append(file)
            people.append(row["person"])
        if not files:
            raise LimenError(f"{self.path}: names no image; it takes lines of {','.join(COLUMNS)}")
        self.class_names = sorted(set(people))
        number = {name: label for label, name in enumerate(self.class_names)}
        self.labels = np.array([number[name] for name in people], np.int64)
        encoded = [os.fsencode(file) for file in files]
        self._names = np.frombuffer(b"".join(encoded), np.uint8)  # one block, as of FolderSource: workers share it
        self._bounds = np.cumsum([0, *map(len, encoded)])

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, index: int) -> np.ndarray:
        return read_image(self.locate(index), self.size, self.on_other_size)

    def encoded(self, index: int) -> bytes:
        """The bytes of file `index`."""
        return encoded_file(self.locate(index))

    def locate(self, index: int) -> str:
        start, end = self._bounds[index : index + 2]
        return os.fsdecode(self._names[start:end].tobytes())


def save_list(path: str | PathLike[str], files: Sequence[str], people: Sequence[str]) -> None:
    """Writes the list that `ListSource` reads, with whole paths, so that it may lie anywhere."""
    write_csv(path, COLUMNS, ([os.path.abspath(file), person] for file, person in zip(files, people, strict=True)))
