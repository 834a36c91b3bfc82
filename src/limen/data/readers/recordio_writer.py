"""Writes RecordIO files in insightface's layout, which `recordio` describes."""

import struct
from collections.abc import Iterable, Iterator, Sequence
from os import PathLike
from pathlib import Path

import numpy as np

from limen.data.images import SIZE
from limen.data.readers.recordio import HEADER, MOST_LABELS
from limen.data.readers.recordio_file import FIRST, FRAME, LAST, LENGTH_BITS, MAGIC, MIDDLE, WHOLE, padded
from limen.errors import LimenError


def write_recordio(folder: str | PathLike[str], images: Iterable[bytes], labels: Sequence[int] | np.ndarray) -> None:
    """Write encoded `images` as folder/train.rec, train.idx and property in insightface's layout.

    Args:
        folder: made where it is missing.
        images: N encoded images of 112x112, those of a person one after the other.
        labels: N labels, ascending from 0 without a gap.

    Raises:
        LimenError: labels that do not ascend so, or more or fewer of them than images.
    """
    labels = np.asarray(labels, dtype=np.int64)
    steps = np.diff(labels, prepend=-1)
    if len(labels) == 0 or steps[0] != 1 or ((steps != 0) & (steps != 1)).any():
        raise LimenError("labels: must ascend from 0 without a gap, images of a person together; sort them first")
    if labels[-1] >= MOST_LABELS:
        raise LimenError(
            f"labels: {labels[-1] + 1:,} people are more than the {MOST_LABELS:,} that a label in float32 tells apart; write several files"
        )
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    starts = np.flatnonzero(steps) + 1
    ends = np.append(starts[1:], len(labels) + 1)
    first_identity = len(labels) + 1

    def payloads() -> Iterator[bytes]:
        yield _header_with_labels(0, first_identity, first_identity + len(starts))
        for key, (label, image) in enumerate(zip(labels, images, strict=True), start=1):
            yield HEADER.pack(0, label, key, 0) + image
        for key, (start, end) in enumerate(zip(starts, ends, strict=True), start=first_identity):
            yield _header_with_labels(key, start, end)

    with open(folder / "train.rec", "wb") as records, open(folder / "train.idx", "w", encoding="ascii") as index:
        try:
            for key, payload in enumerate(payloads()):
                index.write(f"{key}\t{records.tell()}\n")
                records.write(_framed(payload))
        except ValueError as error:
            raise LimenError(f"{folder}: give one image for each of the {len(labels)} labels ({error})") from error
    (folder / "property").write_text(f"{len(starts)},{SIZE},{SIZE}\n", encoding="ascii")


def _header_with_labels(key: int, first: int, end: int) -> bytes:
    return HEADER.pack(2, 0, key, 0) + struct.pack("<ff", first, end)


def _framed(payload: bytes) -> bytes:
    """The payload as one record, in parts where it holds MAGIC at a multiple of 4."""
    words = np.frombuffer(payload, "<u4", len(payload) // 4)
    cuts = 4 * np.flatnonzero(words == MAGIC)
    starts, ends = [0, *(cuts + 4)], [*cuts, len(payload)]
    framed = bytearray()
    for number, (start, end) in enumerate(zip(starts, ends, strict=True)):
        is_last = number == len(cuts)
        part = (WHOLE if is_last else FIRST) if number == 0 else (LAST if is_last else MIDDLE)
        framed += FRAME.pack(MAGIC, part << LENGTH_BITS | end - start) + payload[start:end]
    return bytes(framed.ljust(padded(len(framed)), b"\0"))
