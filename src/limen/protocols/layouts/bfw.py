"""BFW (Robinson et al., 2020): pairs of people of eight groups, in one table with a header."""

from pathlib import Path

import numpy as np

from limen.data.pairs import PairSet
from limen.errors import LimenError
from limen.protocols.layouts.layout import Layout
from limen.protocols.layouts.pairs import image_root, pair_set
from limen.protocols.layouts.text import csv_rows, wrong_line

TABLE = "bfw-*datatable.csv"
COLUMNS = ("fold", "p1", "p2", "label", "a1", "a2")
LABEL = COLUMNS.index("label")


def _read(layout: Layout, path: Path) -> PairSet:
    listed = layout.files(path)[TABLE]
    table = _columns(listed)
    first, second = table["p1"], table["p2"]
    same = np.array([label in ("1", "1.0", "True") for label in table["label"]])
    # One group where both are of it; pairs across groups stand for both.
    group = np.array([one if one == other else f"{one}-{other}" for one, other in zip(table["a1"], table["a2"], strict=True)])
    person = {name: name.rpartition("/")[0] for name in {*first, *second}}
    people = tuple([person[name] for name in side] for side in (first, second))
    root = image_root(path, first, listed)
    folds = np.unique(table["fold"], return_inverse=True)[1]
    return pair_set(layout.name, root, listed, first, second, same, (people[0], people[1]), groups={"": group}, folds=folds)


def _columns(path: Path) -> dict[str, list[str]]:
    """The COLUMNS, found by the header; of a million pairs each text is held once.

    Raises LimenError for a table without the columns, a row that is cut short, and a label that is none.
    """
    rows = csv_rows(path)
    _, header = next(rows, (0, []))
    if absent := [name for name in COLUMNS if name not in header]:
        raise LimenError(f"{path}: lacks the columns {', '.join(absent)}; is it the right file?")
    places = [header.index(name) for name in COLUMNS]
    found: list[list[str]] = [[] for _ in COLUMNS]
    known: dict[str, str] = {}
    for line, row in rows:
        if len(row) <= max(places):
            lacking = [name for name, place in zip(COLUMNS, places, strict=True) if place >= len(row)]
            raise wrong_line(path, line, f"lacks {', '.join(lacking)}")
        for column, place in zip(found, places, strict=True):
            cell = row[place].replace("\\", "/")
            column.append(known.setdefault(cell, cell))
        if (label := row[places[LABEL]]) not in ("0", "1", "0.0", "1.0", "True", "False"):
            raise wrong_line(path, line, f"has the label {label!r} where 0 or 1 is expected")
    if not found[0]:
        raise LimenError(f"{path}: holds no pairs; fetch it again")
    return dict(zip(COLUMNS, found, strict=True))


BFW = Layout(
    name="bfw",
    title="BFW: Balanced Faces in the Wild",
    kind="one to one",
    holds={TABLE: "pairs with folds and groups; and bfw-cropped-aligned/ or another folder of the images, aligned to 112x112"},
    source="the BFW authors, by form",
    images="raw",
    read=_read,
)
