"""Folders of people: one folder a person, with the images of the person in it. The one place that says what such a folder is."""

import os
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from os import PathLike
from pathlib import Path

from limen.data.images import IMAGE_SUFFIXES, OTHER_SUFFIXES
from limen.errors import LimenError, LimenWarning
from limen.files import explain


def each_person(root: Path, deep: bool = False, loose: bool = False) -> Iterator[tuple[str, list[str]]]:
    """The people of a folder in the order of their names, each with the file names of the images in that order, hidden ones left out.

    With `deep`, images in folders inside that of a person who has others are the person's too, named "folder/file".
    Warns, at the end, of pictures that are passed over; of those beside the folders only where the caller does not take them (`loose`).
    Raises LimenError for a folder that is missing, holds no folders, or holds folders of people in place of people.
    """
    if not root.is_dir():
        fault = "is a file, not a folder (a .rec file has the reader recordio)" if root.exists() else "no such folder"
        raise LimenError(f"{root}: {fault}; give the folder that holds one folder of images per person")
    folders, beside = _entries(root)
    held = sum(map(is_image_name, beside))
    if not folders:
        found = f"holds {held:,} images and no folders" if held else "holds files and no folders" if beside else "is an empty folder"
        remedy = (
            "put the images of each person in a folder of their own"
            if held
            else "give the folder that holds one folder of images per person"
        )
        raise LimenError(f"{root}: {found}; {remedy}")
    passed: Counter[str] = Counter({"beside the folders of people": 0 if loose else held})
    for person in folders:
        inside, files = _entries(root / person)
        images = [name for name in files if is_image_name(name)]
        if inside:
            deeper = sum(is_image_name(name) for folder in inside for name in _entries(root / person / folder)[1])
            if deeper and not images:
                raise LimenError(
                    f"{root}: this folder holds folders of people; name one, {root / person} say "
                    f"(or, where {person} is one person, move the images out of its folders)"
                )
            if deep and deeper:
                images = [os.path.relpath(file, root / person) for file in list_images([root / person])]
            else:
                passed["in folders inside those of people"] += deeper
        passed.update(other_suffixes(files))
        yield person, images
    warn_of_passed(root, passed)


def people_of(folders: Iterable[str | PathLike[str]]) -> dict[str, list[Path]]:
    """Person -> images, none for an empty folder: each folder in one of `folders` is a person (see people_in), else that folder itself.

    Raises LimenError for a path that is no folder or has no image, for images beside the folders of people, and for two people of one name.
    """
    people: dict[str, list[Path]] = {}
    homes: dict[str, Path] = {}
    for given in map(Path, folders):
        if not given.is_dir():
            raise LimenError(f"{given}: no such folder; --templates takes folders of people")
        inside, names = _entries(given)
        files = [given / name for name in names if is_image_name(name)]
        if inside and files:
            raise LimenError(f"{given}: holds images beside folders; move them into the folder of their person")
        if not inside and not files:
            raise LimenError(f"{given}: no images in this folder ({', '.join(IMAGE_SUFFIXES)})")
        for name, images in (people_in(given) if inside else {given.resolve().name: files}).items():
            home = given / name if inside else given
            if name in homes:
                raise LimenError(f"{homes[name]} and {home}: two people of one name; rename one, or embed them apart")
            homes[name] = home
            people[name] = images
    return people


def people_in(root: Path) -> dict[str, list[Path]]:
    """Person -> images, none for an empty folder, those in folders inside a person's among them.

    Raises LimenError as `each_person`, and where no folder has an image."""
    people = {name: [root / name / image for image in images] for name, images in each_person(root, deep=True)}
    if not any(people.values()):
        raise LimenError(f"{root}: no images in the {len(people):,} folders of its people ({', '.join(IMAGE_SUFFIXES)})")
    return people


def check_folder_names(people: Iterable[str]) -> None:
    """Raises LimenError for a person whose name cannot be that of a folder that readers see."""
    for name in people:
        if not name or name.startswith(".") or "/" in name or os.sep in name or "\0" in name:
            raise LimenError(
                f"person {name!r}: no folder can have this name; write a list (FILE.csv), Arrow or RecordIO, or rename the person"
            )


def is_image_name(name: str) -> bool:
    return name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")


def list_images(paths: Iterable[str | PathLike[str]]) -> list[Path]:
    """The image files among `paths`: a file stands for itself, a folder for all images below it, sorted.

    Warns of pictures in folders that are passed over. Raises LimenError where a path does not exist, or a folder has no image below it.
    """
    found: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            files = [Path(folder) / file for folder, _, files in os.walk(path) for file in files]
            inside = sorted(file for file in files if is_image_name(file.name))
            if not inside:
                raise LimenError(f"{path}: no images in this folder ({', '.join(IMAGE_SUFFIXES)})")
            warn_of_passed(path, Counter(other_suffixes(file.name for file in files)))
            found += inside
        elif path.exists():
            found.append(path)
        else:
            raise LimenError(f"{path}: no such file or folder; check the path")
    return found


def warn_of_passed(root: Path, passed: Counter[str]) -> None:
    if passed.total():
        each = ", ".join(f"{count:,} {kind}" for kind, count in sorted(passed.items()) if count)
        warnings.warn(
            f"{root}: {passed.total():,} pictures are passed over ({each}); convert those of formats that are not read to JPEG or PNG",
            LimenWarning,
            stacklevel=3,
        )


def other_suffixes(names: Iterable[str]) -> Iterator[str]:
    """The suffixes of those names that are pictures in formats that are not read."""
    return (os.path.splitext(name)[1].lower() for name in names if name.lower().endswith(OTHER_SUFFIXES) and not name.startswith("."))


def _entries(folder: Path) -> tuple[list[str], list[str]]:
    """The folders and the files in a folder, hidden ones left out, in the order of their names."""
    try:
        with os.scandir(folder) as entries:
            seen = [(entry.name, _is_folder(entry)) for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise LimenError(f"{folder}: {explain(error)}") from error
    return sorted(name for name, is_folder in seen if is_folder), sorted(name for name, is_folder in seen if not is_folder)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads in a circle
        return False
