"""LFW (Huang et al., 2007): its pairs as text or Kaggle's tables, over any tree of its names, and lists of the same form."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from limen.data.pairs import PairSet
from limen.data.pairs.pair_set import FOLDS
from limen.errors import LimenError
from limen.protocols.layouts.layout import Layout
from limen.protocols.layouts.packs import PACKED, packed
from limen.protocols.layouts.pairs import balanced_folds, image_root, pair_set
from limen.protocols.layouts.text import rows_of, whole_number, wrong_line


class NamedPairs(NamedTuple):
    """P pairs of `person number`, as paths person/person_0001.jpg."""

    first: list[str]
    second: list[str]
    first_person: list[str]
    second_person: list[str]
    folds: int

    @property
    def same(self) -> np.ndarray:
        return np.array(self.first_person) == np.array(self.second_person)


def read_named_pairs(path: Path, header: bool = True) -> NamedPairs:
    """A list like LFW's pairs.txt: `name i j` and `name i other j` under `folds n` or, of one block, `n`: n pairs of each kind a fold.

    Raises LimenError for a line of another form, and a header that says another number of pairs.
    """
    rows = list(rows_of(path, (1, 2, 3, 4)))
    folds, expected = FOLDS, None
    if header and rows and len(rows[0][1]) <= 2:
        line, fields = rows.pop(0)
        numbers = [whole_number(path, line, field) for field in fields]
        folds, expected = (numbers[0] if len(numbers) == 2 else 1), 2 * int(np.prod(numbers))
    pairs = NamedPairs([], [], [], [], folds)
    for line, row in rows:
        if len(row) < 3:
            raise wrong_line(path, line, f"has {len(row)} fields where 3 (name i j) or 4 (name i other j) are expected")
        _add(pairs, path, line, row)
    if expected not in (None, len(rows)) or not rows:
        raise LimenError(f"{path}: holds {len(rows)} pairs where {expected or 'some'} should be; fetch it again")
    return pairs


def _add(pairs: NamedPairs, path: Path, line: int, row: list[str]) -> None:
    name, i, other, j = (row[0], row[1], row[0], row[2]) if len(row) == 3 or not row[3] else row
    for images, people, person, number in ((pairs.first, pairs.first_person, name, i), (pairs.second, pairs.second_person, other, j)):
        images.append(f"{person}/{person}_{whole_number(path, line, number):04d}.jpg")
        people.append(person)


def _read_tables(*paths: Path) -> NamedPairs:
    """Kaggle's comma tables, read by position: their headers repeat a name."""
    pairs = NamedPairs([], [], [], [], FOLDS)
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
    root = image_root(path, pairs.first)
    folds = balanced_folds(pairs.same) if development or pairs.folds == 1 else pairs.folds
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
