"""Faces in an LMDB file, as WebFace4M and HSFace are published: a msgpack of the image and its person under each number from 0."""

import struct
from os import PathLike
from pathlib import Path

import msgspec
import numpy as np

from limen.data.images import SIZE, check_on_other_size
from limen.data.readers.lmdb_file import FETCH, lmdb_entries
from limen.data.readers.placed import PlacedSource, people_of_numbers
from limen.errors import LimenError
from limen.files import open_plain_file, read_at

COUNT, CLASSES = b"__len__", b"__classnum__"
# msgpack: first byte of bytes or text -> struct of their length, which follows
BYTES = {0xC4: ">B", 0xC5: ">H", 0xC6: ">I", 0xD9: ">B", 0xDA: ">H", 0xDB: ">I"}
LONGEST_NUMBER = 9


class LMDBSource(PlacedSource):
    """A FaceSource of an LMDB file: images in the order of their numbers, people in the order of their labels, named by them.

    The keys are `0`, `1`, ..; a value is the msgpack of (image, label) or (image, feature, label). `__len__` says how many there are and
    `__classnum__`, where it is there, of how many people. At the start only the tree of keys and the ends of the values are read. Nothing
    is unpickled.

    Args:
        path: the .lmdb file, or a folder with a data.mdb.
        size, on_other_size: as of FolderSource.

    Raises:
        LimenError: a missing or damaged file, no `__len__` or another number of images, a value of another layout, a label that is no
            whole number from 0.
    """

    def __init__(self, path: str | PathLike[str], size: int = SIZE, on_other_size: str = "refuse") -> None:
        super().__init__()
        self.path = lmdb_path(Path(path))
        self.files = [self.path]
        self.size = size
        self.on_other_size = check_on_other_size(on_other_size)
        with open_plain_file(self.path) as file:
            self._descriptor = file.fileno()
            places = dict[int, tuple[int, int]]()
            about = dict[bytes, int]()
            for key, start, length in lmdb_entries(self.path, file):
                if key in (COUNT, CLASSES):
                    about[key] = self._number(key.decode(), start, start + length)
                elif key.isdigit() and len(key) < 10:
                    places[int(key)] = start, length
                elif not key.startswith(b"__"):
                    raise LimenError(f"{self.path}: has a key {key[:20]!r}, not a number; it is an LMDB of another layout")
            self._check(about, places)
            rows = [self._sample(key, *places[key]) for key in range(len(places))]
        del self._descriptor
        self.places = np.array([(0, start, length) for start, length, _ in rows], np.int64)
        numbers = np.array([label for _, _, label in rows], np.int64)
        if (most := about.get(CLASSES, 1 << 31)) <= numbers.max():
            raise LimenError(f"{self.path}: key {numbers.argmax()} has label {numbers.max()} of {most} people; {FETCH}")
        self.labels, self.class_names = people_of_numbers(numbers)

    def locate(self, index: int) -> str:
        return f"{self.path} key {index}"

    def _check(self, about: dict[bytes, int], places: dict[int, tuple[int, int]]) -> None:
        if COUNT not in about:
            raise LimenError(f"{self.path}: has no key {COUNT.decode()}, which says how many images there are; it is of another layout")
        if not places or about[COUNT] != len(places) or max(places) != len(places) - 1:
            absent = next((key for key in range(len(places)) if key not in places), len(places))
            raise LimenError(f"{self.path}: has {len(places):,} of {about[COUNT]:,} images, and no key {absent}; {FETCH}")

    def _sample(self, key: int, start: int, length: int) -> tuple[int, int, int]:
        """Where the image of a value stands, its length, and its label."""
        fields, place, end = read_at(self._descriptor, 1, start)[0] - 0x90 if length else 0, start + 1, start + length
        if fields not in (2, 3):
            raise self._other(str(key), "is no msgpack of an image and a label")
        image = (0, 0)
        for number in range(fields - 1):
            head = read_at(self._descriptor, min(5, end - place), place)
            form = BYTES.get(head[0]) if head else None
            if form is None or len(head) <= struct.calcsize(form):
                raise self._other(str(key), "holds no bytes of an image")
            (count,) = struct.unpack_from(form, head, 1)
            first = place + 1 + struct.calcsize(form)
            image = (first, count) if number == 0 else image
            place = first + count
        label = self._number(str(key), place, end)
        if not 0 <= label < 1 << 31:
            raise self._other(str(key), f"has the label {label}")
        return *image, label

    def _number(self, key: str, start: int, end: int) -> int:
        """The whole number whose msgpack stands there, and nothing else."""
        data = read_at(self._descriptor, end - start, start) if 0 < end - start <= LONGEST_NUMBER else b""
        try:
            return msgspec.msgpack.decode(data, type=int)
        except msgspec.MsgspecError as error:
            raise self._other(key, "ends in no msgpack of a whole number") from error

    def _other(self, key: str, fault: str) -> LimenError:
        return LimenError(f"{self.path}: key {key} {fault}; it is damaged, or an LMDB of another layout")


def lmdb_path(path: Path) -> Path:
    """The file itself: an LMDB is one file, or a folder with a data.mdb."""
    return path / "data.mdb" if path.is_dir() else path
