"""Images on disk: a folder with one folder per person, or plain lists of files."""

import os
from collections.abc import Iterable
from os import PathLike
from pathlib import Path

import numpy as np

from limen.data.images import IMAGE_SUFFIXES, SIZE, check_on_other_size, read_image
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
        LimenError: the folder is missing, has no people, or has a person without images.
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
        for person in _people(self.path):
            files = _image_names(self.path / person)
            if not files and min_images is None:
                raise LimenError(
                    f"{self.path / person}: no images of this person; remove the folder, or train with --data.options.min_images 1"
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

    def locate(self, index: int) -> str:
        start, end = self._name_bounds[index : index + 2]
        return os.path.join(self.path, self.class_names[self.labels[index]], os.fsdecode(self._names[start:end].tobytes()))


class FileSource:
    """An ImageSource of the files in `paths`, in their order."""

    def __init__(self, paths: Iterable[str | PathLike[str]], size: int = SIZE, on_other_size: str = "refuse") -> None:
        self.paths = [str(path) for path in paths]
        self.size = size
        self.on_other_size = check_on_other_size(on_other_size)

    def __len__(self) -> int:
        return len(self.paths)

    def image(self, index: int) -> np.ndarray:
        return read_image(self.paths[index], self.size, self.on_other_size)

    def locate(self, index: int) -> str:
        return self.paths[index]


def list_images(paths: Iterable[str | PathLike[str]]) -> list[Path]:
    """The image files among `paths`: a file stands for itself, a folder for all images below it, sorted.

    Raises:
        LimenError: a path does not exist, or a folder has no image below it.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if path.is_file():
            found.append(path)
        elif path.is_dir():
            inside = sorted(Path(folder) / file for folder, _, files in os.walk(path) for file in files if _is_image_name(file))
            if not inside:
                raise LimenError(f"{path}: no images in this folder ({', '.join(IMAGE_SUFFIXES)})")
            found += inside
        else:
            raise LimenError(f"{path}: no such file or folder; check the path")
    return found


def _people(root: Path) -> list[str]:
    if not root.is_dir():
        raise LimenError(f"{root}: no such folder; give the folder that holds one folder of images per person")
    with os.scandir(root) as entries:
        people = sorted(entry.name for entry in entries if entry.is_dir() and not entry.name.startswith("."))
    if not people:
        raise LimenError(f"{root}: holds no folders; put the images of each person in a folder of their own")
    return people


def _image_names(folder: Path) -> list[str]:
    return sorted(name for name in os.listdir(folder) if _is_image_name(name))


def _is_image_name(name: str) -> bool:
    return name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")
