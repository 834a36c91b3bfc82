"""People divided among parts, so that nobody is in two of them."""

from collections.abc import Sequence

import numpy as np

from limen.errors import LimenError


def counts_of_shares(shares: Sequence[float], people: int) -> list[int]:
    """People of each part, of `people`, by the largest remainders. Raises LimenError for shares that do not sum to 1."""
    exact = np.array(shares, float)
    if not (np.isfinite(exact).all() and (exact > 0).all() and abs(exact.sum() - 1) < 1e-6):
        raise LimenError(
            f"--shares {' '.join(f'{share:g}' for share in shares)}: sum to {exact.sum():g}; give shares above 0 that sum to 1"
        )
    counts = np.floor(exact * people + 1e-9).astype(int)
    counts[np.argsort(counts - exact * people, kind="stable")[: people - counts.sum()]] += 1
    return counts.tolist()


def split_people(sizes: np.ndarray, counts: Sequence[int], seed: int) -> np.ndarray:
    """(C,) the part of each person, `counts[k]` of them in part k, stratified by their numbers of images `sizes` (C,).

    People are put in the order of their sizes, ties at random. The parts are dealt out evenly along it, and shuffled inside each stretch
    in which the smallest part has one person.

    >>> import numpy as np
    >>> parts = split_people(np.array([9, 1, 1, 9]), [2, 2], seed=0)
    >>> sorted(parts[[0, 3]].tolist()), sorted(parts[[1, 2]].tolist())
    ([0, 1], [0, 1])
    """
    if min(counts) < 1 or sum(counts) != len(sizes):
        raise LimenError(
            f"{len(sizes)} people in parts of {', '.join(map(str, counts))}: each part needs one or more, and all people a part"
        )
    rng = np.random.default_rng(seed)
    order = np.lexsort((rng.random(len(sizes)), sizes))
    parts = np.repeat(np.arange(len(counts)), counts)
    place = np.concatenate([(np.arange(count) + 0.5) / count for count in counts])  # of each person of a part, evenly from 0 to 1
    dealt = parts[np.argsort(place, kind="stable")]
    stretch = len(sizes) // min(counts)
    for start in range(0, len(sizes), stretch):
        rng.shuffle(dealt[start : start + stretch])
    found = np.empty(len(sizes), np.int64)
    found[order] = dealt
    return found
