"""Receiver operating characteristic: TAR@FAR, equal error rate, and few enough points to draw."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from limen.metrics.rates import allowed_events, checked_rates, checked_scores, refused_scores


class Roc(NamedTuple):
    """Points of a curve from (0, 0) at threshold infinity to (1, 1), or below it where there are failures to acquire.

    A pair is accepted if `score >= threshold`.
    """

    far: np.ndarray  # (K,) rising
    tar: np.ndarray  # (K,) rising
    threshold: np.ndarray  # (K,) falling


def roc_curve(score: np.ndarray, mated: np.ndarray) -> Roc:
    """All points of the ROC: one for every distinct score, none dropped.

    Args:
        score: (P,) similarity; minus infinity for a failure to acquire, which is counted and accepted at no threshold: the curve then
            ends below (1, 1).
        mated: (P,) bool.

    Raises:
        ValueError: NaN among the scores, or one of the two classes absent.

    >>> import numpy as np
    >>> from limen.metrics import roc_curve
    >>> score = np.array([0.9, 0.8, 0.3, 0.5, 0.2, 0.1])
    >>> mated = np.array([True, True, True, False, False, False])
    >>> curve = roc_curve(score, mated)
    >>> curve.far.round(2), curve.tar.round(2)
    (array([0.  , 0.  , 0.  , 0.33, 0.33, 0.67, 1.  ]), array([0.  , 0.33, 0.67, 0.67, 1.  , 1.  , 1.  ]))
    """
    score, mated = checked_pairs(score, mated)
    order, last_of_ties = falling_scores(score)
    passed = np.cumsum(mated[order], dtype=np.int64)
    genuine = passed[last_of_ties]
    far, tar = (last_of_ties + 1 - genuine) / (len(mated) - passed[-1]), genuine / passed[-1]
    return Roc(np.r_[0.0, far], np.r_[0.0, tar], np.r_[np.inf, score[order][last_of_ties]])


def falling_scores(score: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(P,) order of falling score, and the places in it where a threshold may lie: the last of each tie, failures (-inf) apart."""
    order = np.argsort(-score, kind="stable")
    ranked = score[order]
    last_of_ties = np.append(ranked[1:] != ranked[:-1], True)
    return order, np.flatnonzero(last_of_ties & ~np.isneginf(ranked))


def tar_at_far(
    score: np.ndarray, mated: np.ndarray, far: Sequence[float], lookup: Literal["conservative", "nearest"] = "conservative"
) -> np.ndarray:
    """(len(far),) true accept rates at the false accept rates asked for.

    "conservative": the largest TAR over all thresholds whose FAR does not exceed the target. A target below 1/N_impostor allows
    no impostor at all: the number is returned, but rests on nothing (see `impostor_events`).
    "nearest": the point whose FAR is nearest to the target, which it may exceed, on a curve without its collinear points; where
    two are equally near, the larger FAR. For comparison with published IJB tables, which are read off this way.

    Raises:
        ValueError: as `roc_curve`; an unknown lookup.

    >>> import numpy as np
    >>> from limen.metrics import tar_at_far
    >>> score = np.array([0.9, 0.8, 0.3, 0.5, 0.2, 0.1])
    >>> mated = np.array([True, True, True, False, False, False])
    >>> tar_at_far(score, mated, [0.01, 0.5]).round(3)  # no impostor accepted, then one of three
    array([0.667, 1.   ])
    """
    score, mated = checked_pairs(score, mated)
    if lookup == "conservative":
        genuine, refused = score[mated], refused_scores(score[~mated], checked_rates(far))
        return np.array([np.count_nonzero(genuine > end) for end in refused]) / len(genuine)
    if lookup == "nearest":
        if (failed := np.isneginf(score)).any():  # scikit-learn takes finite scores alone
            score = np.where(failed, score[~failed].min(initial=0.0) - 1, score)
        from sklearn.metrics import roc_curve as sklearn_roc_curve  # here: two seconds of loading that only this needs

        false_rate, true_rate, _ = sklearn_roc_curve(mated, score)
        gap = np.abs(false_rate[::-1] - np.asarray(far, float)[:, None])
        return true_rate[::-1][gap.argmin(1)]
    raise ValueError(f'lookup={lookup!r} is unknown: "conservative" or "nearest"')


def impostor_events(roc: Roc, far: Sequence[float], impostors: int) -> np.ndarray:
    """(len(far),) number of impostors accepted at the conservative threshold of each FAR: the events a TAR@FAR rests on.

    >>> import numpy as np
    >>> from limen.metrics import impostor_events, roc_curve
    >>> score = np.array([0.9, 0.8, 0.3, 0.5, 0.2, 0.1])
    >>> mated = np.array([True, True, True, False, False, False])
    >>> impostor_events(roc_curve(score, mated), [0.01, 0.5], impostors=3)
    array([0, 1])
    """
    return np.rint(roc.far[last_within(roc.far, far)] * impostors).astype(int)


def last_within(rate: np.ndarray, limit: Sequence[float] | np.ndarray) -> np.ndarray:
    """Index of the last entry of the rising `rate` that does not exceed each limit; `rate` starts at 0."""
    return np.searchsorted(rate, np.asarray(limit, float), side="right") - 1


@dataclass(frozen=True)
class EqualErrorRate:
    """The error rate where false matches and false non-matches are equally frequent, as `eer` gives it."""

    value: float  # where the straight line between the two points of the ROC beside the diagonal meets it
    threshold: float
    low: float  # `low` <= `value` <= `high`: what breaking tied scores at best and at worst would give
    high: float


def eer(genuine: np.ndarray, impostor: np.ndarray) -> EqualErrorRate:
    """Equal error rate of similarity scores: false match rate = false non-match rate.

    Args:
        genuine: (G,) scores of mated pairs.
        impostor: (I,) scores of non-mated pairs.

    Raises:
        ValueError: NaN, or an empty side.

    >>> import numpy as np
    >>> from limen.metrics import eer
    >>> found = eer(np.array([0.9, 0.8, 0.3]), np.array([0.5, 0.2, 0.1]))
    >>> round(found.value, 3)
    0.333
    """
    roc = roc_curve(np.r_[genuine, impostor], np.r_[np.ones(len(genuine), bool), np.zeros(len(impostor), bool)])
    after, share = crossing(roc.far, roc.tar)
    if np.isnan(share):
        raise ValueError("there is no equal error rate: failures to acquire alone make the false non-match rate the higher one")
    before, miss = after - 1, 1 - roc.tar
    start = roc.threshold[before] if before else roc.threshold[after]  # the first threshold is infinite
    value = float(roc.far[before] + share * (roc.far[after] - roc.far[before]))
    return EqualErrorRate(
        value=value,
        threshold=float(start + share * (roc.threshold[after] - start)),
        low=min(float(max(roc.far[before], miss[after])), value),
        high=max(float(min(roc.far[after], miss[before])), value),
    )


def crossing(far: np.ndarray, tar: np.ndarray) -> tuple[int, float]:
    """Where a ROC crosses far = 1 - tar: the first point at or past it, and how far along the segment to that point (0 to 1)."""
    gap = far + tar - 1
    if gap[-1] < 0:  # so many failures to acquire that the false non-match rate is the higher one at every threshold
        return len(gap) - 1, np.nan
    after = int(np.argmax(gap >= 0))
    return after, float(gap[after - 1] / (gap[after - 1] - gap[after]))


def thin_roc(score: np.ndarray, mated: np.ndarray, points: int = 400) -> Roc:
    """At most `points` + 2 points of `roc_curve(score, mated)` for drawing, spread evenly over log FAR.

    Of hundreds of millions of pairs too: it sorts the two classes apart and makes no other point. Raises ValueError as `roc_curve`.

    >>> import numpy as np
    >>> from limen.metrics import thin_roc
    >>> score = np.array([0.9, 0.8, 0.3, 0.5, 0.2, 0.1])
    >>> mated = np.array([True, True, True, False, False, False])
    >>> len(thin_roc(score, mated, points=4).far) <= 6
    True
    """
    score, mated = checked_pairs(score, mated)
    genuine, impostor = np.sort(score[mated]), np.sort(score[~mated])  # rising
    ends = [len(one) - int(np.searchsorted(one, -np.inf, side="right")) for one in (genuine, impostor)]  # how many are no failures
    best = [one[-1] for one in (genuine, impostor)]
    found: list[tuple[float, ...]] = [(0, 0, np.inf)]
    first = len(impostor) - np.searchsorted(impostor, best[1], side="left")  # impostors at the highest score of one: the first step
    rates = np.r_[0.0, np.geomspace(first / len(impostor), 1, points)] if ends[1] else np.zeros(1)
    for allowed in np.unique(allowed_events(len(impostor), rates)).tolist():
        refused = impostor[len(impostor) - 1 - allowed] if allowed < len(impostor) else -np.inf
        above = [one[place] for one in (genuine, impostor) if (place := np.searchsorted(one, refused, side="right")) < len(one)]
        if above:
            threshold = min(above)
            false, true = (len(one) - int(np.searchsorted(one, threshold, side="left")) for one in (impostor, genuine))
            found.append((false, true, float(threshold)))
    if any(ends):
        lowest = min(float(one[len(one) - end]) for one, end in zip((genuine, impostor), ends, strict=True) if end)
        found.append((ends[1], ends[0], lowest))
    kept = sorted(set(found))
    far, tar, thresholds = (np.array(column, float) for column in zip(*kept, strict=True))
    return Roc(far / len(impostor), tar / len(genuine), thresholds)


def checked_pairs(score: np.ndarray, mated: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(P,) floats and (P,) bool. Raises ValueError for NaN, other shapes, or one class alone."""
    score, mated = checked_scores(score), np.asarray(mated, bool)
    if score.shape != mated.shape:
        raise ValueError(f"score and mated must be vectors of one length, not {score.shape} and {mated.shape}")
    if mated.all() or not mated.any():
        raise ValueError(f"a ROC needs mated and non-mated pairs: {int(mated.sum())} of {len(mated)} are mated")
    return score, mated
