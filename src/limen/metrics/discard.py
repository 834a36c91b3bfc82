"""Error versus discard (EDC): the error rate among the pairs left while those of lowest quality are discarded.

FNM-EDC and FM-EDC of ISO/IEC 29794-1:2024, also known as error-versus-reject curve (Grother and Tabassi, "Performance of Biometric
Quality Measures", TPAMI 2007).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from limen.metrics.bootstrap import Statistic
from limen.metrics.rates import lowest_above, refused_scores
from limen.metrics.roc import last_within

AUC_LIMIT = 0.95
STEPS = 20


@dataclass(frozen=True)
class DiscardCurve:
    """An error rate over the share of pairs discarded. A pair is accepted if `score >= threshold`."""

    discard: np.ndarray  # (K,) rising from 0
    error: np.ndarray  # (K,) rate among the pairs left
    left: np.ndarray  # (K,) int64 pairs left of the kind that can make this error
    threshold: float | np.ndarray  # (K,) where it is found again at every step
    events: int  # impostors accepted while nothing is discarded: what the threshold rests on

    def partial_auc(self, limit: float, normalised: bool = False) -> float:
        """Area under the curve from discard 0 to `limit`; `normalised` divides it by limit * (error while nothing is discarded).

        With one threshold the curve is a staircase and every error holds until the next discard. With a threshold for every step
        it is the trapezoid through the steps. Normalised, a random quality has about 1; NaN where there is no error.

        Raises:
            ValueError: `limit` is not above 0, or beyond 1 (beyond 0.95 with a threshold for every step).
        """
        end = 1.0 if np.isscalar(self.threshold) else float(self.discard[-1])
        if not 0 < limit <= end:
            raise ValueError(f"limit={limit} must lie above 0 and not beyond {end:g}")
        if np.isscalar(self.threshold):
            widths = np.minimum(np.append(self.discard[1:], 1.0), limit) - self.discard
            area = float(self.error @ np.clip(widths, 0, None))
        else:
            discard = np.append(self.discard[self.discard < limit], limit)
            error = np.interp(discard, self.discard, self.error)
            area = float(np.diff(discard) @ (error[1:] + error[:-1]) / 2)
        if normalised:
            return area / (limit * float(self.error[0])) if self.error[0] else np.nan
        return area


class FnmrCurve(DiscardCurve):
    """A DiscardCurve whose error is the false non-match rate; `left` counts mated pairs."""

    @property
    def fnmr(self) -> np.ndarray:
        return self.error


def error_vs_discard(
    score: np.ndarray, mated: np.ndarray, quality: np.ndarray, fmr: float, threshold: Literal["fixed", "per_step"] = "fixed"
) -> FnmrCurve:
    """FNMR over the share of pairs discarded, lowest quality first.

    "fixed": the lowest threshold at which the false match rate of all impostors does not exceed `fmr`. One point for every distinct
    quality of a mated pair, as pairs of equal quality go together; `discard` is the share of mated pairs.

    "per_step": as in the tables of CR-FIQA (Boutros et al., CVPR 2023). Of mated and non-mated pairs together 0, 5, .. 95 % are
    dropped, and at every step the threshold is found again on what is left: `score > t` at the lowest score t for which the share of
    impostors with `score >= t` comes nearest to `fmr`, which it may exceed. Pairs of equal quality stay in their order here, while
    the authors' order of them depends on the sort. A step without a mated or a non-mated pair is NaN.

    Args:
        score: (P,) similarity.
        mated: (P,) bool.
        quality: (P,) of a pair, as a rule the lower of its two images'; higher is better.
        fmr: false match rate, from 0 to below 1. One below 1/N_impostor allows no impostor at all: the curve is returned, but its
            threshold rests on nothing (`events` is 0).

    Raises:
        ValueError: NaN, a quality that is not finite, arrays of different length, no mated or no non-mated pair, an fmr or a threshold
            that is none of these.

    >>> import numpy as np
    >>> from limen.metrics import error_vs_discard
    >>> score = np.array([0.9, 0.8, 0.3, 0.5, 0.2, 0.1])
    >>> mated = np.array([True, True, True, False, False, False])
    >>> quality = np.array([0.9, 0.8, 0.1, 0.7, 0.6, 0.5])
    >>> curve = error_vs_discard(score, mated, quality, fmr=0.01)
    >>> curve.discard.round(2), curve.fnmr.round(2)  # the false non-match has the lowest quality
    (array([0.  , 0.33, 0.67]), array([0.33, 0.  , 0.  ]))
    """
    score, mated, quality = _checked(score, mated, quality, fmr)
    if threshold == "per_step":
        return _per_step(score, mated, quality, fmr)
    if threshold != "fixed":
        raise ValueError(f'threshold={threshold!r} is unknown: "fixed" or "per_step"')
    found, events = _threshold(score[~mated], fmr)
    return FnmrCurve(*_staircase(score[mated] < found, quality[mated]), found, events)


def false_match_vs_discard(score: np.ndarray, mated: np.ndarray, quality: np.ndarray, fmr: float) -> DiscardCurve:
    """FMR at the fixed threshold of `error_vs_discard` over the share of non-mated pairs discarded; arguments and errors as there.

    >>> import numpy as np
    >>> from limen.metrics import false_match_vs_discard
    >>> score = np.array([0.9, 0.8, 0.3, 0.5, 0.2, 0.1])
    >>> mated = np.array([True, True, True, False, False, False])
    >>> quality = np.array([0.9, 0.8, 0.7, 0.1, 0.6, 0.5])
    >>> false_match_vs_discard(score, mated, quality, fmr=0.4).error.round(2)
    array([0.33, 0.  , 0.  ])
    """
    score, mated, quality = _checked(score, mated, quality, fmr)
    found, events = _threshold(score[~mated], fmr)
    return DiscardCurve(*_staircase(score[~mated] >= found, quality[~mated]), found, events)


def weighted_discard_areas(
    score: np.ndarray,
    mated: np.ndarray,
    quality: np.ndarray,
    fmr: Sequence[float],
    limits: Sequence[float] = (0.2, 0.3, AUC_LIMIT),
) -> Statistic:
    """`partial_auc` of the fixed threshold, which is found again in every replicate from its weighted impostors.

    The statistic gives a flat (Q * F * 2 * L,): for each row of `quality` (Q, P), each of the F `fmr` and each of the L `limits` the
    area, raw and normalised. All qualities share the replicate's threshold, so that their differences are paired.
    """
    for row in np.atleast_2d(quality):
        for rate in fmr:
            _checked(score, mated, row, rate)
    score, mated = np.asarray(score), np.asarray(mated, bool)
    genuine, impostor = score[mated], score[~mated]
    falling = np.argsort(-impostor, kind="stable")
    last_of_ties = np.flatnonzero(np.append(np.diff(impostor[falling]) != 0, True))
    distinct = impostor[falling][last_of_ties]
    orders = [_groups(row[mated]) for row in np.atleast_2d(quality)]
    upto = np.asarray(limits, float)

    def statistic(weight: np.ndarray) -> np.ndarray:
        passed, w = np.cumsum(weight[~mated][falling]), weight[mated]
        if not passed[-1] or not w.any():
            return np.full(len(orders) * len(fmr) * 2 * len(upto), np.nan)
        refused = distinct[last_within(np.append(0.0, passed[last_of_ties] / passed[-1]), fmr)]
        wrong = np.where(genuine <= refused[:, None], w, 0.0)  # (F, M)
        areas = np.empty((len(orders), len(fmr), 2, len(upto)))
        for quality_areas, (order, starts) in zip(areas, orders, strict=True):
            left = np.cumsum(w[order][::-1])[::-1][starts]
            wrong_left = np.cumsum(wrong[:, order[::-1]], axis=1)[:, ::-1][:, starts]
            rate = np.divide(wrong_left, left, out=np.zeros_like(wrong_left), where=left > 0)
            discard = 1 - left / left[0]
            widths = np.clip(np.minimum(np.append(discard[1:], 1.0), upto[:, None]) - discard, 0, None)  # (L, K)
            quality_areas[:, 0] = rate @ widths.T
            scale = upto * rate[:, :1]
            quality_areas[:, 1] = np.divide(quality_areas[:, 0], scale, out=np.full(scale.shape, np.nan), where=scale > 0)
        return areas.ravel()

    return statistic


def _groups(quality: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(M,) order of rising quality, and where in it each distinct quality starts."""
    order = np.argsort(quality)
    return order, np.flatnonzero(np.append(True, np.diff(quality[order]) != 0))


def _staircase(error: np.ndarray, quality: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(discard, rate, left) of the errors (M,) bool: one sort, then a sum from the best pair to the worst."""
    order, starts = _groups(quality)
    left = len(order) - starts
    return starts / len(order), np.cumsum(error[order][::-1])[::-1][starts] / left, left


def _threshold(impostor: np.ndarray, fmr: float) -> tuple[float, int]:
    """The lowest threshold whose false match rate is at most `fmr`, and the impostors it accepts."""
    refused = refused_scores(impostor, [fmr])
    return float(lowest_above(refused)[0]), int((impostor > refused).sum())


def _per_step(score: np.ndarray, mated: np.ndarray, quality: np.ndarray, fmr: float) -> FnmrCurve:
    order = np.argsort(quality, kind="stable")
    score, mated = score[order], mated[order]
    genuine, impostor = score[mated], score[~mated]
    gone = len(score) * np.arange(STEPS) // STEPS
    genuine_gone = np.append(0, np.cumsum(mated))[gone]
    error, threshold = np.full((2, STEPS), np.nan)
    events = 0
    for step, (first, second) in enumerate(zip(genuine_gone, gone - genuine_gone, strict=True)):
        if first == len(genuine) or second == len(impostor):
            continue
        limit = _nearest(genuine[first:], impostor[second:], fmr)
        error[step] = (genuine[first:] <= limit).mean()
        threshold[step] = np.nextafter(limit, np.inf, dtype=score.dtype)
        if step == 0:
            events = int((impostor > limit).sum())
    return FnmrCurve(np.arange(STEPS) / STEPS, error, len(genuine) - genuine_gone, threshold, events)


def _nearest(genuine: np.ndarray, impostor: np.ndarray, fmr: float) -> float:
    """The lowest score for which the share of impostors at or above it is nearest to `fmr`, the larger share of two as near."""
    count = len(impostor)
    kept = min(int(fmr * count) + 2, count)
    low, top = np.split(np.partition(impostor, count - kept), [count - kept])
    top.sort()
    below = low[low < top[0]].max(initial=-np.inf)
    refused = np.append(below, np.unique(top))  # the highest impostor that a threshold leaves out
    accepted = kept - np.searchsorted(top, refused, side="right")
    accepted[0] += int((low == top[0]).sum())
    limit = refused[np.abs(accepted / count - fmr).argmin()]
    return min(top[top > limit].min(initial=np.inf), genuine[genuine > limit].min(initial=np.inf))


def _checked(score: np.ndarray, mated: np.ndarray, quality: np.ndarray, fmr: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    score, mated, quality = np.asarray(score), np.asarray(mated, bool), np.asarray(quality)
    score = score.astype(np.result_type(score, np.float32), copy=False)  # whole numbers have no next one above
    if score.ndim != 1 or not score.shape == mated.shape == quality.shape:
        raise ValueError(f"score, mated and quality must be vectors of one length, not {score.shape}, {mated.shape} and {quality.shape}")
    for name, bad in (("scores are NaN", np.isnan(score)), ("qualities are NaN or infinite", ~np.isfinite(quality))):
        if bad.any():
            raise ValueError(f"{int(bad.sum())} of {len(bad)} {name}: leave failures to acquire out and count them")
    if mated.all() or not mated.any():
        raise ValueError(f"an error versus discard needs mated and non-mated pairs: {int(mated.sum())} of {len(mated)} are mated")
    if not 0 <= fmr < 1:
        raise ValueError(f"fmr={fmr} must be a rate from 0 to below 1")
    return score, mated, quality
