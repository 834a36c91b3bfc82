"""The subject bootstrap of millions of pairs: only the impostors near a threshold decide a replicate.

It equals `bootstrap_interval` with `weighted_tar_at_far`, whose replicates each weigh all pairs anew. Here the pairs are sorted once, and
a replicate walks down the sorted impostors until the highest rate asked for is passed. The weight of all impostors comes from the number
of pairs between any two people. Many replicates go side by side, so that fetching the weights of a pair is one copy.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice

import numpy as np

from limen.metrics.bootstrap import BootstrapInterval, check_bootstrap, percentile_interval, subject_draws, subject_numbers
from limen.metrics.people_of_pairs import pairs_between
from limen.metrics.rates import allowed_events, checked_rates
from limen.metrics.roc import checked_pairs

SIDE_BY_SIDE = 128  # replicates at once
TAIL, FEWEST = 4, 4096  # impostors kept: times those that the rates allow, for people are drawn several times; and at least
STEP, STEPS_AT_ONCE = 256, 8  # pairs whose weights are summed, and sums of one call: what fits the cache


def tar_at_far_interval(
    score: np.ndarray,
    mated: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    far: Sequence[float],
    replicates: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> BootstrapInterval:
    """`bootstrap_interval(weighted_tar_at_far(score, mated, far), first, second, replicates, level, seed)`, for millions of pairs.

    Args:
        score: (P,) similarity; minus infinity for a failure to acquire, which is counted and never accepted.
        mated: (P,) bool.
        first, second: (P,) subject of either image.
        far: (F,) false accept rates; the threshold is found again in every replicate.

    Raises:
        ValueError: as `tar_at_far` and `bootstrap_interval`; people of another number than the scores.

    >>> import numpy as np
    >>> from limen.metrics import tar_at_far_interval
    >>> first, second = np.repeat(np.arange(20), 20), np.tile(np.arange(20), 20)
    >>> mated = first == second
    >>> found = tar_at_far_interval(np.where(mated, 0.9, 0.1), mated, first, second, [0.01])
    >>> found.value
    array([1.])
    """
    score, mated = checked_pairs(score, mated)
    rates = checked_rates(far)
    count, left, right = subject_numbers(first, second, len(score))
    genuine = RankedPairs(score[mated], left[mated], right[mated], count)
    others = score[~mated], left[~mated], right[~mated]
    most = TAIL * int(allowed_events(len(others[0]), rates).max(initial=0)) + FEWEST
    try:
        return _tar_interval(genuine, RankedPairs(*others, count, most=most), rates, count, replicates, level, seed)
    except TooFewHeld:
        return _tar_interval(genuine, RankedPairs(*others, count), rates, count, replicates, level, seed)


def _tar_interval(
    genuine: "RankedPairs", impostor: "RankedPairs", rates: np.ndarray, count: int, replicates: int, level: float, seed: int
) -> BootstrapInterval:
    def judged(weight: np.ndarray) -> np.ndarray:  # (F, R)
        refused = impostor.refused(weight, rates)
        accepted = genuine.weight_before(weight, np.searchsorted(-genuine.score, -refused, side="left"))
        with np.errstate(invalid="ignore"):
            tar = accepted / genuine.total(weight)
        tar[np.isnan(refused)] = np.nan
        return tar

    return _interval(judged, count, replicates, level, seed)


def rate_interval(
    score: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    threshold: Sequence[float],
    replicates: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> BootstrapInterval:
    """Interval of the share of pairs with `score >= threshold` at F fixed thresholds: FMR of non-mated, 1 - FNMR of mated pairs.

    It equals `bootstrap_interval` of `weighted_mean(score >= threshold)`, for millions of pairs; arguments as there.
    """
    count, left, right = subject_numbers(first, second, len(score))
    pairs = RankedPairs(np.asarray(score), left, right, count)
    accepted = np.searchsorted(-pairs.score, -np.asarray(threshold, float), side="right")

    def judged(weight: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            return pairs.weight_before(weight, np.repeat(accepted[:, None], weight.shape[1], 1)) / pairs.total(weight)

    return _interval(judged, count, replicates, level, seed)


class TooFewHeld(ValueError):
    """A replicate needs lower scores than are held."""


class RankedPairs:
    """Pairs in order of falling score, without those of minus infinity, which only count.

    left, right: (P,) number of the subject of either image, below `subjects`. Weights are (S + 1, R): of each subject in R replicates,
    and a last row of ones, which the second subject of a pair of one person points to: its weight counts once.
    most: how many to hold, the highest and what ties with the last; the others only count.
    """

    def __init__(self, score: np.ndarray, left: np.ndarray, right: np.ndarray, subjects: int, most: int | None = None) -> None:
        right = np.where(left == right, np.int32(subjects), right)
        self._pairs_between = pairs_between(left, right, subjects + 1)
        self._others = False  # whether there are pairs that are not held
        if most is not None and len(score) > most:
            held = score >= np.partition(score, len(score) - most)[len(score) - most]
            score, left, right, self._others = score[held], left[held], right[held], True
        order = np.argsort(score)[::-1]
        order = order[: len(order) - np.count_nonzero(np.isneginf(score))]
        self.score, self._left, self._right = score[order], left[order], right[order]

    def total(self, weight: np.ndarray) -> np.ndarray:
        """(R,) weight of all pairs, from the number of pairs between people."""
        rows = 512
        starts = range(0, weight.shape[0], rows)
        sums = (np.einsum("sr,sr->r", weight[s : s + rows], self._pairs_between[s : s + rows] @ weight, dtype=float) for s in starts)
        return np.sum(list(sums), axis=0)

    def refused(self, weight: np.ndarray, rates: np.ndarray) -> np.ndarray:
        """(F, R) the score of the first pair at which the share of the weight so far passes the rate; minus infinity where none does."""
        total, reached = self.total(weight), [np.zeros(weight.shape[1])]
        with np.errstate(invalid="ignore", divide="ignore"):
            for block in self._sums(weight):
                reached.extend(reached[-1] + block.cumsum(0, dtype=float))
                if (reached[-1] / total > rates.max()).all():
                    break
            else:
                short = (reached[-1] / total <= rates.max()) & (reached[-1] < total * (1 - 1e-9))
                if self._others and short.any():  # pairs that are not held might pass the rate
                    raise TooFewHeld(f"{len(self.score)} scores are too few of the highest for a rate of {rates.max():g}; give more")
            upto = np.stack(reached)  # (K + 1, R) weight before each step
            share = upto[1:] / total
            found = np.empty((len(rates), weight.shape[1]))
            replicate = np.arange(weight.shape[1])
            for k, rate in enumerate(rates):
                step = (share <= rate).sum(0)  # in which the rate is passed
                pairs, here = self._step(weight, step)
                passed = (upto[step, replicate] + here.cumsum(0)) / total > rate
                place = pairs[passed.argmax(0), replicate]
                found[k] = np.where(passed.any(0), self.score[place] if len(self.score) else -np.inf, -np.inf)
        found[:, total == 0] = np.nan
        return found

    def weight_before(self, weight: np.ndarray, place: np.ndarray) -> np.ndarray:
        """(F, R) weight of the first `place` (F, R) pairs."""
        sums = [np.zeros((1, weight.shape[1]))]
        last = place.max(initial=0)
        for number, block in enumerate(self._sums(weight)):
            if number * STEP * STEPS_AT_ONCE >= last:
                break
            sums.append(sums[-1][-1] + block.cumsum(0, dtype=float))
        upto, found = np.concatenate(sums), np.empty(place.shape)
        for k, stop in enumerate(place):
            pairs, here = self._step(weight, stop // STEP)
            found[k] = upto[stop // STEP, np.arange(len(stop))] + (here * (pairs < stop)).sum(0)
        return found

    def _step(self, weight: np.ndarray, step: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The pairs (STEP, R) of one step in each replicate, and their weights; pairs beyond the last weigh nothing."""
        pairs = step * STEP + np.arange(STEP)[:, None]
        inside = pairs < len(self.score)
        if not len(self.score):
            return pairs, np.zeros(pairs.shape)
        pairs, replicate = np.where(inside, pairs, 0), np.arange(weight.shape[1])
        return pairs, np.where(inside, weight[self._left[pairs], replicate] * weight[self._right[pairs], replicate], 0.0).astype(float)

    def _sums(self, weight: np.ndarray) -> Iterator[np.ndarray]:
        """(K, R) weights of the next K * STEP pairs, summed over each step; they are whole numbers, exact in float32."""
        for start in range(0, len(self.score), STEP * STEPS_AT_ONCE):
            stop = min(start + STEP * STEPS_AT_ONCE, len(self.score))
            product = weight[self._left[start:stop]]
            product *= weight[self._right[start:stop]]
            yield np.add.reduceat(product, np.arange(0, stop - start, STEP), axis=0)


def _interval(judged: Callable[[np.ndarray], np.ndarray], subjects: int, replicates: int, level: float, seed: int) -> BootstrapInterval:
    """The interval of what `judged` finds of weights (S + 1, R): (F, R)."""
    check_bootstrap(replicates, level)

    def of(draws: Sequence[np.ndarray]) -> np.ndarray:
        return judged(np.stack([*draws], axis=1, dtype=np.float32, casting="unsafe"))

    weights = (np.append(drawn, 1.0) for drawn in subject_draws(subjects, replicates, seed))
    value, found = of([np.ones(subjects + 1)])[:, 0], []
    while batch := list(islice(weights, SIDE_BY_SIDE)):
        found.append(of(batch))
    return percentile_interval(value, np.concatenate(found, axis=1).T, level)
