"""MXNet RecordIO files (.rec with .idx) without MXNet: memory-mapped, in insightface's layout or im2rec's.

A record is MAGIC and a uint32, little-endian, whose upper 3 bits are the part (0: whole; 1, 2, 3: first, middle, last of a record
whose payload held MAGIC at a multiple of 4, where it was cut) and whose lower 29 are the length; then the payload, padded to 4.
An image's payload is its header (uint32 flag, float32 label, two uint64), `flag` float32 labels, and the encoded image.
insightface's layout has before the images a record 0 with labels (first identity record, end) and no image, and after the images
such an identity record for each person, with labels (first image, end).
"""

import mmap
import struct
import warnings
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from limen.data.images import SIZE, check_on_other_size, decode_image
from limen.errors import LimenError

MAGIC = 0xCED7230A
MAGIC_BYTES = struct.pack("<I", MAGIC)
WHOLE, FIRST, MIDDLE, LAST = range(4)
LENGTH_BITS = 29
FRAME = struct.Struct("<II")
HEADER = struct.Struct("<IfQQ")
HEAD_WORDS = np.array([0, 1, 2, 3, 8])
HEADS_AT_ONCE = 1 << 16
CUT_SHORT = "reaches beyond the end of the file, which was cut short or has another file's .idx; fetch both again"
NO_RECORD = "is not the start of a record: the file is damaged or has another file's .idx; fetch both again"


class RecordIOSource:
    """A FaceSource of a RecordIO file: images in the order of their keys, people in the order of their labels, named by them.

    A record with several labels has its person in the first. At the start only the first 36 bytes of each record are read;
    images are taken from the mapped file when asked for, so that worker processes share its pages.

    Args:
        path: the .rec file, or a folder with a train.rec. The .idx beside it says where the records are; without one the
            file is walked through.
        size: side of the images in pixels.
        on_other_size: what to do with an image of another size: "refuse" or "resize" (see decode_image).

    Raises:
        LimenError: a missing, damaged or shortened file, or a label that is not a whole number from 0.
    """

    def __init__(self, path: str | PathLike[str], size: int = SIZE, on_other_size: str = "refuse") -> None:
        path = Path(path)
        self.path = path / "train.rec" if path.is_dir() else path
        self.size = size
        self.on_other_size = check_on_other_size(on_other_size)
        self._map = _map_file(self.path)
        index = self.path.with_suffix(".idx")
        keys, offsets = _read_index(index) if index.exists() else self._walk()
        is_image, labels = self._examine(keys, offsets)
        self._keys, self._offsets = keys[is_image], offsets[is_image]
        known, self.labels = np.unique(labels[is_image].astype(np.int64), return_inverse=True)
        self.class_names = [str(label) for label in known.tolist()]

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, index: int) -> np.ndarray:
        return decode_image(self.encoded(index), self.locate(index), self.size, self.on_other_size)

    def encoded(self, index: int) -> bytes:
        """Image `index` as it stands in the file."""
        payload = self._payload(int(self._keys[index]), int(self._offsets[index]))
        flag = HEADER.unpack_from(payload)[0]
        return payload[HEADER.size + 4 * flag :]

    def locate(self, index: int) -> str:
        return f"{self.path} record {self._keys[index]}"

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_map"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._map = _map_file(self.path)

    def _error(self, key: int, offset: int, reason: str) -> LimenError:
        return LimenError(f"{self.path}: record {key} at byte {offset} {reason}")

    def _frame(self, key: int, offset: int) -> tuple[int, int, int]:
        """The part that begins at `offset`, and where its payload starts and ends."""
        start = offset + FRAME.size
        if start > len(self._map):
            raise self._error(key, offset, CUT_SHORT)
        magic, part_and_length = FRAME.unpack_from(self._map, offset)
        if magic != MAGIC:
            raise self._error(key, offset, NO_RECORD)
        part, length = divmod(part_and_length, 1 << LENGTH_BITS)
        if start + length > len(self._map):
            raise self._error(key, offset, CUT_SHORT)
        return part, start, start + length

    def _walk(self) -> tuple[np.ndarray, np.ndarray]:
        """Keys and offsets, as the .idx of a file written in the order of its keys has them."""
        offsets: list[int] = []
        offset = 0
        while offset < len(self._map):
            part, _, end = self._frame(len(offsets), offset)
            if part in (WHOLE, FIRST):
                offsets.append(offset)
            offset = padded(end)
        return np.arange(len(offsets)), np.array(offsets, dtype=np.int64)

    def _payload(self, key: int, offset: int) -> bytes:
        part, start, end = self._frame(key, offset)
        payload = self._map[start:end]
        while part in (FIRST, MIDDLE):
            part, start, end = self._frame(key, padded(end))
            payload += MAGIC_BYTES + self._map[start:end]
        return payload

    def _examine(self, keys: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which records are images (N,), and the first label of each record (N,), after a look at all of them."""

        def refuse(bad: np.ndarray, reason: str) -> None:
            if bad.any():
                row = int(np.argmax(bad))
                raise self._error(int(keys[row]), int(offsets[row]), reason)

        refuse((offsets < 0) | (offsets + FRAME.size > len(self._map)), CUT_SHORT)
        heads = _read_heads(np.frombuffer(self._map, "<u4", len(self._map) // 4), offsets)
        part, length = np.divmod(heads[:, 1].astype(np.int64), 1 << LENGTH_BITS)
        refuse((offsets % 4 != 0) | (heads[:, 0] != MAGIC) | (part == MIDDLE) | (part == LAST), NO_RECORD)
        refuse(offsets + FRAME.size + length > len(self._map), CUT_SHORT)
        for row in np.flatnonzero(part == FIRST):
            payload = self._payload(int(keys[row]), int(offsets[row]))
            length[row] = len(payload)
            heads[row, 2:] = np.frombuffer(payload[: HEADER.size + 4].ljust(HEADER.size + 4), "<u4")[[0, 1, 6]]
        flag = heads[:, 2].astype(np.int64)
        refuse(length < HEADER.size + 4 * flag, "is too short for its header; the file is damaged, fetch it again")
        scalar_label, first_of_labels = heads[:, 3:].copy().view(np.float32).T
        label = np.where(flag > 0, first_of_labels, scalar_label)

        is_image = np.ones(len(keys), dtype=bool)
        has_no_image = (flag > 0) & (length == HEADER.size + 4 * flag)
        if has_no_image[:1].any():
            # The header gives the key of the first identity record in float32, which may be off by one from 2**24 on.
            is_image = ~has_no_image | ((keys > 0) & (keys < label[0] - 1))
            self._check_complete(keys, int(offsets[0]))
        else:
            last = int(offsets.argmax())
            if part[last] == WHOLE and padded(int(offsets[last] + FRAME.size + length[last])) < len(self._map):
                raise LimenError(
                    f"{self.path}: goes on after the last record of its .idx, which was cut short; remove the .idx or fetch it again"
                )
        if not is_image.any():
            raise LimenError(f"{self.path}: holds no images; check that it is the right file")
        with np.errstate(invalid="ignore"):
            refuse(is_image & ~((label >= 0) & (label % 1 == 0)), "has a label that is not a whole number from 0; correct its label")
        return is_image, label

    def _check_complete(self, keys: np.ndarray, header: int) -> None:
        """Raises LimenError where records that the header counts are missing."""
        payload = self._payload(int(keys[0]), header)
        end = np.frombuffer(payload, "<f4", 2, HEADER.size)[1]
        if keys.max() + 1 < end * (1 - np.finfo(np.float32).eps):
            raise LimenError(f"{self.path}: holds {keys.max() + 1} of {end:.0f} records; it or its .idx was cut short, fetch both again")


def padded(length: int) -> int:
    return length + -length % 4


def _map_file(path: Path) -> mmap.mmap:
    try:
        with open(path, "rb") as file:
            return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise LimenError(f"{path}: cannot be opened ({error.strerror}); give the .rec file or the folder of a train.rec") from error
    except ValueError as error:
        raise LimenError(f"{path}: is empty; fetch it again") from error


def _read_index(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Keys, ascending, and offsets of an .idx file, whose lines are `key offset`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an empty file is an error below
            table = np.loadtxt(path, dtype=np.int64, ndmin=2)
    except ValueError as error:
        raise LimenError(f"{path}: is not an index ({error}); remove it to have the records found without one") from error
    if table.shape[1:] != (2,):
        raise LimenError(f"{path}: does not hold two columns, key and offset; remove it to have the records found without one")
    table = table[np.argsort(table[:, 0], kind="stable")]
    return table[:, 0], table[:, 1]


def _read_heads(words: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """(N, 5) uint32: magic, part and length, flag, label and first of several labels of the records at `offsets`."""
    heads = np.empty((len(offsets), len(HEAD_WORDS)), np.uint32)
    for start in range(0, len(offsets), HEADS_AT_ONCE):
        chunk = slice(start, start + HEADS_AT_ONCE)
        # A record at the very end may be shorter than its head; what is read in its place is not used.
        heads[chunk] = words[np.minimum(offsets[chunk, None] // 4 + HEAD_WORDS, len(words) - 1)]
    return heads
