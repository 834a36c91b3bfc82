"""The threshold of a stated error budget, found on scores, and the answer that a score gets there."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from limen import metrics
from limen.errors import LimenError
from limen.metrics import ScoredPairs
from limen.models.operating_point import OperatingPoint, people_hashes

__all__ = ["Answer", "Decision", "OperatingPoint", "decide", "find_operating_points"]

LEVEL = 0.95
ROUNDING = 5e-7  # of a cosine computed in another order: a refused pair must not pass elsewhere
Answer = Literal["yes", "not sure", "no"]


def find_operating_points(
    non_mated: ScoredPairs,
    mated: ScoredPairs,
    fmr: Sequence[float],
    *,
    reference: str,
    data_sha256: str,
    flip: bool,
    names: Sequence[str] | None = None,
) -> tuple[OperatingPoint, ...]:
    """The operating point at each false match rate, which falls.

    The threshold is the lowest that keeps the rate on the non-mated pairs, raised by 5e-7, which is more than rounding moves a cosine.
    Its interval is over people (`metrics.threshold_at_fmr`), as that of the false non-match rate, for which it is fixed.

    Args:
        non_mated, mated: may be of different people; failures to acquire are left out before.
        reference: name of the data. data_sha256: of the data. flip: whether the mirror image was fused in.
        names: of the people in either, None where the data names nobody.

    Raises:
        LimenError: a rate that is not between 0 and 1 or that the non-mated pairs cannot resolve, no mated pair, one person alone.
    """
    rates = budgets(fmr)
    if not len(mated.score):
        raise LimenError(f"{reference}: has no mated pair that can be used; give people with two images or more")
    if not non_mated.count:
        raise LimenError(f"{reference}: has no non-mated pair that can be used; give two people or more")
    found = metrics.threshold_at_fmr(non_mated.score, rates, non_mated.first, non_mated.second, LEVEL, non_mated.images)
    if not found.resolved.all():
        short = int((~found.resolved).argmax())
        raise LimenError(
            f"{reference}: an FMR of {rates[short]:g} needs {found.needed[short]:,} non-mated pairs and there are {found.impostors:,}; "
            "use more, or raise --fmr"
        )
    # the high end of a rate may refuse no pair at all: no cosine lies below -1
    thresholds, lows, highs = (_raised(ends) for ends in (found.threshold, found.low, found.high))
    rates_of_mated = metrics.fnmr_interval(mated.score, mated.first, mated.second, thresholds, LEVEL)
    both = {*non_mated.people.tolist(), *mated.people.tolist()}
    return tuple(
        OperatingPoint(
            fmr=rate,
            threshold=threshold,
            low=min(low, threshold),
            high=max(high, threshold),
            level=LEVEL,
            non_mated=found.impostors,
            false_matches=int((non_mated.score >= threshold).sum()),
            mated=len(mated.score),
            false_non_matches=int((mated.score < threshold).sum()),
            fnmr_low=float(fnmr_low),
            fnmr_high=float(fnmr_high),
            flip=flip,
            reference=reference,
            data_sha256=data_sha256,
            people=len(both) if names is None else len(set(names)),
            people_sha256=() if names is None else people_hashes(names),
        )
        for rate, threshold, low, high, fnmr_low, fnmr_high in zip(rates, thresholds, lows, highs, *rates_of_mated, strict=True)
    )


def _raised(ends: np.ndarray) -> list[float]:
    return [float(end) for end in np.round(np.maximum(ends, -1) + ROUNDING, 7)]


def budgets(fmr: Sequence[float]) -> list[float]:
    """The false match rates, highest first. Raises LimenError for none, or one that does not lie between 0 and 1."""
    rates = sorted({float(rate) for rate in fmr}, reverse=True)
    if not rates or not all(0 < rate < 1 for rate in rates):
        raise LimenError(f"fmr: {', '.join(f'{rate:g}' for rate in rates)} must lie between 0 and 1")
    return rates


@dataclass(frozen=True)
class Decision:
    """Whether two images show one person, and why."""

    answer: Answer
    reason: str


def decide(score: float, point: OperatingPoint, expected_fnmr: float | None = None, max_fnmr: float | None = None) -> Decision:
    """What a cosine says at an operating point.

    "yes" from the high end of the threshold's interval on, "no" below its low end, "not sure" between them, and where the error rate that
    the quality of the worse image lets expect is above `max_fnmr`.

    Raises:
        LimenError: a score that is not a number, a `max_fnmr` without an expected error rate.
    """
    if np.isnan(score):
        raise LimenError("a score is not a number; count failures to acquire separately")
    if max_fnmr is not None:
        if expected_fnmr is None:
            raise LimenError("the expected FNMR is not known, because the model's quality is not calibrated; run `limen calibrate`")
        if expected_fnmr > max_fnmr:
            return Decision("not sure", f"of images of this quality an FNMR of {expected_fnmr:.2g} is expected, above {max_fnmr:g}")
    if score >= point.high:
        return Decision("yes", f"at or above {point.high:.4f}, the high end of the threshold's interval")
    if score < point.low:
        return Decision("no", f"below {point.low:.4f}, the low end of the threshold's interval")
    return Decision("not sure", f"between {point.low:.4f} and {point.high:.4f}, the ends of the threshold's interval")
