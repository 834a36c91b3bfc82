"""BFW (Robinson et al., 2020): pairs of people of eight groups, in one table with a header."""

import csv
import io
from pathlib import Path

import numpy as np

from limen.data.pairs import PairSet
from limen.errors import LimenError
from limen.files import read_plain_file
from limen.protocols.layouts.layout import Layout
from limen.protocols.layouts.pairs import image_root, pair_set
from limen.protocols.layouts.text import LARGEST, wrong_line

TABLE = "bfw-*datatable.csv"
COLUMNS = ("fold", "p1", "p2", "label", "a1", "a2")


def _read(layout: Layout, path: Path) -> PairSet:
    listed = layout.files(path)[TABLE]
    rows = _rows(listed)
    first, second = ([row[side].replace("\\", "/") for row in rows] for side in ("p1", "p2"))
    same = np.array([row["label"] in ("1", "1.0", "True") for row in rows])
    # One group where both are of it; pairs across groups stand for both.
    group = np.array([row["a1"] if row["a1"] == row["a2"] else f"{row['a1']}-{row['a2']}" for row in rows])
    people = tuple([name.rpartition("/")[0] for name in side] for side in (first, second))
    root = image_root(path, first)
    folds = np.unique([row["fold"] for row in rows], return_inverse=True)[1]
    return pair_set(layout.name, root, listed, first, second, same, (people[0], people[1]), group=group, folds=folds)


def _rows(path: Path) -> list[dict[str, str]]:
    """By column, read by the header. Raises LimenError for a table without the columns, and a row that is cut short."""
    text = read_plain_file(path, LARGEST).decode("utf-8-sig", "surrogateescape")
    table = csv.DictReader(io.StringIO(text, newline=""))
    if absent := [name for name in COLUMNS if name not in (table.fieldnames or ())]:
        raise LimenError(f"{path}: lacks the columns {', '.join(absent)}; is it the right file?")
    found = []
    for row in table:
        values = {name: row[name] for name in COLUMNS}
        if None in values.values():
            raise wrong_line(path, table.line_num, f"lacks {', '.join(name for name, value in values.items() if value is None)}")
        if values["label"] not in ("0", "1", "0.0", "1.0", "True", "False"):
            raise wrong_line(path, table.line_num, f"has the label {values['label']!r} where 0 or 1 is expected")
        found.append(values)
    if not found:
        raise LimenError(f"{path}: holds no pairs; fetch it again")
    return found


BFW = Layout(
    name="bfw",
    title="BFW: Balanced Faces in the Wild",
    kind="one to one",
    holds={TABLE: "pairs with folds and groups; and bfw-cropped-aligned/ or another folder of the images, aligned to 112x112"},
    source="the BFW authors, by form",
    images="raw",
    read=_read,
)
