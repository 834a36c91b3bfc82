"""Scores of features against features in blocks, so that a comparison of millions never lies in memory whole."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

BLOCK = 2**25  # scores held at once
WASTE = 32  # products of which one is wanted that cost no more than one of a pair alone


def checked_features(features: np.ndarray, what: str) -> np.ndarray:
    """(N, D) float32 or float64.

    Raises:
        ValueError: not a matrix, nothing in it, or a row of zeros, which would be as near to everybody as to its owner.
    """
    features = np.asarray(features)
    if features.dtype not in (np.float32, np.float64):
        features = features.astype(np.float32 if features.dtype == np.float16 else np.float64)
    if features.ndim != 2 or not features.size:
        raise ValueError(f"{what}: an (N, D) matrix that is not empty is needed, not {features.shape}")
    if zeros := int((~features.any(1)).sum()):
        raise ValueError(f"{what}: {zeros} of {len(features)} rows are zero; a failure to acquire is a row of NaN")
    return features


def usable_rows(features: np.ndarray) -> np.ndarray:
    """(N,) bool: the row is finite; the others are failures to acquire."""
    with np.errstate(invalid="ignore", over="ignore"):
        return np.isfinite(features @ np.ones(features.shape[1], features.dtype))  # a sum, at the speed of the memory


def person_numbers(one: np.ndarray, other: np.ndarray, counts: tuple[int, int], what: str) -> tuple[np.ndarray, np.ndarray]:
    """Ids of people as whole numbers from 0, equal where the ids are.

    Raises:
        ValueError: not an id for each row, or numbers on one side and names on the other.
    """
    one, other = np.asarray(one), np.asarray(other)
    if (one.shape, other.shape) != ((counts[0],), (counts[1],)):
        raise ValueError(f"{what}: {one.shape} and {other.shape} ids of {counts[0]} and {counts[1]} rows")
    if len({array.dtype.kind in "USO" for array in (one, other)}) > 1:
        raise ValueError(f"{what}: ids are names on one side and numbers on the other; they would never agree")
    number = np.unique(np.concatenate([one, other]), return_inverse=True)[1]
    return number[: len(one)], number[len(one) :]


class Block(NamedTuple):
    probe: np.ndarray  # (R,) numbers of probes
    score: np.ndarray  # (R, G) of usable gallery entries; overwritten by the next block
    row: np.ndarray  # (M,) and
    column: np.ndarray  # (M,) where in `score` the mates are


def blocks_with_mates(
    probe: np.ndarray, probe_number: np.ndarray, gallery: np.ndarray, gallery_number: np.ndarray, block: int = BLOCK
) -> Iterator[Block]:
    """Scores of the usable probes against the usable gallery, dot products in the features' precision, a block of probes at a time."""
    enrolled = usable_rows(gallery)
    if not enrolled.all():
        gallery, gallery_number = gallery[enrolled], gallery_number[enrolled]
    order = np.argsort(gallery_number, kind="stable")
    start, stop = (np.searchsorted(gallery_number[order], probe_number, side) for side in ("left", "right"))
    searched, rows = np.flatnonzero(usable_rows(probe)), max(1, block // max(1, len(gallery)))
    memory = np.empty((min(rows, len(searched)), len(gallery)), np.result_type(probe, gallery))
    for first in range(0, len(searched), rows):
        probes = searched[first : first + rows]
        score = np.matmul(probe[probes], gallery.T, out=memory[: len(probes)])
        mates = stop[probes] - start[probes]
        row = np.repeat(np.arange(len(probes)), mates)
        place = np.arange(len(row)) - np.repeat(np.cumsum(mates) - mates, mates)
        yield Block(probes, score, row, order[start[probes][row] + place])


class LargestScores:
    """The largest `count` of all scores added, in memory of about twice as many."""

    def __init__(self, count: int) -> None:
        self._count, self._floor = count, -np.inf
        self._scores: list[np.ndarray] = [np.empty(0, np.float32)]
        self._rows: list[np.ndarray] = [np.empty(0, np.int32)]

    def add(self, score: np.ndarray) -> None:
        """Scores of any shape; minus infinity is none."""
        if self._count:
            above = score > self._floor
            self._scores.append(score[above])
            self._rows.append(np.nonzero(above)[0].astype(np.int32))
            if sum(map(len, self._scores)) >= 2 * self._count:
                score, row = self._kept()
                self._scores, self._rows, self._floor = [score], [row], score.min()

    def falling(self) -> tuple[np.ndarray, np.ndarray]:
        """The scores, largest first, and the row of each in what was added; fewer than `count` if there were fewer."""
        score, row = self._kept()
        order = np.argsort(-score, kind="stable")
        return score[order], row[order]

    def _kept(self) -> tuple[np.ndarray, np.ndarray]:
        score, row = np.concatenate(self._scores), np.concatenate(self._rows)
        if len(score) > self._count:
            best = np.argpartition(score, len(score) - self._count)[len(score) - self._count :]
            score, row = score[best], row[best]
        return score, row


def pair_scores(features: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(P,) dot products of pairs of rows, in the features' precision; minus infinity where one of the two is a failure to acquire.

    Where the pairs are a good part of all those between their two sides, as in IJB-C's 15 million, matrix products are picked from;
    else each pair is multiplied alone.

    Args:
        features: (N, D) unit vectors; a row that is not finite is a failure to acquire.
        first, second: (P,) rows of each pair, from 0.

    Raises:
        ValueError: rows that there are not, rows of zeros.

    >>> import numpy as np
    >>> from limen.metrics import pair_scores
    >>> pair_scores(np.eye(3), np.array([0, 0]), np.array([0, 1]))
    array([1., 0.])
    """
    features, first, second = checked_features(features, "features"), np.asarray(first), np.asarray(second)
    if first.ndim != 1 or first.shape != second.shape:
        raise ValueError(f"first and second must be vectors of one length, not {first.shape} and {second.shape}")
    if len(first) and not (min(first.min(), second.min()) >= 0 and max(first.max(), second.max()) < len(features)):
        raise ValueError(f"first and second must name rows of {len(features)} features, from 0")
    usable = usable_rows(features)
    score = np.full(len(first), -np.inf, features.dtype)
    sides = [np.flatnonzero(np.bincount(side, minlength=len(features)) * usable) for side in (first, second)]
    if len(sides[0]) * len(sides[1]) > WASTE * len(first):
        for start in range(0, len(first), 4096):
            a, b = first[start : start + 4096], second[start : start + 4096]
            both = np.flatnonzero(usable[a] & usable[b])
            score[start + both] = np.einsum("pd,pd->p", features[a[both]], features[b[both]])
        return score
    column = np.full(len(features), -1)
    column[sides[1]] = np.arange(len(sides[1]))
    others, rows = features[sides[1]].T, max(1, BLOCK // max(1, len(sides[1])))
    for start in range(0, len(sides[0]), rows):
        row = np.full(len(features), -1)
        row[sides[0][start : start + rows]] = np.arange(len(sides[0][start : start + rows]))
        here = np.flatnonzero((row[first] >= 0) & (column[second] >= 0))
        score[here] = (features[sides[0][start : start + rows]] @ others)[row[first[here]], column[second[here]]]
    return score
