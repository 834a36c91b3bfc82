"""LFW (Huang et al., 2007): its pairs as text or Kaggle's tables, over any tree of its names, and lists of the same form."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from limen.data.pairs import PairSet
from limen.data.pairs.lists import read_list
from limen.data.pairs.pair_set import FOLDS
from limen.errors import LimenError
from limen.protocols.layouts.layout import Layout
from limen.protocols.layouts.packs import PACKED, packed
from limen.protocols.layouts.pairs import balanced_folds, image_root, pair_set
from limen.protocols.layouts.text import rows_of, whole_number


class NamedPairs(NamedTuple):
    """P pairs of `person number`, as paths person/person_0001.jpg."""

    first: list[str]
    second: list[str]
    first_person: list[str]
    second_person: list[str]
    folds: int = FOLDS

    @property
    def same(self) -> np.ndarray:
        return np.array(self.first_person) == np.array(self.second_person)


def read_named_pairs(path: Path) -> NamedPairs:
    """A list like LFW's pairs.txt, see `open_pairs`. Raises LimenError as that does, and for a list that does not number the images."""
    listed = read_list(path)
    pairs = NamedPairs([], [], [], [], listed.folds)
    for one, other in listed.pairs:
        for face, images, people in ((one, pairs.first, pairs.first_person), (other, pairs.second, pairs.second_person)):
            if face.person is None or isinstance(face.image, str):
                raise LimenError(f"{path}: names {face} where a person and the number of an image are expected; is it the right file?")
            images.append(_image(face.person, face.image))
            people.append(face.person)
    return pairs


def _image(person: str, number: int) -> str:
    return f"{person}/{person}_{number:04d}.jpg"


def _add(pairs: NamedPairs, path: Path, line: int, row: list[str]) -> None:
    name, i, other, j = (row[0], row[1], row[0], row[2]) if len(row) == 3 or not row[3] else row
    for images, people, person, number in ((pairs.first, pairs.first_person, name, i), (pairs.second, pairs.second_person, other, j)):
        images.append(_image(person, whole_number(path, line, number)))
        people.append(person)


def _read_tables(*paths: Path) -> NamedPairs:
    """Kaggle's comma tables, read by position: their headers repeat a name."""
    pairs = NamedPairs([], [], [], [])
    for path in paths:
        for line, row in rows_of(path, (3, 4), ",", skip=1):
            _add(pairs, path, line, row)
    return pairs


def _read(layout: Layout, path: Path) -> PairSet:
    if layout.name == "lfw" and (pack := packed(path, "lfw")):
        return pack
    listed = layout.files(path)
    (file,) = listed.values()
    development = layout.name != "lfw"
    if file.suffix.lower() != ".csv":
        pairs = read_named_pairs(file)
    elif development:
        pairs = _read_tables(file, file.with_name(f"mis{file.name}"))
    else:
        pairs = _read_tables(file)
    root = image_root(path, pairs.first, file)
    folds = balanced_folds(pairs.same) if development else pairs.folds
    return pair_set(layout.name, root, file, pairs.first, pairs.second, pairs.same, (pairs.first_person, pairs.second_person), folds=folds)


SOURCE = "the LFW site (University of Massachusetts) or its mirrors"
TREE = "one folder <Name>/ a person with <Name>_0001.jpg, ... aligned to 112x112, here or below"
LFW = Layout(
    name="lfw",
    title="LFW: Labeled Faces in the Wild, view 2",
    kind="one to one",
    holds={"pairs.txt|pairs.csv": f"10 folds of 300 mated and 300 non-mated pairs; beside it {TREE}"},
    source=SOURCE,
    images="raw",
    read=_read,
    also=f"lfw{PACKED}",
    expected={"pairs": 6000, "mated": 3000},
)
LFW_DEV_TRAIN, LFW_DEV_TEST = (
    Layout(
        name=f"lfw-dev-{part.lower()}",
        title=f"LFW, view 1: development {part.lower()}ing pairs",
        kind="one to one",
        holds={f"pairsDev{part}.txt|matchpairsDev{part}.csv": f"{count} pairs of each kind, in one block; beside it {TREE}"},
        source=SOURCE,
        images="raw",
        read=_read,
        also=f"Kaggle's matchpairsDev{part}.csv with mismatchpairsDev{part}.csv",
        expected={"pairs": 2 * count, "mated": count},
    )
    for part, count in (("Train", 1100), ("Test", 500))
)
