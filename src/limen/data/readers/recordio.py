"""Faces in MXNet RecordIO files without MXNet, in insightface's layout or im2rec's.

An image's record is its header (uint32 flag, float32 label, two uint64), `flag` float32 labels, and the encoded image.
insightface's layout has before the images a record 0 with labels (first identity record, end) and no image, and after the images
such an identity record for each person, with labels (first image, end).
"""

import struct
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from limen.data.images import SIZE, check_on_other_size, decode_image
from limen.data.readers.recordio_file import CUT_SHORT, FIRST, FRAME, LENGTH_BITS, MAGIC, NO_RECORD, WHOLE, RecordFile, read_index
from limen.errors import LimenError, UnreadableImage
from limen.tables import read_csv

HEADER = struct.Struct("<IfQQ")
PEOPLE = "people.csv"  # beside a train.rec that limen wrote: label and person
MOST_LABELS = 1 << 24  # from here on float32 holds every second whole number only
NO_LABEL = "has a label that is not a whole number from 0 to 16,777,215, beyond which float32 merges people; correct or renumber it"
TOO_SHORT = "is too short for its header; the file is damaged, fetch it again"


class RecordIOSource:
    """A FaceSource of a RecordIO file: images in the order of their keys, people in the order of their labels, named by them
    or, where `limen data convert` wrote a people.csv beside a train.rec, by that.

    A record with several labels has its person in the first. At the start only the first 36 bytes of each record are read.

    Args:
        path: the .rec file, or a folder with a train.rec. The .idx beside it says where the records are; without one the
            file is walked through.
        size: side of the images in pixels.
        on_other_size: what to do with an image of another size: "refuse" or "resize" (see decode_image).

    Raises:
        LimenError: a missing, damaged or shortened file, an .idx that leaves records out or has some twice, or a label that is not a
            whole number from 0 or too large for a float32.
    """

    def __init__(self, path: str | PathLike[str], size: int = SIZE, on_other_size: str = "refuse") -> None:
        path = Path(path)
        self.path = path / "train.rec" if path.is_dir() else path
        self.size = size
        self.on_other_size = check_on_other_size(on_other_size)
        self._file = RecordFile(self.path)
        index = self.path.with_suffix(".idx")
        keys, offsets = read_index(index) if index.exists() else self._file.walk()
        is_image, labels = self._examine(keys, offsets)
        self._keys, self._offsets = keys[is_image], offsets[is_image]
        known, self.labels = np.unique(labels[is_image].astype(np.int64), return_inverse=True)
        self.class_names = self._names(known.tolist())

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, index: int) -> np.ndarray:
        try:
            encoded = self.encoded(index)
        except LimenError as error:  # the file has changed since it was opened
            raise UnreadableImage(str(error)) from error
        return decode_image(encoded, self.locate(index), self.size, self.on_other_size)

    def encoded(self, index: int) -> bytes:
        """Image `index` as it stands in the file."""
        key, offset = int(self._keys[index]), int(self._offsets[index])
        payload, _ = self._file.payload(key, offset)
        if len(payload) < HEADER.size:
            raise self._file.error(key, offset, TOO_SHORT)
        flag = HEADER.unpack_from(payload)[0]
        return payload[HEADER.size + 4 * flag :]

    def locate(self, index: int) -> str:
        return f"{self.path} record {int(self._keys[index])}"  # numpy's number takes longer to write

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name != "_file"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._file = RecordFile(self.path)

    def _names(self, known: list[int]) -> list[str]:
        table = self.path.with_name(PEOPLE)
        if self.path.name != "train.rec" or not table.exists():
            return [str(label) for label in known]
        names = {row["label"]: row["person"] for _, row in read_csv(table, ("label", "person"))}
        if absent := [label for label in known if not names.get(str(label))]:
            raise LimenError(f"{table}: names no person of label {absent[0]}; it belongs to another train.rec: remove it, or correct it")
        found = [names[str(label)] for label in known]
        if len(set(found)) < len(found):
            raise LimenError(f"{table}: gives two labels one person; correct it")
        return found

    def _examine(self, keys: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Which records are images (N,), and the first label of each record (N,), after a look at all of them."""

        def refuse(bad: np.ndarray, reason: str) -> None:
            if bad.any():
                row = int(np.argmax(bad))
                raise self._file.error(int(keys[row]), int(offsets[row]), reason)

        refuse((offsets < 0) | (offsets + FRAME.size > self._file.size), CUT_SHORT)
        heads = self._file.heads(offsets).copy()
        part, length = np.divmod(heads[:, 1].astype(np.int64), 1 << LENGTH_BITS)
        refuse((offsets % 4 != 0) | (heads[:, 0] != MAGIC) | ((part != WHOLE) & (part != FIRST)), NO_RECORD)
        ends = offsets + FRAME.size + length
        refuse(ends > self._file.size, CUT_SHORT)
        for row in np.flatnonzero(part == FIRST):
            payload, ends[row] = self._file.payload(int(keys[row]), int(offsets[row]))
            length[row] = len(payload)
            heads[row, 2:] = np.frombuffer(payload[: HEADER.size + 4].ljust(HEADER.size + 4), "<u4")
        self._check_all_are_named(keys, offsets, ends + -ends % 4)
        flag = heads[:, 2].astype(np.int64)
        refuse(length < HEADER.size + 4 * flag, TOO_SHORT)
        scalar_label, first_of_labels = heads[:, [3, 8]].view(np.float32).T
        label = np.where(flag > 0, first_of_labels, scalar_label)

        is_image = np.ones(len(keys), dtype=bool)
        has_no_image = (flag > 0) & (length == HEADER.size + 4 * flag)
        if has_no_image[:1].any():
            # The header gives the key of the first identity record in float32, which may be off by one from 2**24 on.
            is_image = ~has_no_image | ((keys > 0) & (keys < label[0] - 1))
            self._check_complete(keys, int(offsets[0]))
        if not is_image.any():
            raise LimenError(f"{self.path}: holds no images; check that it is the right file")
        with np.errstate(invalid="ignore"):
            refuse(is_image & ~((label >= 0) & (label % 1 == 0) & (label < MOST_LABELS)), NO_LABEL)
        return is_image, label

    def _check_all_are_named(self, keys: np.ndarray, offsets: np.ndarray, ends: np.ndarray) -> None:
        """Raises LimenError unless the records of the index fill the file, one after the other."""
        order = np.argsort(offsets)
        starts, stops = np.append(offsets[order], self._file.size), np.insert(ends[order], 0, 0)
        if (gaps := starts[:-1] != stops[:-1]).any():
            place, record = stops[:-1][gaps][0], keys[order][gaps][0]
            what = f"leaves out what stands at byte {place}, before record {record}"
        elif stops[-1] < self._file.size:
            what = f"ends at byte {stops[-1]} and the file goes on after it"
        else:
            return
        raise LimenError(f"{self.path}: its .idx {what}; it was cut short or belongs to another file: remove it, or fetch both again")

    def _check_complete(self, keys: np.ndarray, header: int) -> None:
        """Raises LimenError where records that the header counts are missing."""
        payload, _ = self._file.payload(int(keys[0]), header)
        if len(payload) < HEADER.size + 8:
            raise self._file.error(int(keys[0]), header, TOO_SHORT)
        end = np.frombuffer(payload, "<f4", 2, HEADER.size)[1]
        if keys.max() + 1 < end * (1 - np.finfo(np.float32).eps):
            raise LimenError(f"{self.path}: holds {keys.max() + 1} of {end:.0f} records; it or its .idx was cut short, fetch both again")
