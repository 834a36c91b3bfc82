"""Lists of pairs in the format of LFW's pairs.txt."""

import math
from os import PathLike
from pathlib import Path

import numpy as np

from limen.data.images import IMAGE_SUFFIXES
from limen.data.pairs.drawing import make_pairs
from limen.data.pairs.pair_set import FOLDS, PairSet
from limen.data.readers.folder import FileSource, FolderSource
from limen.errors import LimenError
from limen.files import atomic_write

Face = tuple[str, int | str]  # the person, and the number or file name of the image


def open_list(path: Path, images: Path, size: int, on_other_size: str) -> PairSet:
    """See `open_pairs`."""
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
