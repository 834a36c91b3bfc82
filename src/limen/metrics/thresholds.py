"""The threshold of a false match rate: where it lies, how sure it is, and how many impostors stand behind it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from limen.metrics.pair_bootstrap import refused_interval
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
) -> Thresholds:
    """The lowest thresholds at which the share of impostors with `score >= threshold` does not exceed `fmr`.

    Args:
        impostor: (I,) scores of non-mated pairs; minus infinity for a failure to acquire, which is counted and never accepted.
        fmr: (F,) false match rates from 0 to 1, or one of them.
        first, second: (I,) person of either image, for the interval: people are drawn again, and the threshold is found again, as in
            `bootstrap_interval`. None leaves the interval out.

    Raises:
        ValueError: NaN, no impostor, a rate outside 0 to 1, one of `first` and `second` alone or of another length.
    """
    impostor, rates = checked_scores(impostor), checked_rates(fmr)
    refused = refused_scores(impostor, rates)
    resolved = allowed_events(len(impostor), rates) > 0
    low = high = np.asarray([np.nan] * len(rates))
    if first is not None and second is not None:
        interval = refused_interval(impostor, first, second, rates, replicates, level, seed)
        low, high = (np.where(resolved, lowest_above(end), np.nan) for end in (interval.low, interval.high))
    elif first is not None or second is not None:
        raise ValueError("first and second: the people of both images are needed for an interval")
    return Thresholds(
        fmr=rates,
        threshold=np.where(resolved, lowest_above(refused), np.nan),
        low=low,
        high=high,
        false_matches=np.array([np.count_nonzero(impostor > end) for end in refused]),
        impostors=len(impostor),
        needed=np.array([math.ceil(1 / rate - 1e-9) if rate else np.iinfo(np.int64).max for rate in rates]),
    )
