"""The threshold of a false match rate: where it lies, how sure it is, and how many impostors stand behind it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from limen.metrics.image_pairs import non_mated_pairs
from limen.metrics.intervals import uniform_interval
from limen.metrics.pair_bootstrap import rate_interval, refused_interval
from limen.metrics.rates import allowed_events, checked_rates, checked_scores, lowest_above, refused_scores


@dataclass(frozen=True)
class Thresholds:
    """Of F false match rates. A pair is accepted if `score >= threshold`."""

    fmr: np.ndarray  # (F,) asked for
    threshold: np.ndarray  # (F,) the lowest whose false match rate does not exceed it; NaN where the impostors cannot resolve it
    low: np.ndarray  # (F,) interval over people; NaN where no people were given
    high: np.ndarray  # (F,)
    false_matches: np.ndarray  # (F,) int64 impostors accepted: the events that the threshold rests on
    impostors: int
    needed: np.ndarray  # (F,) int64 impostors that it takes to resolve the rate, 1 / fmr

    @property
    def resolved(self) -> np.ndarray:
        """(F,) bool: one false match of all the impostors does not exceed the rate."""
        return allowed_events(self.impostors, self.fmr) > 0

    @property
    def reached(self) -> np.ndarray:
        """(F,) false match rate at the threshold, which tied scores may keep well below the one asked for."""
        return self.false_matches / self.impostors


def threshold_at_fmr(
    impostor: np.ndarray,
    fmr: Sequence[float] | float,
    first: np.ndarray | None = None,
    second: np.ndarray | None = None,
    replicates: int = 1000,
    level: float = 0.95,
    seed: int = 0,
    images: np.ndarray | None = None,
) -> Thresholds:
    """The lowest thresholds at which the share of impostors with `score >= threshold` does not exceed `fmr`.

    Args:
        impostor: (I,) scores of non-mated pairs; minus infinity for a failure to acquire, which is counted and never accepted.
        fmr: (F,) false match rates from 0 to 1, or one of them.
        first, second: (I,) person of either image, for the interval: people are drawn again, and the threshold is found again, as in
            `bootstrap_interval`. None leaves the interval out.
        images: (N,) the person in each image, where the impostors are all non-mated pairs of these images: `impostor` may then hold the
            highest of them alone, as of `all_pairs`.

    Raises:
        ValueError: NaN, no impostor, a rate outside 0 to 1, one of `first` and `second` alone or of another length, too few of the
            highest impostors.

    >>> import numpy as np
    >>> from limen.metrics import threshold_at_fmr
    >>> found = threshold_at_fmr(np.arange(1000) / 1000, 0.01)
    >>> found.threshold, found.false_matches  # 10 of 1,000 non-mated pairs are accepted
    (array([0.989]), array([10]))
    """
    impostor, rates = checked_scores(impostor), checked_rates(fmr)
    count = len(impostor) if images is None else non_mated_pairs(images)
    refused = refused_scores(impostor, rates, count)
    resolved = allowed_events(count, rates) > 0
    low = high = np.asarray([np.nan] * len(rates))
    if first is not None and second is not None:
        interval = refused_interval(impostor, first, second, rates, replicates, level, seed, images)
        low, high = (np.where(resolved, lowest_above(end), np.nan) for end in (interval.low, interval.high))
    elif first is not None or second is not None:
        raise ValueError("first and second: the people of both images are needed for an interval")
    return Thresholds(
        fmr=rates,
        threshold=np.where(resolved, lowest_above(refused), np.nan),
        low=low,
        high=high,
        false_matches=np.array([np.count_nonzero(impostor > end) for end in refused]),
        impostors=count,
        needed=np.array([math.ceil(1 / rate - 1e-9) if rate else np.iinfo(np.int64).max for rate in rates]),
    )


def fnmr_interval(
    mated: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    threshold: Sequence[float] | np.ndarray,
    replicates: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray]:
    """(F,) low and high end of the share of mated pairs with `score < threshold`, the F thresholds fixed and people drawn again.

    Where none or all of the pairs are errors, `uniform_interval`. The same of non-mated pairs is 1 - FMR. Arguments as of
    `rate_interval`.

    >>> import numpy as np
    >>> from limen.metrics import fnmr_interval
    >>> score, person = np.linspace(0, 1, 200), np.arange(200) // 2
    >>> low, high = fnmr_interval(score, person, person, [0.2])  # 40 of 200 mated pairs of 100 people lie below
    >>> bool(low[0] < 0.2 < high[0])
    True
    """
    accepted = rate_interval(mated, first, second, list(threshold), replicates, level, seed)
    low, high = 1 - accepted.high, 1 - accepted.low
    for k in np.flatnonzero((accepted.value == 0) | (accepted.value == 1)):
        low[k], high[k] = uniform_interval(round(len(mated) * (1 - accepted.value[k])), first, second, level)
    return low, high
