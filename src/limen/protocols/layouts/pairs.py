"""From the lines of a list to a PairSet: the images found, the people numbered, and the two said to agree."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from limen.data.pairs import PairSet
from limen.data.pairs.pair_set import FOLDS, joined_subjects
from limen.data.readers import FileSource
from limen.data.source import ImageSource
from limen.errors import LimenError
from limen.files import file_sha256
from limen.protocols.layouts.tree import Images, folders_in, refuse_raw, within


def pair_set(
    name: str,
    root: Path,
    listed: Path,
    first: Sequence[str],
    second: Sequence[str],
    same: Sequence[bool] | np.ndarray,
    people: tuple[Sequence[str], Sequence[str]] | None = None,
    source_of: Callable[[list[Path]], ImageSource] | None = None,
    **fields: Any,
) -> PairSet:
    """The pairs of images at the paths `first` and `second` below `root`, which the file `listed` names.

    Args:
        people: who is in the images of either side; None where the list does not say: then mated pairs join images into people.
        source_of: from files to images; None takes aligned crops and refuses raw images.
        fields: others of PairSet: `folds`, `groups`, `far`, `switches`.

    Raises:
        LimenError: images that are missing or raw, an image of two people, a pair whose people say another thing than its flag.
    """
    files, number = Images(root).find_all([*first, *second], listed)
    if source_of is None:
        refuse_raw(files, name)
    source = FileSource(files) if source_of is None else source_of(files)
    one, other, mated = number[: len(first)], number[len(first) :], np.array(same, bool)
    fields["switches"] = {"pairs_sha256": file_sha256(listed)} | fields.get("switches", {})
    if people is None:
        return PairSet(name, source, one, other, mated, joined_subjects(one, other, mated, len(files)), people="joined", **fields)
    names = sorted({*people[0], *people[1]})
    place = {name: index for index, name in enumerate(names)}
    ids = np.array([place[name] for side in people for name in side], np.int64)
    subject = np.empty(len(files), np.int64)
    subject[number] = ids
    if (two := np.flatnonzero(subject[number] != ids)).size:
        raise LimenError(f"{listed}: {[*first, *second][two[0]]} is of two people; correct it")
    if (wrong := np.flatnonzero((subject[one] == subject[other]) != mated)).size:
        kind = "mated, of two people" if mated[wrong[0]] else "non-mated, of one person"
        raise LimenError(f"{listed}: {first[wrong[0]]} and {second[wrong[0]]} are {kind} ({wrong.size} such pairs); correct it")
    return PairSet(name, source, one, other, mated, subject, names=names, **fields)


def balanced_folds(same: np.ndarray, folds: int = FOLDS) -> np.ndarray:
    """(P,) fold of each pair: fold k is the k-th part of the mated and of the non-mated pairs, in the order of the list."""
    fold = np.empty(len(same), np.int64)
    for kind in (same, ~same):
        fold[kind] = np.arange(kind.sum()) * folds // max(1, int(kind.sum()))
    return fold


def image_root(path: Path, names: Sequence[str], listed: Path, depth: int = 3) -> Path:
    """The folder at or below `path` in which one of `names` is found; its parent, where `listed`, their list, lies in `path`; else `path`.

    Raises LimenError where several folders side by side have it, such as one of raw and one of aligned images.
    """
    few, level = names[:3], [path]
    for _ in range(depth + 1):
        fitting = [folder for folder in level if any(map(Images(folder).find, few))]
        if len(fitting) > 1:
            raise LimenError(f"{path}: the images may be those of {' or '.join(folder.name for folder in fitting)}; name one of them")
        if fitting:
            return fitting[0]
        level = [child for folder in level for child in folders_in(folder)]
    parent = path.resolve().parent
    return parent if within(path, listed) and any(map(Images(parent).find, few)) else path
