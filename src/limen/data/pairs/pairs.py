"""Pairs of faces for verification: `.bin` files, lists in LFW's pairs.txt format, and pairs drawn from a source of one's own."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from limen.data.images import IMAGE_SUFFIXES, SIZE, check_on_other_size, decode_image
from limen.data.pairs.plain_pickle import read_pair_pickle
from limen.data.readers.folder import FileSource, FolderSource
from limen.data.source import FaceSource, ImageSource
from limen.errors import LimenError
from limen.files import atomic_write

FOLDS = 10
Face = tuple[str, int | str]  # the person, and the number or file name of the image


@dataclass(frozen=True)
class PairSet:
    """P pairs over the images of a source, in which each image stands once however many pairs it is in.

    Attributes:
        name: what to call the set in a report.
        source: the images.
        first, second: (P,) int64 numbers of the images of each pair.
        same: (P,) bool, True for a mated pair.
        subject: (len(source),) int64, the person in each image, for intervals that draw people and not pairs.
        folds: into how many contiguous folds the pairs fall.
    """

    name: str
    source: ImageSource
    first: np.ndarray
    second: np.ndarray
    same: np.ndarray
    subject: np.ndarray
    folds: int = FOLDS

    def __len__(self) -> int:
        return len(self.same)


class EncodedSource:
    """An ImageSource of encoded images held in memory; `places` say where each comes from."""

    def __init__(self, encoded: Sequence[bytes], places: Sequence[str], size: int = SIZE, on_other_size: str = "refuse") -> None:
        self.encoded = encoded
        self.places = places
        self.size = size
        self.on_other_size = check_on_other_size(on_other_size)

    def __len__(self) -> int:
        return len(self.encoded)

    def image(self, index: int) -> np.ndarray:
        return decode_image(self.encoded[index], self.places[index], self.size, self.on_other_size)

    def locate(self, index: int) -> str:
        return self.places[index]


class SubsetSource:
    """An ImageSource of some images of another, renumbered."""

    def __init__(self, source: ImageSource, indices: np.ndarray) -> None:
        self.source = source
        self.indices = indices

    def __len__(self) -> int:
        return len(self.indices)

    def image(self, index: int) -> np.ndarray:
        return self.source.image(int(self.indices[index]))

    def locate(self, index: int) -> str:
        return self.source.locate(int(self.indices[index]))


def open_pairs(
    path: str | PathLike[str], images: str | PathLike[str] | None = None, size: int = SIZE, on_other_size: str = "refuse"
) -> PairSet:
    """The pairs in a `.bin` file or a text list in the format of LFW's pairs.txt, named after the file.

    A `.bin` is a pickle, of Python 2 or 3, of (2P encoded images, P flags), pair i being images 2i and 2i + 1. It is read without
    running anything in it. Images with the same bytes count as one; subjects are the groups joined by mated pairs. An image that
    cannot be decoded raises UnreadableImage only from `source.image`.

    A list has lines `name i j` (mated) and `name i other j`, fields apart by tabs or spaces, under an optional header `folds n`
    (each fold n mated and n non-mated pairs) or `n` (one such block). The images are images/name/name_0001.jpg, or name_1.jpg,
    or with another suffix; where i is a file name and no number, images/name/i.

    Args:
        path: the .bin or .txt file.
        images: the folder of the images of a list; not for a .bin.
        size: side of the images in pixels.
        on_other_size: what to do with an image of another size: "refuse" or "resize" (see decode_image).

    Raises:
        LimenError: a file that is missing, damaged, hostile or of another kind, or a list whose images are missing.
    """
    path = Path(path)
    if not path.is_file():
        raise LimenError(f"{path}: no such file; give a .bin file of pairs or a list like LFW's pairs.txt")
    if path.suffix == ".bin":
        return _open_bin(path, size, on_other_size)
    if path.suffix != ".txt":
        raise LimenError(f"{path}: is neither .bin nor .txt; give a .bin file of pairs or a list like LFW's pairs.txt")
    if images is None:
        raise LimenError(f"{path}: lists names only; give the folder of their images too (--images DIR)")
    return _open_list(path, Path(images), size, on_other_size)


# ---- pairs drawn from labelled images ----


def make_pairs(labels: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(first, second, same), each (count,): mated and non-mated pairs in turn, so that any run of even length holds as many of each.

    The mated half is a simple random sample, without replacement, of all mated pairs of `labels` (N,), the other half of all
    non-mated ones; no pair is listed, so N may be millions.

    Raises:
        LimenError: `count` is odd, or `labels` hold fewer such pairs.
    """
    if count < 2 or count % 2:
        raise LimenError(f"pairs: {count} cannot be half mated and half non-mated; give an even number from 2")
    rng = np.random.default_rng(seed)
    order = np.argsort(labels, kind="stable")
    position = np.arange(len(labels))
    # In this order the later images of the same person stand from position + 1 to `person_end`, those of others from there on.
    person_end = np.searchsorted(labels[order], labels[order], side="right")
    mated = _draw_pairs(position + 1, person_end, count // 2, rng, "mated")
    non_mated = _draw_pairs(person_end, np.full_like(person_end, len(labels)), count // 2, rng, "non-mated")
    pairs = order[np.stack([mated, non_mated], axis=2)].reshape(2, count)
    return pairs[0], pairs[1], np.tile([True, False], count // 2)


def pairs_of(source: FaceSource, count: int, seed: int, name: str = "pairs") -> PairSet:
    """make_pairs of the labels of `source` as a PairSet of the images drawn."""
    first, second, same = make_pairs(source.labels, count, seed)
    used, number = np.unique(np.stack([first, second]), return_inverse=True)
    first, second = number.reshape(2, count)
    return PairSet(name, SubsetSource(source, used), first, second, same, source.labels[used])


def _draw_pairs(begin: np.ndarray, end: np.ndarray, count: int, rng: np.random.Generator, kind: str) -> np.ndarray:
    """(2, count) distinct pairs out of all (p, q) with begin[p] <= q < end[p]."""
    ends = np.cumsum(end - begin)
    if len(ends) == 0 or ends[-1] < count:
        raise LimenError(f"pairs: only {ends[-1] if len(ends) else 0} {kind} pairs for the {count} asked for; ask for fewer pairs")
    rank = rng.choice(ends[-1], count, replace=False)
    first = np.searchsorted(ends, rank, side="right")
    return np.stack([first, end[first] - (ends[first] - rank)])


def save_pairs(path: str | PathLike[str], source: FolderSource, count: int, seed: int) -> None:
    """make_pairs of the images of a folder, as a list that `open_pairs` reads: file names take the place of LFW's numbers."""
    first, second, same = make_pairs(source.labels, count, seed)
    lines = [str(count // 2)]
    for one, other, mated in zip(first, second, same, strict=True):
        faces = [Path(source.locate(int(index))).parts[-2:] for index in (one, other)]
        lines.append("\t".join([*faces[0], *(faces[1][1:] if mated else faces[1])]))
    text = "\n".join([*lines, ""])

    def write(temporary: Path) -> None:
        temporary.write_text(text, encoding="utf-8", errors="surrogateescape")

    atomic_write(Path(path), write)


# ---- .bin ----


def _open_bin(path: Path, size: int, on_other_size: str) -> PairSet:
    images, same = read_pair_pickle(path)
    numbers: dict[bytes, int] = {}
    number = np.array([numbers.setdefault(image, len(numbers)) for image in images], dtype=np.int64)
    first, second = number[0::2], number[1::2]
    mated = coo_array((np.ones(same.sum()), (first[same], second[same])), shape=(len(numbers), len(numbers)))
    subject = connected_components(mated, directed=False)[1].astype(np.int64)
    first_entry = np.unique(number, return_index=True)[1]
    source = EncodedSource(list(numbers), [f"{path} image {entry}" for entry in first_entry], size, on_other_size)
    return PairSet(path.stem, source, first, second, same, subject)


# ---- LFW's pairs.txt ----


def _open_list(path: Path, images: Path, size: int, on_other_size: str) -> PairSet:
    rows, folds = _read_list(path)
    numbers: dict[Face, int] = {}
    first = np.array([numbers.setdefault(row[0], len(numbers)) for row in rows], dtype=np.int64)
    second = np.array([numbers.setdefault(row[1], len(numbers)) for row in rows], dtype=np.int64)
    same = np.array([one[0] == other[0] for one, other in rows])
    files = {face: _find_image(images, *face) for face in numbers}
    missing = [f"{name} {number}" for (name, number), file in files.items() if file is None]
    if missing:
        few = ", ".join(missing[:3]) + (", ..." if len(missing) > 3 else "")
        name, number = next(face for face, file in files.items() if not file)
        tried = f"{name}/{number}" if isinstance(number, str) else f"{name}/{name}_{number:04d}.jpg, {name}/{number:04d}.jpg and the like"
        raise LimenError(
            f"{images}: {len(missing)} of the {len(files)} images in {path.name} are missing ({few}); looked for {tried}; "
            "complete the folder, or name the one that holds a folder for each person"
        )
    subject = np.unique([name for name, _ in numbers], return_inverse=True)[1]
    return PairSet(path.stem, FileSource(filter(None, files.values()), size, on_other_size), first, second, same, subject, folds)


def _read_list(path: Path) -> tuple[list[tuple[Face, Face]], int]:
    """The two faces of every pair, and the number of folds."""
    text = path.read_text(encoding="utf-8-sig", errors="surrogateescape")
    lines = [
        (number, [field.strip() for field in (line.split("\t") if "\t" in line else line.split())])
        for number, line in enumerate(text.splitlines(), start=1)
        if line.strip()
    ]
    folds, expected = FOLDS, None
    if lines and len(lines[0][1]) <= 2 and all(field.isdecimal() for field in lines[0][1]):
        header = [int(field) for field in lines.pop(0)[1]]
        folds, expected = header[0] if len(header) == 2 else FOLDS, 2 * math.prod(header)
    pairs = []
    for number, fields in lines:
        if len(fields) == 3:
            fields.insert(2, fields[0])
        if len(fields) != 4 or not (_is_image(fields[1]) and _is_image(fields[3])):
            raise LimenError(f"{path}: line {number} is neither `name i j` nor `name i other j`; correct it")
        one, other = (int(field) if field.isdecimal() else field for field in fields[1::2])
        pairs.append(((fields[0], one), (fields[2], other)))
    if not pairs or expected not in (None, len(pairs)):
        raise LimenError(f"{path}: holds {len(pairs)} pairs where {expected or 'some'} should be; fetch it again")
    return pairs, folds


def _is_image(field: str) -> bool:
    return field.isdecimal() or Path(field).suffix.lower() in IMAGE_SUFFIXES


def _find_image(images: Path, name: str, number: int | str) -> Path | None:
    if isinstance(number, str):
        return file if (file := images / name / number).exists() else None
    for stem in (f"{name}_{number:04d}", f"{name}_{number}", f"{number:04d}", str(number)):
        for suffix in IMAGE_SUFFIXES:
            file = images / name / (stem + suffix)
            if file.exists():
                return file
    return None
