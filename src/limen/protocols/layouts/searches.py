"""From images and their people to a SearchSet: what the one-to-many benchmarks share."""

import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from limen.data.readers import FileSource
from limen.data.readers.people import is_image_name
from limen.data.templates import Templates
from limen.errors import LimenError, LimenWarning
from limen.protocols.layouts.layout import Layout
from limen.protocols.layouts.tree import FEW, entries, entry, first_raw, folders_in, places, raw_refused, refuse_raw, stem_of, within
from limen.protocols.task import Gallery, SearchSet


class Listed(NamedTuple):
    """Images, and the person in each: None is somebody who is in no other image."""

    files: Sequence[Path]
    people: Sequence[str | None]


def strangers(files: Sequence[Path]) -> Listed:
    return Listed(files, [None] * len(files))


def joined(one: Listed, other: Listed) -> Listed:
    return Listed([*one.files, *other.files], [*one.people, *other.people])


def search_set(name: str, root: Path, galleries: Mapping[str, tuple[Listed, Listed]], **fields: Any) -> SearchSet:
    """The search of each gallery, name -> (its entries, its probes), one template an image.

    Args:
        name: of the benchmark, for messages.
        root: the folder that the names of templates are relative to.
        fields: others of SearchSet: `ranks`, `fpir`, `open_rank`, `counts`, `switches`.

    Raises:
        LimenError: a side without images, raw images, an image of two people, an image among both entries and probes.

    Warns of probes whose person is in no gallery where the benchmark has no open set: they do not count.
    """
    number: dict[Path, int] = {}
    people: list[str | None] = []
    searches = []
    for label, sides in galleries.items():
        for side, listed in zip(("gallery", "probes"), sides, strict=True):
            if not listed.files:
                raise LimenError(f"{name}: {root} holds no images of the {side} {label}".rstrip() + "; complete the folder")
            refuse_raw(listed.files, name)
            for file, who in zip(listed.files, listed.people, strict=True):
                if number.setdefault(file, len(people)) == len(people):
                    people.append(who)
                elif people[number[file]] != who:
                    raise LimenError(f"{name}: {file} is of {people[number[file]]} and of {who}; correct the list")
        gallery, probe = (np.unique([number[file] for file in listed.files]) for listed in sides)
        if (both := np.intersect1d(gallery, probe)).size:
            file = list(number)[both[0]]
            raise LimenError(f"{name}: {file} is an entry of the gallery and a probe ({both.size} such); leave one of them")
        searches.append(Gallery(label, gallery, probe))
    ids = {who: place for place, who in enumerate(sorted({who for who in people if who is not None}))}
    person = np.array([-1 if who is None else ids[who] for who in people], np.int64)
    lonely = [row for found in searches for row in found.probe[~np.isin(person[found.probe], person[found.gallery])]]
    if lonely and not fields.get("fpir"):
        few = ", ".join(sorted({str(people[row]) for row in lonely})[:FEW])
        warnings.warn(f"{name}: {len(lonely):,} probes have no mate in the gallery ({few}) and do not count", LimenWarning, stacklevel=3)
    names = [file.relative_to(root).as_posix() for file in number]
    return SearchSet(name, FileSource(number), Templates.of_images(person, names), searches, **fields)


def every_image(folder: Path) -> list[Path]:
    """The images in a folder in the order of their names. Raises LimenError where two have one name but for its ending."""
    files = [file for file in entries(unnested(folder)) if is_image_name(file.name)]
    stems: dict[str, Path] = {}
    for file in files:
        if (first := stems.setdefault(stem_of(file.name), file)) is not file:
            raise LimenError(f"{file}: is {first.name} under another ending; leave one of them")
    return files


def unnested(folder: Path) -> Path:
    """The folder, or the one of the same name that is alone in it, as unzipping leaves it."""
    while (inside := entries(folder)) and len(inside) == 1 and inside[0].is_dir() and inside[0].name.lower() == folder.name.lower():
        folder = inside[0]
    return folder


def aligned_folder(layout: Layout, path: Path, lists: Iterable[Path] = (), below: str = "") -> Path:
    """The folder that holds all folders of `layout.holds`, of aligned images: `path`, one in it, one beside it, or `below` such a one.

    Benchmarks bring raw images, and their aligned copies stand in a tree of the same names beside them. `path` must hold one of the folders
    or of `lists`: a benchmark beside it is another one.
    Raises LimenError where there is none, where there are only raw ones, and where several may be meant.
    """
    names = [name for name in layout.holds if name.endswith("/")]
    raw, best, own = None, list[str](), within(path, *lists)
    for level in _levels(path):
        found = []
        for base in (base for folder in level for base in (folder, entry(folder, below) if below else None) if base):
            inside = {name: place for name in names if (place := entry(base, name)) and place.is_dir()}
            best = max(best, list(inside), key=len)
            own = own or within(path, *inside.values())
            if len(inside) < len(names) or not own:
                continue
            if seen := next((seen for place in inside.values() if (seen := _first_raw_in(place))), None):
                raw = raw or seen
            else:
                found.append(base)
        if len(found) > 1:
            raise LimenError(f"{layout.name}: the images may be those of {' or '.join(map(str, found))}; name one of them")
        if found:
            return found[0]
    raise raw_refused(layout.name, *raw) if raw else layout.missing(path, *(name for name in names if name not in best))


def _levels(path: Path) -> Iterator[list[Path]]:
    for place in places(path):
        yield [place]
        yield folders_in(place)


def _first_raw_in(folder: Path) -> tuple[Path, int, int] | None:
    images = (file for file in folder.rglob("*") if is_image_name(file.name))
    return first_raw(list(islice(images, FEW)))
