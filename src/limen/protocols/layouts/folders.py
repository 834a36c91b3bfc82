"""One's own gallery and probes: a folder of images for each person, on either side."""

import warnings
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from limen.data.readers.people import each_person, list_images
from limen.errors import LimenError, LimenWarning
from limen.files import file_sha256
from limen.names import Names
from limen.protocols.layouts.layout import Layout
from limen.protocols.layouts.searches import Listed, joined, search_set, strangers, unnested
from limen.protocols.layouts.tree import FEW, entry
from limen.protocols.task import SearchSet

GALLERY, PROBE = "gallery/", "probe/|probes/"
FPIR = (0.01, 0.1)


def _people_of(folder: Path) -> Listed:
    """All images of a folder of people. Raises LimenError for a person without any."""
    folder = unnested(folder)
    images, people = [], []
    for person, files in each_person(folder):
        if not files:
            raise LimenError(f"{folder / person}: no images of this person; add some or remove the folder")
        images += [folder / person / file for file in files]
        people += [person] * len(files)
    return Listed(images, people)


def _named_as_in(gallery: Listed, probe: Listed) -> Listed:
    """The probes, their people named as the gallery does: systems differ in letter case and in how they compose accents."""
    known = Names(person for person in gallery.people if person)
    names = {person: known.find(person) or person for person in dict.fromkeys(probe.people) if person}
    if respelt := [f"{person} is {name}" for person, name in names.items() if person != name]:
        few = ", ".join(respelt[:FEW])
        text = f"{len(respelt)} people are spelt otherwise in the gallery ({few}); they are taken for the same"
        warnings.warn(text, LimenWarning, stacklevel=4)
    return Listed(probe.files, [names[person] for person in probe.people if person])


def _say_copies(gallery: Sequence[Path], probe: Sequence[Path]) -> None:
    """Warns of probes that are copies of a file in the gallery. Only files of one size are read."""
    sizes = defaultdict(list)
    for file in gallery:
        sizes[_size(file)].append(file)
    suspected = {file: size for file in probe if (size := _size(file)) and size in sizes}
    known = {file_sha256(other) for size in set(suspected.values()) for other in sizes[size]}
    if copies := [str(file) for file in suspected if file_sha256(file) in known]:
        text = f"{len(copies):,} probes are copies of images in the gallery ({', '.join(copies[:FEW])}); any model finds those"
        warnings.warn(text, LimenWarning, stacklevel=4)


def _size(file: Path) -> int:
    """0 for what is no plain file, which is a failure to acquire, later."""
    return file.stat().st_size if file.is_file() else 0


def _read(layout: Layout, path: Path) -> SearchSet:
    found = layout.files(path)
    root = found[GALLERY].parent
    gallery = _people_of(found[GALLERY])
    probe = _named_as_in(gallery, _people_of(found[PROBE]))
    aside = entry(root, "distractors/")
    others = list_images([aside]) if aside else []
    _say_copies([*gallery.files, *others], probe.files)
    enrolled = set(gallery.people)
    mated = sum(person in enrolled for person in probe.people)
    return search_set(
        layout.name,
        root,
        {"": (joined(gallery, strangers(others)), probe)},
        fpir=FPIR if 0 < mated < len(probe.files) else (),
        counts={"distractors": len(others)},
    )


FOLDERS = Layout(
    name="folders",
    title="One's own gallery and probes",
    kind="one to many",
    holds={
        GALLERY: "the enrolled: one folder of images a person",
        PROBE: "who is looked for: one folder of images a person, named as in the gallery; people without one there make an open set",
    },
    source="your own collection",
    images="aligned",
    read=_read,
    also="distractors/ beside them: images of others in the gallery, each of somebody else",
)
