"""Images on disk: a folder with one folder per person, or plain lists of files."""

import os
from collections.abc import Iterable
from os import PathLike
from pathlib import Path

import numpy as np

from limen.data.images import IMAGE_SUFFIXES, SIZE, check_on_other_size, encoded_file, read_image, read_photo
from limen.data.readers.people import each_person
from limen.errors import LimenError


class FolderSource:
    """A FaceSource of `path/person/image.jpg`: people in the order of their names, images of a person in the order of theirs.

    Args:
        path: the folder of people; hidden folders and files are passed over.
        size: side of the images in pixels.
        on_other_size: what to do with an image of another size: "refuse" or "resize" (see decode_image).
        min_images: leave out people with fewer images than this. None, the default, leaves out nobody and takes a person
            without any image for a mistake.

    Raises:
        LimenError: the folder is missing, has no people, has a person without images, or holds folders of people.

    >>> import tempfile, pathlib
    >>> from limen.data import FolderSource, SyntheticFaces
    >>> from limen.data.synthetic import save_folder
    >>> path = save_folder(SyntheticFaces(2, 3), pathlib.Path(tempfile.mkdtemp(), "faces"))
    >>> faces = FolderSource(path)
    >>> len(faces), len(faces.class_names), faces.labels
    (6, 2, array([0, 0, 0, 1, 1, 1]))
    """

    def __init__(self, path: str | PathLike[str], size: int = SIZE, on_other_size: str = "refuse", min_images: int | None = None) -> None:
        self.path = Path(path)
        self.size = size
        self.on_other_size = check_on_other_size(on_other_size)
        self.class_names: list[str] = []
        counts: list[int] = []
        # All file names stand in one block of bytes with their ends in one array: millions of str objects would be copied
        # into every worker as their reference counts are touched.
        names = bytearray()
        name_ends: list[int] = []
        for person, files in each_person(self.path):
            if not files and min_images is None:
                raise LimenError(
                    f"{self.path / person}: no images of this person (read are {', '.join(IMAGE_SUFFIXES)}); "
                    "add some or remove the folder (in training, --data.options.min_images 1 leaves such people out)"
                )
            if len(files) < (min_images or 0):
                continue
            self.class_names.append(person)
            counts.append(len(files))
            for file in files:
                names += os.fsencode(file)
                name_ends.append(len(names))
        if not counts:
            raise LimenError(f"{self.path}: nobody has {min_images} images or more; lower min_images")
        self.labels = np.repeat(np.arange(len(counts), dtype=np.int64), counts)
        self._names = np.frombuffer(bytes(names), np.uint8)
        self._name_bounds = np.array([0, *name_ends], dtype=np.int64)

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, index: int) -> np.ndarray:
        return read_image(self.locate(index), self.size, self.on_other_size)

    def encoded(self, index: int) -> bytes:
        """The bytes of file `index`."""
        return encoded_file(self.locate(index))

    def locate(self, index: int) -> str:
        start, end = self._name_bounds[index : index + 2]
        return os.path.join(self.path, self.class_names[self.labels[index]], os.fsdecode(self._names[start:end].tobytes()))


class FileSource:
    """An ImageSource of the files in `paths`, in their order. `size` None gives whole photos, each as large as it is."""

    def __init__(self, paths: Iterable[str | PathLike[str]], size: int | None = SIZE, on_other_size: str = "refuse") -> None:
        self.paths = [str(path) for path in paths]
        self.size = size
        self.on_other_size = check_on_other_size(on_other_size)

    def __len__(self) -> int:
        return len(self.paths)

    def image(self, index: int) -> np.ndarray:
        path = self.paths[index]
        return read_photo(path) if self.size is None else read_image(path, self.size, self.on_other_size)

    def locate(self, index: int) -> str:
        return self.paths[index]
