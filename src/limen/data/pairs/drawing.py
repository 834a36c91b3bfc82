"""Pairs drawn at random from labelled images."""

import numpy as np

from limen.data.pairs.pair_set import PairSet, SubsetSource
from limen.data.source import FaceSource, ImageSource
from limen.errors import LimenError

FAR = (1e-2, 1e-3, 1e-4)  # of all pairs of one's own people


def make_pairs(labels: np.ndarray, count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(first, second, same), each (count,): mated and non-mated pairs in turn, so that any run of even length holds as many of each.

    The mated half is a simple random sample, without replacement, of all mated pairs of `labels` (N,), the other half of all
    non-mated ones; no pair is listed, so N may be millions.

    Raises:
        LimenError: `count` is odd, or `labels` hold fewer such pairs.

    >>> import numpy as np
    >>> from limen.data import make_pairs
    >>> labels = np.array([0, 0, 1, 1, 2, 2])
    >>> first, second, same = make_pairs(labels, count=4, seed=0)
    >>> same, (labels[first] == labels[second])
    (array([ True, False,  True, False]), array([ True, False,  True, False]))
    """
    if count < 2 or count % 2:
        raise LimenError(f"pairs: {count} cannot be half mated and half non-mated; give an even number from 2")
    rng = np.random.default_rng(seed)
    order = np.argsort(labels, kind="stable")
    position = np.arange(len(labels))
    # In this order the later images of the same person stand from position + 1 to `person_end`, those of others from there on.
    person_end = np.searchsorted(labels[order], labels[order], side="right")
    mated = _draw_pairs(position + 1, person_end, count // 2, rng, "mated")
    non_mated = _draw_pairs(person_end, np.full_like(person_end, len(labels)), count // 2, rng, "non-mated")
    pairs = order[np.stack([mated, non_mated], axis=2)].reshape(2, count)
    return pairs[0], pairs[1], np.tile([True, False], count // 2)


def pairs_of(source: FaceSource, count: int, seed: int, name: str = "pairs") -> PairSet:
    """make_pairs of the labels of `source` as a PairSet of the images drawn.

    >>> from limen.data import SyntheticFaces, pairs_of
    >>> pairs = pairs_of(SyntheticFaces(3, 2), count=4, seed=0)
    >>> pairs.same
    array([ True, False,  True, False])
    """
    first, second, same = make_pairs(source.labels, count, seed)
    used, number = np.unique(np.stack([first, second]), return_inverse=True)
    first, second = number.reshape(2, count)
    return PairSet(name, SubsetSource(source, used), first, second, same, source.labels[used])


def all_pairs_of(source: ImageSource, labels: np.ndarray, most: int, seed: int, name: str) -> PairSet:
    """All pairs of the images of `source`, which are of the people `labels` (N,), without folds.

    Where there are more than `most` mated or non-mated ones, about as many as `most` are drawn at random, each once. The switch "pairs"
    says which they are.

    Raises LimenError where all images are of one person, or no person has two.
    """
    rng = np.random.default_rng(seed)
    order, position = np.argsort(labels, kind="stable"), np.arange(len(labels))
    end = np.searchsorted(labels[order], labels[order], side="right")
    sides, said = [], []
    for kind, first, last in (("mated", position + 1, end), ("non-mated", end, np.full_like(end, len(labels)))):
        total = int((last - first).sum())
        if not total:
            raise LimenError(f"{name}: has no {kind} pair of images; two images of a person and two people are needed")
        rank = np.arange(total) if total <= most else np.unique(rng.integers(total, size=most))
        sides.append(order[_pairs_at(rank, first, last)])
        said.append(f"all {total:,} {kind} ones" if len(rank) == total else f"{len(rank):,} of {total:,} {kind} ones, seed {seed}")
    one, other = np.concatenate(sides, axis=1)
    same = labels[one] == labels[other]
    return PairSet(name, source, one, other, same, labels, folds=None, far=FAR, switches={"pairs": "; ".join(said)})


def _pairs_at(rank: np.ndarray, begin: np.ndarray, end: np.ndarray) -> np.ndarray:
    """(2, R) the pairs (p, q) with begin[p] <= q < end[p] at the places `rank` (R,) of their list."""
    ends = np.cumsum(end - begin)
    first = np.searchsorted(ends, rank, side="right")
    return np.stack([first, end[first] - (ends[first] - rank)])


def _draw_pairs(begin: np.ndarray, end: np.ndarray, count: int, rng: np.random.Generator, kind: str) -> np.ndarray:
    """(2, count) distinct pairs out of all (p, q) with begin[p] <= q < end[p]."""
    ends = np.cumsum(end - begin)
    if len(ends) == 0 or ends[-1] < count:
        raise LimenError(f"pairs: only {ends[-1] if len(ends) else 0} {kind} pairs for the {count} asked for; ask for fewer pairs")
    return _pairs_at(rng.choice(ends[-1], count, replace=False), begin, end)
