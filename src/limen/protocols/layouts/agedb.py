"""AgeDB-30 (Moschoglou et al., 2017): pairs 30 years apart, as the authors' package has them."""

from pathlib import Path
from typing import Any

import numpy as np

from limen.data.pairs import PairSet
from limen.errors import LimenError
from limen.protocols.layouts.layout import Layout
from limen.protocols.layouts.matlab import flat, read_matlab
from limen.protocols.layouts.packs import PACKED, packed
from limen.protocols.layouts.pairs import image_root, pair_set

TABLE, IMAGES = "04_FINAL_protocol_30_years.mat|04_*.mat", "03_Protocol_Images"


def _read(layout: Layout, path: Path) -> PairSet:
    if pack := packed(path, "agedb_30"):
        return pack
    files = layout.files(path)
    (splits,) = read_matlab(files[TABLE], "splits")
    first: list[str] = []
    second: list[str] = []
    same: list[bool] = []
    fold: list[int] = []
    for number, split in enumerate(splits.ravel()):
        stems, labels = _split(files[TABLE], split)
        first += [f"{stem}.jpg" for stem in stems[0]]
        second += [f"{stem}.jpg" for stem in stems[1]]
        same += [label == 1 for label in labels]
        fold += [number] * len(labels)
    root = image_root(files[IMAGES], first, files[TABLE])
    return pair_set(layout.name, root, files[TABLE], first, second, same, folds=np.array(fold))


def _split(path: Path, split: Any) -> tuple[list[list[str]], list[int]]:
    """The stems of both sides (2, P), and the labels (P,) of one of the folds: a struct, or one in a cell."""
    try:
        while split.dtype == object:
            split = split.ravel()[0]
        (pairs,), (labels,) = split["pairs"].ravel(), split["labels"].ravel()
        stems = [[_stem(cell) for cell in side] for side in pairs]
        values = flat(labels)
        if len(stems) != 2 or {len(side) for side in stems} != {len(values)} or not set(values) <= {1, -1, 0}:
            raise ValueError(f"{len(stems)} sides of pairs and {len(values)} labels")
    except (ValueError, TypeError, IndexError, KeyError, AttributeError) as error:
        raise LimenError(
            f"{path}: a fold of `splits` does not hold 2 x P `pairs` and P `labels` ({error}); is it the right file?"
        ) from error
    return stems, values


def _stem(cell: Any) -> str:
    """The name in a cell of the struct (stem, age)."""
    while isinstance(cell, np.ndarray) and (cell.dtype == object or cell.dtype.names):
        cell = cell.ravel()[0] if cell.dtype == object else cell[cell.dtype.names[0]]
    (name,) = flat(cell)
    return str(name)


AGEDB_30 = Layout(
    name="agedb-30",
    title="AgeDB-30: AgeDB, pairs 30 years apart",
    kind="one to one",
    holds={
        TABLE: "ten folds of pairs (the flat folder AgeDB alone does not hold them)",
        IMAGES: "the images of the pairs, aligned to 112x112",
    },
    source="the AgeDB authors (Imperial College London), on request",
    images="raw",
    read=_read,
    also=f"agedb_30{PACKED}",
    expected={"pairs": 6000, "mated": 3000},
)
