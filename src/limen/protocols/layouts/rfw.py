"""RFW (Wang et al., 2019): LFW's protocol of people of four groups."""

from pathlib import Path

import numpy as np

from limen.data.pairs import PairSet
from limen.data.pairs.pair_set import FOLDS
from limen.data.photos.landmarks import read_list
from limen.protocols.layouts.landmarks import crops
from limen.protocols.layouts.layout import Layout
from limen.protocols.layouts.lfw import read_named_pairs
from limen.protocols.layouts.pairs import balanced_folds, pair_set
from limen.protocols.layouts.tree import stem_of

GROUPS = ("African", "Asian", "Caucasian", "Indian")
LISTS = {group: f"txts/{group}/{group}_pairs.txt|test/txts/{group}/{group}_pairs.txt" for group in GROUPS}
IMAGES = "|".join(f"{folder}data/" for folder in ("test_aligned/", "", "test/", "images/test/"))


def _read(layout: Layout, path: Path) -> PairSet:
    files = layout.files(path)
    first: list[str] = []
    second: list[str] = []
    people: tuple[list[str], list[str]] = ([], [])
    group: list[str] = []
    fold: list[np.ndarray] = []
    points: dict[str, np.ndarray] = {}
    for name in GROUPS:
        listed = files[LISTS[name]]
        pairs = read_named_pairs(listed)
        # A person may be in two groups: it is then known by both.
        first += [f"{name}/{image}" for image in pairs.first]
        second += [f"{name}/{image}" for image in pairs.second]
        people[0].extend(f"{name}/{person}" for person in pairs.first_person)
        people[1].extend(f"{name}/{person}" for person in pairs.second_person)
        group += [name] * len(pairs.first)
        fold.append(balanced_folds(pairs.same, FOLDS))
        if (landmarks := listed.with_name(f"{name}_lmk.txt")).exists():
            points |= read_landmarks(landmarks)
    same = np.array(people[0]) == np.array(people[1])
    return pair_set(
        layout.name,
        files[IMAGES],
        files[LISTS[GROUPS[0]]],
        first,
        second,
        same,
        people,
        source_of=lambda found: crops(found, layout.name, lambda file: points.get(stem_of("/".join(file.parts[-3:])))),
        groups={"": np.array(group)},
        folds=np.concatenate(fold),
    )


def read_landmarks(path: Path) -> dict[str, np.ndarray]:
    """(5, 2) by "Group/person/image", the end of the path in the first field without its ending."""
    return {"/".join(parts[-3:]): points for parts, points, _ in read_list(path)}


RFW = Layout(
    name="rfw",
    title="RFW: Racial Faces in the Wild",
    kind="one to one",
    holds={
        **{name: "pairs of one group, and _lmk.txt beside it unless the images are aligned" for name in LISTS.values()},
        IMAGES: "<Group>/<id>/<id>_0001.jpg",
    },
    source="the RFW authors, on request",
    images="loose with landmarks",
    read=_read,
    expected={"pairs": 24000, "mated": 12000},
)
