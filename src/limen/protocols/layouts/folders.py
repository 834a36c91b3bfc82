"""Folders of one's own people, a folder of images for each, and the layout of those that lie side by side."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from limen.data.pairs import PairSet, all_pairs_of
from limen.data.readers import FileSource, FolderSource
from limen.data.readers.people import each_person, is_image_name
from limen.errors import LimenError
from limen.protocols.layouts.layout import Layout
from limen.protocols.layouts.own_people import People, Sides, check_people, named_as_in, own_search, split
from limen.protocols.layouts.searches import unnested
from limen.protocols.layouts.tree import entries, entry, folders_in, refuse_raw
from limen.protocols.task import SearchSet

MOST = 5_000_000  # pairs of either kind of one's own people
GALLERY, PROBE = "gallery/", "probe/|probes/"


def open_sides(
    name: str, gallery: Path, probe: Path, distractors: Path | None = None, photos: bool = False, root: Path | None = None
) -> SearchSet:
    """The search of one folder of people by another. `photos` need not be aligned; `root`: see `own_search`.

    Raises LimenError as `own_search` and `check_people`, for a person without images, and for raw images that are no `photos`.
    """
    enrolled = people_in(gallery)
    sides = Sides(enrolled, named_as_in(enrolled, people_in(probe)), others_in(distractors) if distractors else {})
    return _opened(name, sides, photos, root)


def open_split(name: str, folder: Path, enrolled: int, seed: int = 0, photos: bool = False) -> SearchSet:
    """The search of a folder of people by the images of it that `split` does not enrol. Raises LimenError as `open_sides`."""
    return _opened(name, split(name, people_in(folder), enrolled, seed), photos, seed=seed)


def open_pairs_of(name: str, folder: Path, seed: int = 0, photos: bool = False) -> PairSet:
    """`all_pairs_of` a folder of people, `MOST` of either kind. Raises LimenError as FolderSource and `all_pairs_of`, and for raw images
    that are no `photos`."""
    source = FolderSource(unnested(folder))
    files = FileSource([source.locate(image) for image in range(len(source))])
    if not photos:
        refuse_raw([Path(file) for file in files.paths], name)
    return replace(all_pairs_of(files, source.labels, MOST, seed, name), names=source.class_names)


def people_in(folder: Path, loose: bool = False) -> People:
    """Person -> images. `loose`: see each_person. Raises LimenError for a person without any."""
    folder, people = unnested(folder), dict[str, list[Path]]()
    for person, files in each_person(folder, loose=loose):
        if not files:
            raise LimenError(f"{folder / person}: no images of this person; add some or remove the folder")
        people[person] = [folder / person / file for file in files]
    return people


def others_in(folder: Path) -> People:
    """Those in the folders of a folder, and the one in each loose image of it, by its path. Raises LimenError where there is nobody."""
    folder = unnested(folder)
    others: dict[str, Sequence[Path]] = {str(file): [file] for file in entries(folder) if is_image_name(file.name) and not file.is_dir()}
    others |= people_in(folder, loose=True) if folders_in(folder) else {}
    if not folder.is_dir():
        raise LimenError(f"{folder}: no such folder; name one with images of distractors, loose or a folder a person")
    if not others:
        raise LimenError(f"{folder}: no images in this folder; name one with images of distractors, loose or a folder a person")
    return others


def _opened(name: str, sides: Sides, photos: bool, root: Path | None = None, seed: int = 0) -> SearchSet:
    for people in () if photos else (sides.gallery, sides.others, sides.probe):
        refuse_raw([file for images in people.values() for file in images], name)
    check_people(name, sides)
    return own_search(name, sides, root, seed)


def _read(layout: Layout, path: Path) -> SearchSet:
    found = layout.files(path)
    root = found[GALLERY].parent
    return open_sides(layout.name, found[GALLERY], found[PROBE], entry(root, "distractors/"), root=root)


FOLDERS = Layout(
    name="folders",
    title="One's own gallery and probes",
    kind="one to many",
    holds={
        GALLERY: "the enrolled: one folder of images a person, which make one template",
        PROBE: "who is looked for: one folder of images a person, named as in the gallery; people without one there make an open set",
    },
    source="your own collection",
    images="aligned",
    read=_read,
    also="distractors/ beside them: others in the gallery, a folder a person, or loose images, each of somebody else",
)
