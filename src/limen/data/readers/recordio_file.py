"""The records of an MXNet RecordIO file (.rec), and the index (.idx) that says where they are.

A record is MAGIC and a uint32, little-endian, whose upper 3 bits are the part (0: whole; 1, 2, 3: first, middle, last of a record
whose payload held MAGIC at a multiple of 4, where it was cut) and whose lower 29 are the length; then the payload, padded to 4.
"""

import os
import struct
from pathlib import Path

import numpy as np

from limen.errors import LimenError
from limen.files import explain, open_plain_file, read_at, read_plain_file

MAGIC = 0xCED7230A
MAGIC_BYTES = struct.pack("<I", MAGIC)
WHOLE, FIRST, MIDDLE, LAST = range(4)
LENGTH_BITS = 29
FRAME = struct.Struct("<II")
HEAD_WORDS = 9  # of a record that are read at the start: magic, part and length, image header, first of several labels
LARGEST_INDEX = 1 << 30
CUT_SHORT = "reaches beyond the end of the file, which was cut short or has another file's .idx; fetch both again"
NO_RECORD = "is not the start of a record: the file is damaged or has another file's .idx; fetch both again"
NO_PART = "is in parts, of which one is missing; the file is damaged, fetch it again"


class RecordFile:
    """Records by their place in the file. It is read, not mapped: a file that is cut short meanwhile is an error and not a signal."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self.file = open_plain_file(path)
        except LimenError as error:
            raise LimenError(f"{error}; give the .rec file or the folder of a train.rec") from error
        self.size = os.fstat(self.file.fileno()).st_size
        if not self.size:
            raise LimenError(f"{path}: is empty; fetch it again")

    def error(self, key: int, offset: int, reason: str) -> LimenError:
        return LimenError(f"{self.path}: record {key} at byte {offset} {reason}")

    def payload(self, key: int, offset: int) -> tuple[bytes, int]:
        """The payload of the record at `offset`, its parts joined, and where the next record begins."""
        part, start, length = self._frame(key, offset)
        if part in (MIDDLE, LAST):
            raise self.error(key, offset, NO_RECORD)
        payload = self._read(key, offset, start, length)
        while part in (FIRST, MIDDLE):
            part, start, length = self._frame(key, padded(start + length))
            if part in (WHOLE, FIRST):
                raise self.error(key, offset, NO_PART)
            payload += MAGIC_BYTES + self._read(key, offset, start, length)
        return payload, padded(start + length)

    def walk(self) -> tuple[np.ndarray, np.ndarray]:
        """Keys and offsets, as the .idx of a file written in the order of its keys has them."""
        offsets: list[int] = []
        offset, is_open = 0, False
        while offset < self.size:
            part, start, length = self._frame(len(offsets), offset)
            if is_open != (part in (MIDDLE, LAST)):
                raise self.error(len(offsets) - is_open, offset, NO_PART if is_open else NO_RECORD)
            if not is_open:
                offsets.append(offset)
            is_open = part in (FIRST, MIDDLE)
            offset = padded(start + length)
        if is_open:
            raise self.error(len(offsets) - 1, offsets[-1], NO_PART)
        return np.arange(len(offsets)), np.array(offsets, dtype=np.int64)

    def heads(self, offsets: np.ndarray) -> np.ndarray:
        """(N, HEAD_WORDS) uint32, the first words of the records; of one that is shorter and the last, zeros at the end."""
        descriptor, length = self.file.fileno(), 4 * HEAD_WORDS
        try:
            read = b"".join(read_at(descriptor, length, offset).ljust(length, b"\0") for offset in offsets.tolist())
        except OSError as error:
            raise LimenError(f"{self.path}: {explain(error)}") from error
        return np.frombuffer(read, "<u4").reshape(len(offsets), HEAD_WORDS)

    def _frame(self, key: int, offset: int) -> tuple[int, int, int]:
        """The part that begins at `offset`, where its payload starts, and its length."""
        magic, part_and_length = FRAME.unpack(self._read(key, offset, offset, FRAME.size))
        if magic != MAGIC:
            raise self.error(key, offset, NO_RECORD)
        part, length = divmod(part_and_length, 1 << LENGTH_BITS)
        if offset + FRAME.size + length > self.size or part > LAST:
            raise self.error(key, offset, NO_RECORD if part > LAST else CUT_SHORT)
        return part, offset + FRAME.size, length

    def _read(self, key: int, record: int, offset: int, length: int) -> bytes:
        try:
            data = read_at(self.file.fileno(), length, offset)
        except OSError as error:
            raise LimenError(f"{self.path}: {explain(error)}") from error
        if len(data) < length:
            raise self.error(key, record, CUT_SHORT)
        return data


def padded(length: int) -> int:
    return length + -length % 4


def read_index(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Keys, ascending, and offsets of an .idx file, whose lines are `key offset`. Raises LimenError where a key or an offset is doubled."""
    remedy = "remove it to have the records found without one"
    try:
        lines = read_plain_file(path, LARGEST_INDEX).decode("ascii").splitlines()
        # numpy warns of a file without numbers, which is an error below
        table = np.loadtxt(lines, dtype=np.int64, ndmin=2) if any(map(str.strip, lines)) else np.empty((0, 0), np.int64)
    except (ValueError, OverflowError) as error:
        raise LimenError(f"{path}: is not an index ({error}); {remedy}") from error
    if table.shape[1:] != (2,):
        raise LimenError(f"{path}: does not hold two columns, key and offset; {remedy}")
    table = table[np.argsort(table[:, 0], kind="stable")]
    for column, name in enumerate(("key", "offset")):
        values, counts = np.unique(table[:, column], return_counts=True)
        if (counts > 1).any():
            raise LimenError(f"{path}: the {name} {values[counts > 1][0]} stands there twice; {remedy}")
    return table[:, 0], table[:, 1]
