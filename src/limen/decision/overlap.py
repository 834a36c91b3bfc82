"""People who stand in two sets of faces, found by their embeddings."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from limen.data import FaceSource
from limen.data.pairs.pair_set import SubsetSource
from limen.errors import LimenError
from limen.inference.table import Progress, embed_images
from limen.models.model import Model
from limen.names import without_source

BLOCK = 2048  # people of either set that are compared at a time
MOST = 1_000_000  # pairs of people: more are no overlap


class PersonVectors(NamedTuple):
    """vectors: (C, D) float32, one a person, of unit length; NaN where no image of the person can be used. failures: what is wrong."""

    vectors: np.ndarray
    failures: list[str]


class Alike(NamedTuple):
    """Pairs of people, the most alike first: (k,) labels in the first and the second set, and the cosine of their vectors."""

    first: np.ndarray
    second: np.ndarray
    score: np.ndarray


class Shared(NamedTuple):
    """A person of one set and one of another who may be one: labels, the cosine of their vectors, and what a person decided of them."""

    person: int
    other: int
    score: float
    same_name: bool
    decision: str
    """same, different, or empty where nobody has decided."""


def in_both(
    names: Sequence[Sequence[str]], vectors: Sequence[np.ndarray], threshold: float, decided: Mapping[tuple[int, int], bool] | None = None
) -> list[Shared]:
    """Who stands in two sets: pairs alike from `threshold` on, the most alike first; then those of one name, their sources
    aside (Ann@a and Ann); then others `decided` on.

    Args:
        names, vectors: of the people of the first and of the second set (see `alike`).
        decided: labels in both sets -> whether a person found them to be one.
    """
    decided = decided or {}
    found = alike(vectors[0], vectors[1], threshold)
    bare = [[without_source(name) for name in side] for side in names]
    called: dict[str, list[int]] = {}
    for label, name in enumerate(bare[1]):
        called.setdefault(name, []).append(label)
    by_name = [(label, other) for label, name in enumerate(bare[0]) for other in called.get(name, ())]
    pairs = dict.fromkeys([*zip(found.first.tolist(), found.second.tolist(), strict=True), *by_name, *decided])
    words = {None: "", True: "same", False: "different"}
    return [
        Shared(k, other, float(vectors[0][k] @ vectors[1][other]), bare[0][k] == bare[1][other], words[decided.get((k, other))])
        for k, other in pairs
    ]


def person_vectors(model: Model, source: FaceSource, images: int = 10, progress: Progress | None = None, **reading: Any) -> PersonVectors:
    """The mean of the unit vectors of each person's images, itself made a unit vector; of at most `images`, evenly spaced in the order.

    reading: of `embed_images`.
    """
    order = np.argsort(source.labels, kind="stable")
    bounds = np.searchsorted(source.labels[order], np.arange(len(source.class_names) + 1))
    parts = [
        order[start + np.unique(np.linspace(0, end - start - 1, min(end - start, images)).round().astype(int))]
        for start, end in pairwise(bounds.tolist())
        if end > start
    ]
    chosen = np.concatenate(parts)
    table = embed_images(model, SubsetSource(source, chosen), progress=progress, **reading)
    return PersonVectors(means_of(table.vectors, source.labels[chosen], len(source.class_names)), list(table.failures.values()))


def means_of(vectors: np.ndarray, person: np.ndarray, count: int) -> np.ndarray:
    """(count, D): the mean of the unit vectors (N, D) of each person (N,), itself made a unit vector; NaN where no vector is finite."""
    usable = np.isfinite(vectors).all(1)
    sums = np.zeros((count, vectors.shape[1]), np.float32)
    np.add.at(sums, person[usable], vectors[usable])
    length = np.linalg.norm(sums, axis=1, keepdims=True)
    return np.where(length > 1e-6, sums / np.maximum(length, 1e-6), np.nan)


def alike(first: np.ndarray, second: np.ndarray, threshold: float) -> Alike:
    """All pairs of a row of `first` (A, D) and one of `second` (B, D), unit vectors, whose cosine is `threshold` or more.

    Equals `np.argwhere(first @ second.T >= threshold)`, a block at a time, the highest cosine first; a row of NaN is like nobody.
    Raises LimenError for vectors of two sizes, and where more than a million pairs are alike.
    """
    if first.shape[1] != second.shape[1]:
        raise LimenError(f"vectors of {first.shape[1]} and of {second.shape[1]} numbers: embed both sets with one model")
    found, count = [], 0
    for start in range(0, len(first), BLOCK):
        for other in range(0, len(second), BLOCK):
            cosine = first[start : start + BLOCK] @ second[other : other + BLOCK].T
            rows, columns = np.nonzero(cosine >= threshold)
            found.append((rows + start, columns + other, cosine[rows, columns]))
            count += len(rows)
            if count > MOST:
                raise LimenError(f"--threshold {threshold}: more than {MOST:,} pairs of people are so much alike; choose a higher one")
    rows, columns, score = (np.concatenate(part) for part in zip(*found, strict=True))
    best = np.argsort(-score, kind="stable")
    return Alike(rows[best], columns[best], score[best])
