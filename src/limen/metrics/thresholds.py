"""The threshold of a false match rate: where it lies, how sure it is, and how many impostors stand behind it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from limen.metrics.image_pairs import non_mated_pairs
from limen.metrics.people_of_pairs import PeopleOfPairs
from limen.metrics.rates import allowed_events, checked_rates, checked_scores, lowest_above, refused_scores, trials_needed


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
    level: float = 0.95,
    images: np.ndarray | None = None,
) -> Thresholds:
    """The lowest thresholds at which the share of impostors with `score >= threshold` does not exceed `fmr`.

    The interval of a threshold reaches from the threshold of the high end of its false match rate's interval to that of the low end
    (Woodruff, "Confidence intervals for medians and other position measures", 1952).

    Args:
        impostor: (I,) scores of non-mated pairs; minus infinity for a failure to acquire, which is counted and never accepted.
        fmr: (F,) false match rates from 0 to 1, or one of them.
        first, second: (I,) person of either image, for the interval over people, see PeopleOfPairs. None leaves the interval out.
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
    low = high = np.full(len(rates), np.nan)
    if first is not None and second is not None:
        people = PeopleOfPairs(first, second, images)
        if len(first) != len(impostor):
            raise ValueError(f"first and second must name the people of {len(impostor)} pairs, not of {len(first)}")
        ends = np.array([people.interval(np.flatnonzero(impostor > end), level) for end in refused[resolved]]).reshape(-1, 2)
        low, high = (np.full(len(rates), np.nan) for _ in range(2))
        low[resolved], high[resolved] = (lowest_above(refused_scores(impostor, of, count)) for of in (ends[:, 1], ends[:, 0]))
    elif first is not None or second is not None:
        raise ValueError("first and second: the people of both images are needed for an interval")
    return Thresholds(
        fmr=rates,
        threshold=np.where(resolved, lowest_above(refused), np.nan),
        low=low,
        high=high,
        false_matches=np.array([np.count_nonzero(impostor > end) for end in refused]),
        impostors=count,
        needed=np.array([trials_needed(rate) if rate else np.iinfo(np.int64).max for rate in rates]),
    )


def fnmr_interval(
    mated: np.ndarray, first: np.ndarray, second: np.ndarray, threshold: Sequence[float] | np.ndarray, level: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """(F,) low and high end of the share of mated pairs with `score < threshold` over people, see PeopleOfPairs, the F thresholds fixed.

    >>> import numpy as np
    >>> from limen.metrics import fnmr_interval
    >>> score, person = np.linspace(0, 1, 200), np.arange(200) // 2
    >>> low, high = fnmr_interval(score, person, person, [0.2])  # 40 of 200 mated pairs of 100 people lie below
    >>> bool(low[0] < 0.2 < high[0])
    True
    """
    people = PeopleOfPairs(first, second)
    low, high = np.array([people.interval(np.asarray(mated) < end, level) for end in threshold]).reshape(-1, 2).T
    return low, high
