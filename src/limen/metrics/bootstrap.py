"""Confidence intervals by resampling subjects: pairs of one person stand or fall together."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from limen.metrics.roc import crossing, last_within

Statistic = Callable[[np.ndarray], np.ndarray]
"""Weights (P,) of the pairs -> (K,) numbers. With weights of one it is the plain metric."""


@dataclass(frozen=True)
class Interval:
    value: np.ndarray  # (K,) the statistic of the pairs as they are
    low: np.ndarray  # (K,)
    high: np.ndarray  # (K,)
    replicates: np.ndarray  # (R, K)


def bootstrap_interval(
    statistic: Statistic, first: np.ndarray, second: np.ndarray, replicates: int = 1000, level: float = 0.95, seed: int = 0
) -> Interval:
    """Percentile interval of a statistic over resampled subjects.

    Every replicate draws as many subjects as there are, with replacement; a subject drawn w_i times gives its mated pairs the
    weight w_i and a pair of subjects i and j the weight w_i * w_j. The same subjects and seed give the same weights, so that two
    models are compared by the interval of `lambda weight: one(weight) - other(weight)`. Replicates without a pair to judge (NaN)
    are left out.

    Args:
        statistic: (P,) weights -> (K,) numbers: `weighted_mean`, `weighted_tar_at_far`, `weighted_eer`, or sums and differences
        of them.
        first, second: (P,) subject of either image of a pair; equal for mated pairs.
        level: coverage, between the quantiles (1 - level) / 2 and (1 + level) / 2.

    Raises:
        ValueError: level outside (0, 1) or fewer than 2 replicates.
    """
    if not 0 < level < 1 or replicates < 2:
        raise ValueError(f"level={level} must lie between 0 and 1, and replicates={replicates} must be at least 2")
    drawn = np.stack([np.atleast_1d(statistic(weight)) for weight in subject_weights(first, second, replicates, seed)])
    value = np.atleast_1d(statistic(np.ones(len(first))))
    low, high = np.full((2, *value.shape), np.nan)
    for k, column in enumerate(drawn.T):
        if (usable := column[~np.isnan(column)]).size:
            low[k], high[k] = np.quantile(usable, [(1 - level) / 2, (1 + level) / 2])
    return Interval(value, low, high, drawn)


def subject_weights(first: np.ndarray, second: np.ndarray, replicates: int, seed: int = 0) -> Iterator[np.ndarray]:
    """Yields (P,) weights of the pairs, one array a replicate; the subjects' own weights are multinomial."""
    subjects, index = np.unique(np.stack([first, second]), return_inverse=True)
    left, right = index.reshape(2, -1)
    mated = left == right
    generator = np.random.default_rng(seed)
    for _ in range(replicates):
        weight = np.bincount(generator.integers(len(subjects), size=len(subjects)), minlength=len(subjects)).astype(float)
        yield weight[left] * np.where(mated, 1.0, weight[right])


def weighted_mean(value: np.ndarray, among: np.ndarray | None = None) -> Statistic:
    """Mean of `value` (P,) over the pairs of the bool mask `among`: an accuracy, or an error rate at a fixed threshold."""
    among = np.ones(len(value), bool) if among is None else np.asarray(among, bool)
    kept = np.where(among, value, 0.0)
    return lambda weight: _share(weight @ kept, weight @ among)


def weighted_tar_at_far(score: np.ndarray, mated: np.ndarray, far: Sequence[float]) -> Statistic:
    """`tar_at_far(score, mated, far)`, the thresholds found again in every replicate."""
    curve = _weighted_roc(score, mated)

    def statistic(weight: np.ndarray) -> np.ndarray:
        false_rate, true_rate = curve(weight)
        return true_rate[last_within(false_rate, far)] if np.isfinite(false_rate[-1] + true_rate[-1]) else np.full(len(far), np.nan)

    return statistic


def weighted_eer(score: np.ndarray, mated: np.ndarray) -> Statistic:
    """`eer` of the two groups of `score`, its threshold found again in every replicate."""
    curve = _weighted_roc(score, mated)

    def statistic(weight: np.ndarray) -> np.ndarray:
        false_rate, true_rate = curve(weight)
        if not np.isfinite(false_rate[-1] + true_rate[-1]):
            return np.array([np.nan])
        after, share = crossing(false_rate, true_rate)
        return np.array([false_rate[after - 1] + share * (false_rate[after] - false_rate[after - 1])])

    return statistic


def _weighted_roc(score: np.ndarray, mated: np.ndarray) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Sorts the scores once; the function it returns gives (far, tar) at all thresholds for weights, by two cumulative sums."""
    order = np.argsort(-np.asarray(score), kind="stable")
    ranked, mated = np.asarray(score)[order], np.asarray(mated, bool)[order]
    last_of_ties = np.flatnonzero(np.r_[ranked[1:] != ranked[:-1], True])

    def curve(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        weight = weight[order]
        counts = (np.r_[0.0, np.cumsum(weight * group)[last_of_ties]] for group in (~mated, mated))
        false_rate, true_rate = (_share(count, count[-1]) for count in counts)
        return false_rate, true_rate

    return curve


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, NaN where the whole is nothing."""
    return part / whole if whole else np.full_like(part, np.nan)
