"""Confidence intervals by resampling subjects: pairs of one person stand or fall together."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from limen.metrics.roc import crossing, falling_scores, last_within

Statistic = Callable[[np.ndarray], np.ndarray]
"""Weights (P,) of the pairs -> (K,) numbers. With weights of one it is the plain metric."""


@dataclass(frozen=True)
class BootstrapInterval:
    """K numbers, the ends of their intervals, and what they are read off; a `limen.protocols.Interval` is what a Result keeps of one."""

    value: np.ndarray  # (K,) the statistic of the pairs as they are
    low: np.ndarray  # (K,)
    high: np.ndarray  # (K,)
    replicates: np.ndarray  # (R, K)

    def minus(self, other: "BootstrapInterval", level: float = 0.95) -> "BootstrapInterval":
        """The paired difference from another model: both intervals are of the same pairs, people, replicates and seed."""
        return percentile_interval(self.value - other.value, self.replicates - other.replicates, level)


def bootstrap_interval(
    statistic: Statistic, first: np.ndarray, second: np.ndarray, replicates: int = 1000, level: float = 0.95, seed: int = 0
) -> BootstrapInterval:
    """Percentile interval of a statistic over resampled subjects.

    Every replicate draws as many subjects as there are, with replacement; a subject drawn w_i times gives its mated pairs the
    weight w_i and a pair of subjects i and j the weight w_i * w_j. The same subjects and seed give the same weights, so that two
    models are compared by the interval of `lambda weight: one(weight) - other(weight)`. Replicates without a pair to judge (NaN)
    are left out.

    A 95 % interval holds the truth .92 to .99 of the time where 10 events or more are behind the number and 50 people or more
    (benchmarks/coverage.py). With fewer it holds it less often, down to never where there is no error at all: there use
    `proportion_interval`. False match rates and their thresholds are held more often, .98 to 1, as the product of two weights
    varies more than two people do.

    Args:
        statistic: (P,) weights -> (K,) numbers: `weighted_mean`, `weighted_tar_at_far`, `weighted_eer`, or sums and differences
        of them.
        first, second: (P,) subject of either image of a pair; equal for mated pairs.
        level: coverage, between the quantiles (1 - level) / 2 and (1 + level) / 2.

    Raises:
        ValueError: level outside (0, 1) or fewer than 2 replicates.

    >>> import numpy as np
    >>> from limen.metrics import bootstrap_interval, weighted_mean
    >>> right, person = np.array([1.0] * 90 + [0.0] * 10), np.arange(100)
    >>> found = bootstrap_interval(weighted_mean(right), person, person)
    >>> found.value, bool(found.low[0] < 0.9 < found.high[0])
    (array([0.9]), True)
    """
    check_bootstrap(replicates, level)
    drawn = np.stack([np.atleast_1d(statistic(weight)) for weight in subject_weights(first, second, replicates, seed)])
    return percentile_interval(np.atleast_1d(statistic(np.ones(len(first)))), drawn, level)


def check_bootstrap(replicates: int, level: float) -> None:
    if not 0 < level < 1 or replicates < 2:
        raise ValueError(f"level={level} must lie between 0 and 1, and replicates={replicates} must be at least 2")


def percentile_interval(value: np.ndarray, replicates: np.ndarray, level: float = 0.95) -> BootstrapInterval:
    """Of values (K,) and their replicates (R, K), of which those that are NaN are left out.

    >>> import numpy as np
    >>> from limen.metrics import percentile_interval
    >>> found = percentile_interval(np.array([5.0]), np.arange(11.0)[:, None], level=0.8)
    >>> found.low, found.high
    (array([1.]), array([9.]))
    """
    low, high = np.full((2, *value.shape), np.nan)
    for k, column in enumerate(replicates.T):
        if (usable := column[~np.isnan(column)]).size:
            # nothing lies between minus infinity and a number
            method: Literal["linear", "inverted_cdf"] = "linear" if np.isfinite(usable).all() else "inverted_cdf"
            low[k], high[k] = np.quantile(usable, [(1 - level) / 2, (1 + level) / 2], method=method)
    return BootstrapInterval(value, low, high, replicates)


def subject_weights(first: np.ndarray, second: np.ndarray, replicates: int, seed: int = 0) -> Iterator[np.ndarray]:
    """Yields (P,) weights of the pairs, one array a replicate; the subjects' own weights are multinomial.

    >>> import numpy as np
    >>> from limen.metrics import subject_weights
    >>> (weight,) = subject_weights(np.arange(5), np.arange(5), replicates=1)
    >>> float(weight.sum())  # five people drawn again
    5.0
    """
    subjects, left, right = subject_numbers(first, second, len(first))
    mated = left == right
    for weight in subject_draws(subjects, replicates, seed):
        yield weight[left] * np.where(mated, 1.0, weight[right])


def subject_draws(subjects: int, replicates: int, seed: int = 0) -> Iterator[np.ndarray]:
    """Yields (subjects,) how often each subject is drawn, one array a replicate."""
    generator = np.random.default_rng(seed)
    for _ in range(replicates):
        yield np.bincount(generator.integers(subjects, size=subjects), minlength=subjects).astype(float)


def subject_numbers(first: np.ndarray, second: np.ndarray, pairs: int) -> tuple[int, np.ndarray, np.ndarray]:
    """How many subjects there are, and the number of either subject of each pair, (P,) int32 twice.

    Raises:
        ValueError: not as many subjects as `pairs`.
    """
    first, second = np.asarray(first), np.asarray(second)
    if not first.shape == second.shape == (pairs,):
        raise ValueError(f"first and second must name the people of {pairs} pairs, not {first.shape} and {second.shape}")
    subjects = np.union1d(np.unique(first), np.unique(second))
    left, right = (np.searchsorted(subjects, side).astype(np.int32) for side in (first, second))
    return len(subjects), left, right


def weighted_mean(value: np.ndarray, among: np.ndarray | None = None) -> Statistic:
    """Mean of `value` (P,) over the pairs of the bool mask `among`: an accuracy, or an error rate at a fixed threshold.

    >>> import numpy as np
    >>> from limen.metrics import weighted_mean
    >>> float(weighted_mean(np.array([1.0, 0.0]))(np.array([3.0, 1.0])))
    0.75
    """
    rows = slice(None) if among is None or np.all(among) else np.flatnonzero(among)
    kept = np.asarray(value, float)[rows]

    def statistic(weight: np.ndarray) -> np.ndarray:
        own = weight[rows]  # of a group in eight, an eighth of the work
        return _share(own @ kept, own.sum())

    return statistic


def weighted_tar_at_far(score: np.ndarray, mated: np.ndarray, far: Sequence[float]) -> Statistic:
    """`tar_at_far(score, mated, far)`, the thresholds found again in every replicate.

    >>> import numpy as np
    >>> from limen.metrics import weighted_tar_at_far
    >>> score = np.array([0.9, 0.8, 0.3, 0.5, 0.2, 0.1])
    >>> mated = np.array([True, True, True, False, False, False])
    >>> weighted_tar_at_far(score, mated, [0.01])(np.ones(6)).round(3)
    array([0.667])
    """
    curve = _weighted_roc(score, mated)

    def statistic(weight: np.ndarray) -> np.ndarray:
        false_rate, true_rate = curve(weight)
        return true_rate[last_within(false_rate, far)] if np.isfinite(false_rate[-1] + true_rate[-1]) else np.full(len(far), np.nan)

    return statistic


def weighted_eer(score: np.ndarray, mated: np.ndarray) -> Statistic:
    """`eer` of the two groups of `score`, its threshold found again in every replicate.

    >>> import numpy as np
    >>> from limen.metrics import weighted_eer
    >>> score = np.array([0.9, 0.8, 0.3, 0.5, 0.2, 0.1])
    >>> mated = np.array([True, True, True, False, False, False])
    >>> weighted_eer(score, mated)(np.ones(6)).round(3)
    array([0.333])
    """
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
    order, last_of_ties = falling_scores(np.asarray(score))
    mated = np.asarray(mated, bool)[order]

    def curve(weight: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        weight = weight[order]
        counts = (np.cumsum(weight * group) for group in (~mated, mated))
        false_rate, true_rate = (_share(np.r_[0.0, count[last_of_ties]], count[-1]) for count in counts)
        return false_rate, true_rate

    return curve


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """part / whole, NaN where the whole is nothing."""
    return part / whole if whole else np.full_like(part, np.nan)
