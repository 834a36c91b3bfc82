"""Lists of pairs: names and numbers as in LFW's pairs.txt, or paths with a flag."""

import math
import os
import re
import warnings
from os import PathLike
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from limen.data.images import IMAGE_SUFFIXES, stem_of
from limen.data.pairs.drawing import make_pairs
from limen.data.pairs.pair_set import FOLDS, PairSet, joined_subjects
from limen.data.photos.unacquired import unacquired
from limen.data.readers.folder import FileSource, FolderSource
from limen.errors import LimenError, LimenWarning
from limen.files import MIB, read_plain_file, write_text
from limen.names import Folders

LARGEST = 256 * MIB
FORMS = "neither `name i j` nor `name i other j` nor `path path 0` or `1`"


class Face(NamedTuple):
    """An image of a list: of a person by number or file name, or of nobody by its path."""

    person: str | None
    image: int | str

    def __str__(self) -> str:
        return str(self.image) if self.person is None else f"{self.person} {self.image}"


class PairList(NamedTuple):
    """What a list of pairs says."""

    pairs: list[tuple[Face, Face]]
    same: list[bool] | None
    """None where the names of the people say it."""
    folds: int


def open_list(path: Path, images: Path, size: int, on_other_size: str) -> PairSet:
    """See `open_pairs`."""
    listed = read_list(path)
    faces = list(dict.fromkeys([*(one for one, _ in listed.pairs), *(other for _, other in listed.pairs)]))
    folders = Folders(images)
    files = {face: _find_image(folders, face) for face in faces}
    if lost := {face: _names(face) for face, file in files.items() if file is None}:
        files |= unacquired(images, lost)
    _check_found(path, images, files)
    if folders.respelt:
        name, found = next(iter(folders.respelt.items()))
        warnings.warn(
            f"{path}: {len(folders.respelt):,} names are spelt otherwise in {images} ({name} is {found})", LimenWarning, stacklevel=3
        )
    found_files = list(dict.fromkeys(file for file in files.values() if file))  # one that is named in two ways is one image
    number = {file: index for index, file in enumerate(found_files)}
    first, second = (np.array([number[files[pair[side]]] for pair in listed.pairs], dtype=np.int64) for side in (0, 1))  # type: ignore[index]
    people: Literal["named", "joined"]
    names: list[str] | None = None
    if listed.same is None:
        folders_of, subject = np.unique([str(file.parent) for file in found_files], return_inverse=True)
        names = [Path(folder).name for folder in folders_of]
        same, people = subject[first] == subject[second], "named"
    else:
        same, people = np.array(listed.same), "joined"
        subject = joined_subjects(first, second, same, len(found_files))
    source = FileSource(found_files, size, on_other_size)
    return PairSet(path.stem, source, first, second, same, subject, listed.folds, people, names=names)


def save_pairs(path: str | PathLike[str], source: FolderSource, count: int, seed: int) -> None:
    """make_pairs of the images of a folder, as a list that `open_pairs` reads: file names take the place of LFW's numbers.

    Raises LimenError where a name holds a tab or the end of a line, which such a list cannot.
    """
    first, second, same = make_pairs(source.labels, count, seed)
    lines = [str(count // 2)]
    for one, other, mated in zip(first, second, same, strict=True):
        faces = [Path(source.locate(int(index))).parts[-2:] for index in (one, other)]
        for name in (*faces[0], *faces[1]):
            if re.search("[\t\r\n]", name):
                raise LimenError(f"{source.path}: the name {name!r} holds a tab or the end of a line, which a list cannot; rename it")
        lines.append("\t".join([*faces[0], *(faces[1][1:] if mated else faces[1])]))
    write_text(path, "\n".join([*lines, ""]), "surrogateescape", "\n")


def read_list(path: Path) -> PairList:
    """The pairs of a list in the forms of `open_pairs`. Raises LimenError for a line of another form, and a header that says another
    number of pairs."""
    text = read_plain_file(path, LARGEST).decode("utf-8-sig", "surrogateescape")
    # Ends of lines and spaces alone part the fields: a name may hold any other kind of space.
    lines = [
        (number, line.rstrip("\t").split("\t") if "\t" in line else re.split(" +", line.strip(" ")))
        for number, line in enumerate(re.split("\r\n|\n|\r", text), start=1)
        if line.strip()
    ]
    folds, expected = FOLDS, None
    if lines and len(lines[0][1]) <= 2 and all(map(_is_number, lines[0][1])):
        header = [int(field) for field in lines.pop(0)[1]]
        folds, expected = header[0] if len(header) == 2 else FOLDS, 2 * math.prod(header)
    pairs, same = [], []
    for number, fields in lines:
        if len(fields) == 3 and fields[2].strip() in ("0", "1") and all(map(_is_image_file, fields[:2])):
            pairs.append((Face(None, fields[0]), Face(None, fields[1])))
            same.append(fields[2].strip() == "1")
        elif len(fields) in (3, 4) and all(_is_number(field) or _is_image_file(field) for field in (fields[1], fields[-1])):
            pairs.append((_face(*fields[:2]), _face(fields[-2] if len(fields) == 4 else fields[0], fields[-1])))
        else:
            raise LimenError(f"{path}: line {number} is {FORMS} (it has {len(fields)} fields); correct it")
        if same and len(same) < len(pairs):
            raise LimenError(
                f"{path}: line {number} has another form than line {lines[0][0]}: a list names people, or paths with a flag; correct it"
            )
    if not pairs or expected not in (None, len(pairs)):
        raise LimenError(f"{path}: holds {len(pairs)} pairs where {expected or 'some'} should be; fetch it again")
    return PairList(pairs, same or None, folds)


def _face(person: str, image: str) -> Face:
    return Face(person, int(image) if _is_number(image) else image)


def _is_number(field: str) -> bool:
    return re.fullmatch(r" *[0-9]{1,9} *", field) is not None


def _is_image_file(field: str) -> bool:
    return field.rstrip(" ").lower().endswith(IMAGE_SUFFIXES)


def _find_image(folders: Folders, face: Face) -> Path | None:
    if face.person is None:
        path = folders.root / str(face.image)
        *parts, last = Path(str(face.image).replace("\\", "/")).parts
        return path if os.path.exists(path) else folders.find(parts, _any_ending(last))
    if isinstance(face.image, str):
        return folders.find([face.person], _any_ending(face.image))
    return folders.find([face.person], [Path(name).name + suffix for name in _names(face) for suffix in IMAGE_SUFFIXES])


def _any_ending(name: str) -> list[str]:
    """The name, and those that an aligned copy of the image may have."""
    return [name, *(stem_of(name) + suffix for suffix in IMAGE_SUFFIXES)]


def _names(face: Face) -> list[str]:
    """The paths below the folder of the images, without an ending where the list gives none, under which a face is looked for."""
    name, number = face
    if name is None or isinstance(number, str):
        return [str(number) if name is None else f"{name}/{number}"]
    return [f"{name}/{stem}" for stem in (f"{name}_{number:04d}", f"{name}_{number}", f"{number:04d}", str(number))]


def _check_found(path: Path, images: Path, files: dict[Face, Path | None]) -> None:
    """Raises LimenError where an image of the list is not there."""
    missing = [face for face, file in files.items() if file is None]
    if not missing:
        return
    few = ", ".join(map(str, missing[:3])) + (", ..." if len(missing) > 3 else "")
    name, number = missing[0]
    tried = f"{name}/{name}_{number:04d}.jpg, {name}/{number:04d}.jpg and the like" if isinstance(number, int) else f"{name}/{number}"
    raise LimenError(
        f"{images}: {len(missing)} of the {len(files)} images in {path.name} are missing ({few}); "
        + (f"looked for {tried}; " if name is not None else "")
        + ("complete the folder, or name the one that " + ("holds a folder for each person" if name is not None else "its paths begin in"))
    )
