"""CALFW and CPLFW (Zheng and Deng, 2017 and 2018): LFW's people across ages and across poses."""

from pathlib import Path

import numpy as np

from limen.data.pairs import PairSet
from limen.data.photos.landmarks import read_points
from limen.errors import LimenError
from limen.protocols.layouts.landmarks import crops
from limen.protocols.layouts.layout import Layout
from limen.protocols.layouts.packs import PACKED, packed
from limen.protocols.layouts.pairs import balanced_folds, image_root, pair_set
from limen.protocols.layouts.text import rows_of, whole_number, wrong_line
from limen.protocols.layouts.tree import Images, entry, stem_of, within


def _read(layout: Layout, path: Path) -> PairSet:
    if pack := packed(path, layout.name):
        return pack
    (listed,) = layout.files(path).values()
    first, second, same = read_two_lines_a_pair(listed)
    # "aligned images/" beside them has the same names and is not aligned to the template.
    raw = entry(listed.parent, "images&landmarks/images&landmarks/images|images&landmarks/images|images")
    own = raw is not None and within(path, listed, raw) and Images(raw).find(first[0])
    root = raw if raw and own else image_root(path, first, listed)
    beside = [root, *(root.parent / folder for folder in ("CA_landmarks", "CP_landmarks")), root.parent.parent / "CA_landmarks"]

    def points_of(file: Path) -> np.ndarray | None:
        name = f"{stem_of(file.name)}_5loc_attri.txt"
        found = next((folder / name for folder in beside if (folder / name).exists()), None)
        return read_points(found) if found else None

    return pair_set(
        layout.name,
        root,
        listed,
        first,
        second,
        same,
        source_of=lambda files: crops(files, layout.name, points_of),
        folds=balanced_folds(np.array(same)),
    )


def read_two_lines_a_pair(path: Path) -> tuple[list[str], list[str], list[bool]]:
    """Lines 2k - 1 and 2k `name token` are the images of pair k, with one token: 0 for two people. A header is passed over.

    Raises LimenError for lines of another form, and a pair of two tokens.
    """
    rows = list(rows_of(path, 2))
    if rows and not rows[0][1][1].isdigit():
        rows.pop(0)
    if len(rows) % 2 or not rows:
        raise LimenError(f"{path}: holds {len(rows)} lines where two are expected for each pair; fetch it again")
    first, second, same = [], [], []
    for (_, one), (line, other) in zip(rows[0::2], rows[1::2], strict=True):
        if one[1] != other[1]:
            raise wrong_line(path, line, f"has the token {other[1]} where the first line of its pair has {one[1]}")
        first.append(one[0])
        second.append(other[0])
        same.append(whole_number(path, line, one[1]) != 0)
    return first, second, same


CALFW, CPLFW = (
    Layout(
        name=name.lower(),
        title=f"{name}: Cross-{what} LFW",
        kind="one to one",
        holds={f"pairs_{name}.txt": "two lines a pair; beside or below it the images, aligned to 112x112 or raw with *_5loc_attri.txt"},
        source="the authors' pages (Beijing University of Posts and Telecommunications)",
        images="loose with landmarks",
        read=_read,
        also=f"{name.lower()}{PACKED}",
        expected={"pairs": 6000, "mated": 3000},
    )
    for name, what in (("CALFW", "Age"), ("CPLFW", "Pose"))
)
