"""Scores of pairs of people, and of all pairs of a set of images, of which only the highest non-mated ones are kept."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from limen.metrics.rates import checked_rates

BLOCK = 1 << 24  # products at a time
KEPT_AT_LEAST, HEADROOM = 5_000_000, 4  # of the highest: replicates of the bootstrap look beyond the share asked for
DRAWN = 1_000_000  # pairs that tell where the highest begin


@dataclass(frozen=True)
class ScoredPairs:
    """Pairs of one kind, mated or not.

    score          (P,) cosine
    first, second  (P,) number of the person in either image
    images         (N,) number of the person in each image, where these are all non-mated pairs of the images: then `score` may hold
                   the highest alone. None where they are the pairs given
    """

    score: np.ndarray
    first: np.ndarray
    second: np.ndarray
    images: np.ndarray | None = None

    @property
    def count(self) -> int:
        """How many pairs there are, those that are not held among them."""
        return len(self.score) if self.images is None else non_mated_pairs(self.images)

    @property
    def people(self) -> np.ndarray:
        """The numbers of the people in them."""
        return np.union1d(self.first, self.second) if self.images is None else np.unique(self.images)


def non_mated_pairs(images: np.ndarray) -> int:
    """How many pairs of different people there are among images (N,) of these people.

    >>> import numpy as np
    >>> from limen.metrics import non_mated_pairs
    >>> non_mated_pairs(np.array([0, 0, 1]))
    2
    """
    sizes = np.unique(images, return_counts=True)[1]
    return (len(images) ** 2 - int(sizes @ sizes)) // 2


def all_pairs(vectors: np.ndarray, person: np.ndarray, rate: float) -> tuple[ScoredPairs, ScoredPairs]:
    """The mated and the non-mated pairs of all images, each pair once.

    Of the non-mated ones those are held that decide a threshold at the false match rate `rate` or a lower one, and its interval:
    a few times as many as it accepts, and all of up to some millions.

    Args:
        vectors: (N, D) unit vectors, finite.
        person: (N,) number of the person in each.

    >>> import numpy as np
    >>> from limen.metrics import all_pairs
    >>> mated, others = all_pairs(np.eye(4), np.array([0, 0, 1, 1]), rate=1.0)
    >>> mated.score
    array([0., 0.], dtype=float32)
    """
    (rate,) = checked_rates(rate)
    person, vectors = np.asarray(person), np.asarray(vectors, np.float32)
    count = non_mated_pairs(person)
    share = max(HEADROOM * rate, KEPT_AT_LEAST / max(1, count))
    while True:
        blocks = list(_above(vectors, person, _beginning(vectors, person, 1.25 * share)))
        score, first, second = (np.concatenate([block[k] for block in blocks]) for k in range(3))
        if len(score) >= min(count, 0.75 * share * count):
            break
        share *= 2
    mated = np.concatenate([np.zeros((2, 0), np.int64), *_mated(person)], axis=1)
    same = np.einsum("ij,ij->i", vectors[mated[0]], vectors[mated[1]])
    return (
        ScoredPairs(same, person[mated[0]], person[mated[1]]),
        ScoredPairs(score, person[first], person[second], person),
    )


def _mated(person: np.ndarray) -> Iterator[np.ndarray]:
    """(2, K) numbers of the images of each person's pairs."""
    order = np.argsort(person, kind="stable")
    for images in np.split(order, np.flatnonzero(np.diff(person[order])) + 1):
        yield images[np.stack(np.triu_indices(len(images), 1))]


def _beginning(vectors: np.ndarray, person: np.ndarray, share: float) -> float:
    """About where the highest `share` of the non-mated scores begins; minus infinity for all of them."""
    if share >= 0.5:
        return -np.inf
    one, other = np.random.default_rng(0).integers(len(person), size=(2, DRAWN))
    different = person[one] != person[other]
    drawn = [
        np.einsum("ij,ij->i", vectors[a], vectors[b])
        for a, b in zip(np.array_split(one[different], 50), np.array_split(other[different], 50), strict=True)
    ]
    return float(np.quantile(np.concatenate(drawn), 1 - share))


def _above(vectors: np.ndarray, person: np.ndarray, cut: float) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Score, first and second image of the non-mated pairs from `cut` on."""
    step = max(1, BLOCK // max(1, len(person)))
    yield np.zeros(0, np.float32), np.zeros(0, np.int64), np.zeros(0, np.int64)
    for start in range(0, len(person), step):
        stop = start + step
        score = vectors[start:stop] @ vectors[start:].T
        row, column = np.nonzero(score >= cut)
        kept = (column > row) & (person[start + row] != person[start + column])
        row, column = row[kept], column[kept]
        yield score[row, column], start + row, start + column
