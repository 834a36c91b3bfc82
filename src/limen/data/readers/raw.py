"""Faces as plain pixels, read without a decoder: what `limen data pack --raw` writes.

A folder of images-00000.npy, images-00001.npy, ..., each (n, 112, 112, 3) uint8 RGB and all but the last of one length; labels.npy, (N,)
int64; and people.json, the list of names, which is written last. An image takes 37,632 bytes.
"""

import math
import os
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from limen.data.images import SIZE, check_on_other_size
from limen.data.source import FaceSource
from limen.errors import LimenError, UnreadableImage
from limen.files import atomic_write, open_plain_file, read_at, read_json, write_json

SHAPE = (SIZE, SIZE, 3)
BYTES = math.prod(SHAPE)
A_SHARD = 1 << 16  # images in a shard, 2.5 GB
LABELS, PEOPLE = "labels.npy", "people.json"
LARGEST_PEOPLE = 1 << 32  # bytes of people.json


class RawSource:
    """A FaceSource of raw shards. Workers share nothing: each opens the shards for itself, and reads with offsets.

    Args:
        path: the folder that `pack_raw` wrote.
        size, on_other_size: as of FolderSource; all its images are of one size, so only that one is possible.

    Raises:
        LimenError: a folder that is unfinished, a shard of another size than its head says, labels without a name.
    """

    def __init__(self, path: str | PathLike[str], size: int = SIZE, on_other_size: str = "refuse") -> None:
        self.path = Path(path)
        check_on_other_size(on_other_size)
        if size != SIZE:
            raise LimenError(f"{self.path}: raw shards hold faces of {SIZE} pixels, not {size}; give the data they were packed from")
        if not (self.path / PEOPLE).exists():
            raise LimenError(f"{self.path}: holds no {PEOPLE}, so it was not packed to its end; pack it again with `limen data pack --raw`")
        self.class_names = read_json(self.path / PEOPLE, LARGEST_PEOPLE)
        if not isinstance(self.class_names, list) or not all(isinstance(name, str) for name in self.class_names):
            raise LimenError(f"{self.path / PEOPLE}: is not a list of names; pack the faces again")
        self._files: dict[int, BinaryIO] = {}
        (count,), start = _head(self.path / LABELS, np.dtype("<i8"), ())
        with open_plain_file(self.path / LABELS) as file:
            self.labels = np.frombuffer(read_at(file.fileno(), 8 * count, start), "<i8").astype(np.int64)
        if count and not (self.labels.min() >= 0 and self.labels.max() < len(self.class_names)):
            raise LimenError(f"{self.path / LABELS}: holds a label without a name in {PEOPLE}; pack the faces again")
        self.shards = sorted(self.path.glob("images-*.npy"))
        heads = [_head(shard, np.dtype(np.uint8), SHAPE) for shard in self.shards]
        self._start = [start for _, start in heads]
        lengths = [shape[0] for shape, _ in heads]
        self._length = lengths[0] if lengths else 1
        if sum(lengths) != count or any(length != self._length for length in lengths[:-1]) or (lengths and lengths[-1] > self._length):
            raise LimenError(
                f"{self.path}: its shards hold {sum(lengths)} images for {count} labels, or differ in length; pack the faces again"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, index: int) -> np.ndarray:
        shard, place = divmod(index, self._length)
        if shard not in self._files:
            self._files[shard] = open_plain_file(self.shards[shard])
        data = read_at(self._files[shard].fileno(), BYTES, self._start[shard] + place * BYTES)
        if len(data) != BYTES:
            raise UnreadableImage(f"{self.locate(index)}: the shard is cut short; pack the faces again")
        return np.frombuffer(data, np.uint8).reshape(SHAPE)

    def locate(self, index: int) -> str:
        shard, place = divmod(index, self._length)
        return f"{self.shards[shard]} image {place}"

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_files": {}}


def _head(path: Path, dtype: np.dtype, shape: tuple[int, ...]) -> tuple[tuple[int, ...], int]:
    """The shape of an array in a .npy file, (n, *shape), and where its values begin. Raises LimenError for any other array."""
    with open_plain_file(path) as file:
        try:
            if np.lib.format.read_magic(file) != (1, 0):
                raise ValueError("another version of .npy")
            found, fortran, kind = np.lib.format.read_array_header_1_0(file)
        except Exception as error:  # numpy reads a head as Python text, which raises what it likes
            raise LimenError(f"{path}: is no array of numpy ({' '.join(str(error).split())[:100]}); pack the faces again") from error
        start, size = file.tell(), os.fstat(file.fileno()).st_size
    if kind != dtype or fortran or len(found) != 1 + len(shape) or found[1:] != shape or found[0] < 0:
        raise LimenError(
            f"{path}: holds {kind} of shape {found}, not {dtype} of shape (n{''.join(f', {n}' for n in shape)}); pack it again"
        )
    if size != start + math.prod(found) * dtype.itemsize:
        raise LimenError(
            f"{path}: is {size:,} bytes, not the {start + math.prod(found) * dtype.itemsize:,} of its head; pack the faces again"
        )
    return found, start


def pack_raw(
    source: FaceSource, folder: str | PathLike[str], progress: Callable[[int, int], None] | None = None, a_shard: int = A_SHARD
) -> list[str]:
    """Writes the images of `source` as raw shards into a new `folder`, in their order; returns what could not be read, which is left out.

    Raises LimenError where the folder holds anything, no image can be read, or the system refuses.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise LimenError(f"--out {folder}: is there already; name a new folder")
    folder.mkdir(parents=True, exist_ok=True)
    labels, unreadable, images = list[int](), list[str](), list[np.ndarray]()

    def write() -> None:
        name = folder / f"images-{(len(labels) - 1) // a_shard:05d}.npy"
        atomic_write(name, lambda path: _write_shard(path, images))
        images.clear()

    for index in range(len(source)):
        try:
            images.append(source.image(index))
        except UnreadableImage as error:
            unreadable.append(str(error))
        else:
            labels.append(int(source.labels[index]))
            if len(images) == a_shard:
                write()
        if progress is not None:
            progress(index + 1, len(source))
    if not labels:
        raise LimenError(f"{folder}: none of the {len(source)} images can be read; the first: {next(iter(unreadable), 'there is none')}")
    if images:
        write()
    atomic_write(folder / LABELS, lambda path: _save(path, np.array(labels, "<i8")))
    write_json(folder / PEOPLE, list(source.class_names))
    return unreadable


def _write_shard(path: Path, images: list[np.ndarray]) -> None:
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": (len(images), *SHAPE)})
        for image in images:
            file.write(np.ascontiguousarray(image).data)


def _save(path: Path, array: np.ndarray) -> None:
    with open(path, "wb") as file:
        np.lib.format.write_array(file, array, (1, 0), allow_pickle=False)
