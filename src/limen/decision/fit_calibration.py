"""Finding out what a quality score means. `limen.quality.Calibration` is what is found; a model is loaded without this file."""

import math

import numpy as np
from sklearn.isotonic import IsotonicRegression

from limen.errors import LimenError
from limen.metrics import design_effect, proportion_interval, roc_curve
from limen.metrics.rates import trials_needed
from limen.metrics.roc import last_within
from limen.models.operating_point import OperatingPoint
from limen.quality.calibration import QUANTILES, Calibration

GROUPS, PAIRS_IN_A_GROUP, ERRORS_IN_A_GROUP = 100, 30, 5  # most groups of mated pairs; fewest pairs in one, and on average fewest errors
LEVEL = 0.95


def fit_calibration(
    measure: str,
    reference: str,
    quality: np.ndarray,
    subject: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    cosine: np.ndarray,
    mated: np.ndarray,
    fmr: float,
    point: OperatingPoint | None = None,
) -> Calibration:
    """The calibration of a measure on pairs of images that neither it nor the recogniser was trained on.

    The threshold is the lowest at which the false match rate does not exceed `fmr`. The quality of a pair is that of its worse image.
    The mated pairs are put in order of it and cut into at most 100 groups of at least 30 pairs and, on average, 5 non-matches; the
    expected FNMR is the isotonic regression of the groups' shares of non-matches on their mean qualities: the falling curve with the
    least squared error. Its 95 % interval is, for each stretch where it is level, that of the stretch's mean rate: Clopper and Pearson's
    for its pairs, as many fewer as pairs of one person say the same (Korn and Graubard, "Confidence intervals for proportions with
    small expected number of positive counts", 1998); and as the rate falls, no end may rise.

    Args:
        measure, reference: names, see Calibration.
        quality: (N,) score of each image; one that is not finite is a failure to acquire, whose pairs are left out.
        subject: (N,) number of the person of each image.
        first, second: (P,) numbers of the images of each pair.
        cosine: (P,) similarity; NaN for a pair to be left out.
        mated: (P,) bool.
        point: the operating point at `fmr`, whose threshold it then is: the pairs may be mated ones alone.

    Raises:
        LimenError: no mated pairs, or too few non-mated ones for `fmr`.
    """
    quality = np.where(np.isfinite(quality), quality, np.nan)
    pair_quality = np.minimum(quality[first], quality[second])
    usable = ~np.isnan(pair_quality + cosine)
    pair_quality, cosine, mated, person = pair_quality[usable], cosine[usable], np.asarray(mated, bool)[usable], subject[first][usable]
    non_mated = int((~mated).sum()) if point is None else point.non_mated
    if not mated.any():
        raise LimenError(f"{reference}: has no mated pair that can be used; calibrate on pairs that hold both kinds")
    if not 0 < fmr < 1:
        raise LimenError(f"fmr: {fmr:g} must lie between 0 and 1")
    if fmr * non_mated < 1:
        needed = trials_needed(fmr)
        raise LimenError(
            f"{reference}: an FMR of {fmr:g} needs {needed} non-mated pairs and there are {non_mated}; use more, or raise --fmr"
        )
    threshold = _threshold(reference, cosine, mated, fmr) if point is None else point.threshold

    order = np.argsort(pair_quality[mated], kind="stable")
    worse, rejected = pair_quality[mated][order], (cosine[mated] < threshold)[order]
    most = min(GROUPS, len(worse) // PAIRS_IN_A_GROUP, int(rejected.sum()) // ERRORS_IN_A_GROUP)
    groups = np.array_split(np.arange(len(worse)), max(1, most))
    means, errors, sizes = (np.array([f(group) for group in groups]) for f in (lambda g: worse[g].mean(), lambda g: rejected[g].sum(), len))
    fnmr = IsotonicRegression(increasing=False).fit(means, errors / sizes, sample_weight=sizes).predict(means)
    low, high = _interval(fnmr, errors, sizes, design_effect(rejected, person[mated][order]))
    images = quality[~np.isnan(quality)]
    return Calibration(
        measure=measure,
        reference=reference,
        images=len(images),
        quantiles=_rounded(np.quantile(images, np.linspace(0, 1, QUANTILES))),
        fmr=fmr,
        threshold=threshold,
        mated=len(worse),
        non_mated=non_mated,
        false_non_matches=int(rejected.sum()),
        false_matches=int((cosine[~mated] >= threshold).sum()) if point is None else point.false_matches,
        knots=_rounded(means),
        fnmr=_rounded(fnmr),
        fnmr_low=_rounded(low),
        fnmr_high=_rounded(high),
    )


def _threshold(reference: str, cosine: np.ndarray, mated: np.ndarray, fmr: float) -> float:
    roc = roc_curve(cosine, mated)
    threshold = float(roc.threshold[last_within(roc.far, [fmr])[0]])
    if math.isinf(threshold):
        raise LimenError(f"{reference}: more non-mated pairs than an FMR of {fmr:g} allows share the highest similarity; raise --fmr")
    return threshold


def _interval(fnmr: np.ndarray, errors: np.ndarray, sizes: np.ndarray, effect: float) -> tuple[np.ndarray, np.ndarray]:
    """Of groups (K,) in order of rising quality, whose fitted rates are equal along a stretch."""
    stretch = np.cumsum(np.append(0, np.diff(fnmr) != 0))
    wrong, pairs = (np.bincount(stretch, counts)[stretch] for counts in (errors, sizes))
    low, high = proportion_interval(wrong, pairs, effect, LEVEL)
    return np.maximum.accumulate(low[::-1])[::-1], np.minimum.accumulate(high)


def _rounded(values: np.ndarray) -> tuple[float, ...]:
    """To nine digits, which tell any two values of float32 apart: a thousand numbers in a file need not be written with seventeen."""
    return tuple(float(f"{value:.9g}") for value in values)
