"""Groups of people that a CSV file names, and people who must not be confused: to which group each pair belongs."""

import warnings
from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path

import numpy as np

from limen.data.image_table import ImageTable
from limen.data.pairs.pair_set import PairSet
from limen.errors import LimenError, LimenWarning
from limen.names import Names
from limen.tables import csv_columns, read_csv

ACROSS, NOWHERE = "across groups", "no group"
RELATED, OTHERS = "related people", "all others"
FEW = 5


def with_groups(pairs: PairSet, path: str | PathLike[str]) -> PairSet:
    """`pairs` with the groups that each further column of a CSV file with a column `file` or `person` gives.

    A pair belongs to the group of both its images, to `ACROSS` where they are of two groups, to `NOWHERE` where one of them is in none. A
    file is named as ImageTable says; a person by the name of the folder that holds the images. Warns of those in no group.

    Raises:
        LimenError: no such CSV, neither or both columns, no further one, a file or person in two groups, none of these in `pairs`,
            templates.
    """
    columns = csv_columns(path)
    keys = [column for column in ("file", "person") if column in columns]
    named = [column for column in columns if column not in ("file", "person")]
    if len(keys) != 1 or not named:
        raise LimenError(f"{path}: needs the column file or person, and a column for each grouping; it has {','.join(columns)}")
    if pairs.templates is not None:
        raise LimenError(f"{pairs.name}: compares templates, and --groups needs pairs of single images; leave one of them out")
    values = _values(path, keys[0], named)
    row = _of_files(path, values, pairs) if keys[0] == "file" else _of_people(path, values, pairs)
    table = [*values.values(), ("",) * len(named)]
    groups = {column: np.array([table[number][place] for number in row]) for place, column in enumerate(named)}
    for column, group in groups.items():
        _say_missing(path, column, group, pairs)
    return replace(pairs, groups={**pairs.groups, **{column: _of_pairs(group, pairs) for column, group in groups.items()}})


def with_related(pairs: PairSet, path: str | PathLike[str]) -> PairSet:
    """`pairs` whose non-mated ones are grouped as "impostors": those of people whom a CSV file with the columns person and other pairs,
    who must not be confused, and all others. People are named by the folders that hold their images.

    Raises:
        LimenError: no such CSV, a person paired with themselves, none of its pairs of people compared, templates.
    """
    if pairs.templates is not None:
        raise LimenError(f"{pairs.name}: compares templates, and --related needs pairs of single images; leave one of them out")
    subject = _subjects(pairs)
    known, codes, unknown, many = Names(subject), set[int](), list[str](), int(pairs.subject.max(initial=0)) + 1
    for line, row in read_csv(path, ("person", "other")):
        one, other = (known.find(row[side]) for side in ("person", "other"))
        if one is None or other is None:
            unknown.append(f"{row['person']} and {row['other']}")
        elif one == other:
            raise LimenError(f"{path}: line {line} pairs {one} with themselves; correct it")
        else:
            codes |= {subject[one] * many + subject[other], subject[other] * many + subject[one]}
    related = ~pairs.same & np.isin(pairs.subject[pairs.first] * many + pairs.subject[pairs.second], sorted(codes))
    if not related.any():
        raise LimenError(f"{path}: none of its people are compared in {pairs.name}; people are named by the folders of their images")
    if unknown:
        few = "; ".join(unknown[:FEW])
        warnings.warn(f"{path}: {len(unknown):,} pairs name somebody who is not in {pairs.name} ({few})", LimenWarning, stacklevel=3)
    group = np.where(pairs.same, "", np.where(related, RELATED, OTHERS))
    return replace(pairs, groups={**pairs.groups, "impostors": group})


def _values(path: str | PathLike[str], key: str, columns: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The cells of the columns by file or person. Raises LimenError where one has two that differ."""
    found: dict[str, tuple[str, ...]] = {}
    for _, row in read_csv(path, (key, *columns)):
        cells = tuple(row[column].strip() for column in columns)
        earlier = found.setdefault(row[key], cells)
        for column, one, other in zip(columns, earlier, cells, strict=True):
            if one != other:
                raise LimenError(f"{path}: {row[key]} is in two groups of {column}, {one or 'none'} and {other or 'none'}; correct it")
    return found


def _of_files(path: str | PathLike[str], values: dict[str, tuple[str, ...]], pairs: PairSet) -> np.ndarray:
    """(N,) the place among `values` of each image, -1 where it has none."""
    order = {cells: place for place, cells in enumerate(values.values())}  # of equal ones the last: they say the same
    columns = tuple(column for column in csv_columns(path) if column not in ("file", "person"))
    table = ImageTable(path, columns, lambda *cells: order[tuple(cell.strip() for cell in cells)])
    found = [table.get(pairs.source.locate(image)) for image in range(len(pairs.source))]
    if all(place is None for place in found):
        raise LimenError(f"{path}: names none of the images of {pairs.name}; the first is {pairs.source.locate(0)}")
    return np.array([-1 if place is None else int(place) for place in found])


def _of_people(path: str | PathLike[str], values: dict[str, tuple[str, ...]], pairs: PairSet) -> np.ndarray:
    """The same by the people."""
    known, subject = Names(values), _subjects(pairs)
    order = {name: place for place, name in enumerate(values)}
    place = np.full(int(pairs.subject.max(initial=0)) + 1, -1)
    for name, number in subject.items():
        if found := known.find(name):
            place[number] = order[found]
    if (place < 0).all():
        first = next(iter(subject))
        raise LimenError(f"{path}: names none of the people of {pairs.name}, whom the folders of their images name: {first} is the first")
    return place[pairs.subject]


def _subjects(pairs: PairSet) -> dict[str, int]:
    """The number of each person by the name of the folder that holds the images. Raises LimenError where that tells nobody."""
    found: dict[str, int] = {}
    for image in range(len(pairs.source)):
        name = Path(pairs.source.locate(image)).parent.name
        if found.setdefault(name, int(pairs.subject[image])) != pairs.subject[image]:
            raise LimenError(f"{pairs.name}: {name} holds images of several people, so folders do not name them; use a column file")
    return found


def _say_missing(path: str | PathLike[str], column: str, group: np.ndarray, pairs: PairSet) -> None:
    if (lost := np.flatnonzero(group == "")).size:
        people = len(np.unique(pairs.subject[lost]))
        few = ", ".join(pairs.source.locate(int(image)) for image in lost[:FEW])
        text = f"{len(lost):,} images of {people:,} people are in no group of {column} ({few}); their pairs are counted as {NOWHERE}"
        warnings.warn(f"{path}: {text}", LimenWarning, stacklevel=4)


def _of_pairs(group: np.ndarray, pairs: PairSet) -> np.ndarray:
    one, other = group[pairs.first], group[pairs.second]
    return np.where((one == "") | (other == ""), NOWHERE, np.where(one == other, one, ACROSS))
