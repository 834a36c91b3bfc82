"""Folders as people unzip them: nested in one of the same name, with files of the system, images under another ending or letter case."""

import os
import re
import warnings
from collections.abc import Iterator, Sequence
from fnmatch import fnmatch
from pathlib import Path

import numpy as np

from limen.data.images import IMAGE_SUFFIXES, SIZE, image_size, stem_of
from limen.data.photos import unacquired
from limen.errors import LimenError, LimenWarning, UnreadableImage
from limen.names import Names

IGNORED = re.compile(r"\..*|__MACOSX|Thumbs\.db|desktop\.ini", re.IGNORECASE)
DEPTH = 3  # folders in one another that hold nothing but the next
FEW = 5


def entries(folder: Path) -> list[Path]:
    """What is in a folder in the order of names, the system's own and hidden files left out; empty for no folder."""
    return [folder / name for name in _names_in(folder)]


def _names_in(folder: Path) -> list[str]:
    """The names of `entries`: comparing half a million paths takes a minute."""
    return sorted(name for name in os.listdir(folder) if not IGNORED.fullmatch(name)) if folder.is_dir() else []


def folders_in(folder: Path) -> list[Path]:
    return [child for child in entries(folder) if child.is_dir()]


def places(path: Path) -> Iterator[Path]:
    """Where the files of a benchmark may be: the folder, the only folder in it or the one of its name, and so on; then its parent."""
    yield path
    place = path
    for _ in range(DEPTH):
        inside = folders_in(place)
        alike = [child for child in inside if child.name.lower() == place.name.lower()]
        if len(alike) != 1 and len(inside) != 1:
            break
        place = alike[0] if len(alike) == 1 else inside[0]
        yield place
    yield path.resolve().parent


def within(path: Path, *files: Path) -> bool:
    """Whether one of `files` is `path`, or lies in it."""
    here = path.resolve()
    return any(here == (found := file.resolve()) or here in found.parents for file in files)


def entry(folder: Path, pattern: str) -> Path | None:
    """The file or folder at `pattern` below `folder`: "a/b.txt", "04_*.mat", "a.txt|b.txt" for the first that is there.

    As it is written, else in another letter case. Raises LimenError where several fit.
    """
    for alternative in pattern.split("|"):
        place: Path | None = folder
        for part in alternative.strip("/").split("/"):
            place = _step(place, part) if place else None
        if place:
            return place
    return None


def _step(folder: Path, part: str) -> Path | None:
    if "*" not in part and (folder / part).exists():
        return folder / part
    fitting = [child for child in entries(folder) if fnmatch(child.name.lower(), part.lower())]
    if len(fitting) > 1:
        raise LimenError(f"{folder}: {part} may be {' or '.join(child.name for child in fitting)}; leave one of them")
    return fitting[0] if fitting else None


class Images:
    """The images below a folder, by the paths that lists give them."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.fallbacks: dict[str, str] = {}  # path asked for -> name it was found under
        self._listings: dict[Path, Names] = {}

    def find(self, name: str) -> Path | None:
        """The image at the path `name` below the root: as it is written, else of another ending, else in another letter case.

        Raises LimenError where several fit, of which none is meant more than another.
        """
        *parts, last = name.replace("\\", "/").strip("/").split("/")
        folder = self.root
        for part in parts:
            if part in ("", "."):
                continue
            if part == "..":
                raise LimenError(f"{name}: leads out of {self.root}; correct the list")
            if (step := self._names(folder).find(part)) is None:
                return None
            folder = folder / step
        found = last if last in self._names(folder).exact else self._fallback(folder, last)
        if found not in (None, last):
            self.fallbacks[name] = str(found)
        return folder / found if found else None

    def find_all(self, names: Sequence[str], listed: Path | str) -> tuple[list[Path], np.ndarray]:
        """The files that `names` stand for, each once, and the number (len(names),) int64 of each name's file among them.

        Raises LimenError that counts those that are missing and names a few. Warns, once, of those found another way than written.
        """
        number: dict[Path, int] = {}
        known: dict[str, int] = {}
        for name in dict.fromkeys(names):
            if file := self.find(name):
                known[name] = number.setdefault(file, len(number))
        lost = {name: [name.replace("\\", "/").strip("/")] for name in dict.fromkeys(names) if name not in known}
        for name, file in unacquired(self.root, lost).items() if lost else ():
            known[name] = number.setdefault(file, len(number))
        if absent := [name for name in dict.fromkeys(names) if name not in known]:
            few = ", ".join(absent[:FEW]) + (", ..." if len(absent) > FEW else "")
            count = f"{len(absent):,} of the {len(set(names)):,} images in {Path(listed).name} are missing"
            raise LimenError(f"{self.root}: {count} ({few}); complete the folder")
        self.say_fallbacks()
        return list(number), np.array([known[name] for name in names], np.int64)

    def say_fallbacks(self) -> None:
        """Warns of the images found under another ending or letter case; once for all of them."""
        if self.fallbacks:
            name, found = next(iter(self.fallbacks.items()))
            count = f"{len(self.fallbacks):,} images have another ending or letter case"
            warnings.warn(f"{self.root}: {count} than in the list ({name} is {found})", LimenWarning, stacklevel=3)

    def _fallback(self, folder: Path, last: str) -> str | None:
        names, others = self._names(folder), [stem_of(last) + suffix for suffix in IMAGE_SUFFIXES]
        found = {name for name in others if name in names.exact} or {name for name in map(names.find, [last, *others]) if name}
        if len(found) > 1:
            raise LimenError(f"{folder / last}: may be {' or '.join(sorted(found))}; leave one of them")
        return found.pop() if found else None

    def _names(self, folder: Path) -> Names:
        if folder not in self._listings:
            self._listings[folder] = Names(_names_in(folder))
        return self._listings[folder]


def refuse_raw(files: Sequence[Path], name: str) -> None:
    """Raises LimenError where images of the benchmark `name` are not crops of the size that recognisers take."""
    if raw := first_raw(files):
        raise raw_refused(name, *raw)


def first_raw(files: Sequence[Path]) -> tuple[Path, int, int] | None:
    """An image of another size than aligned ones have, with its width and height; it looks at a few."""
    for place in sorted({round(k * (len(files) - 1) / (FEW - 1)) for k in range(FEW)}) if files else ():
        try:
            width, height = image_size(files[place])
        except UnreadableImage:  # a failure to acquire, later
            continue
        if (width, height) != (SIZE, SIZE):
            return files[place], width, height
    return None


def raw_refused(name: str, file: Path, width: int, height: int) -> LimenError:
    return LimenError(
        f"{name}: {file} is {width}x{height}, and aligned {SIZE}x{SIZE} crops are needed: the accuracy of raw images says nothing of a "
        "recogniser. Align the photos (limen data align), and give that folder"
    )
