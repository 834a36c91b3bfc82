"""Finding out what a quality score means. A file apart from Calibration, so that loading a model need not wait for scikit-learn."""

import math

import numpy as np
from sklearn.isotonic import IsotonicRegression

from limen.errors import LimenError
from limen.metrics import roc_curve
from limen.metrics.roc import last_within
from limen.quality.calibration import QUANTILES, Calibration

GROUPS, PAIRS_IN_A_GROUP = 100, 30  # as many groups of mated pairs as there may be, and as few pairs in one


def fit_calibration(
    measure: str,
    reference: str,
    quality: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    cosine: np.ndarray,
    mated: np.ndarray,
    fmr: float,
) -> Calibration:
    """The calibration of a measure on pairs of images that neither it nor the recogniser was trained on.

    The threshold is the lowest at which the false match rate does not exceed `fmr`. The quality of a pair is that of its worse image.
    The mated pairs are put in order of it and cut into at most 100 groups of at least 30; the expected FNMR is the isotonic regression
    of the groups' shares of non-matches on their mean qualities: the falling curve with the least squared error.

    Args:
        measure, reference: names, see Calibration.
        quality: (N,) score of each image; NaN for a failure to acquire, whose pairs are left out.
        first, second: (P,) numbers of the images of each pair.
        cosine: (P,) similarity; NaN for a pair to be left out.
        mated: (P,) bool.

    Raises:
        LimenError: no mated pairs, or too few non-mated ones for `fmr`.
    """
    pair_quality = np.minimum(quality[first], quality[second])
    usable = ~np.isnan(pair_quality + cosine)
    pair_quality, cosine, mated = pair_quality[usable], cosine[usable], np.asarray(mated, bool)[usable]
    non_mated = int((~mated).sum())
    if not mated.any():
        raise LimenError(f"{reference}: has no mated pair that can be used; calibrate on pairs that hold both kinds")
    if not 0 < fmr < 1:
        raise LimenError(f"fmr: {fmr:g} must lie between 0 and 1")
    if fmr * non_mated < 1:
        needed = math.ceil(1 / fmr)
        raise LimenError(
            f"{reference}: an FMR of {fmr:g} needs {needed} non-mated pairs and there are {non_mated}; use more, or raise --fmr"
        )
    roc = roc_curve(cosine, mated)
    threshold = float(roc.threshold[last_within(roc.far, [fmr])[0]])
    if math.isinf(threshold):
        raise LimenError(f"{reference}: more non-mated pairs than an FMR of {fmr:g} allows share the highest similarity; raise --fmr")

    order = np.argsort(pair_quality[mated], kind="stable")
    worse, rejected = pair_quality[mated][order], (cosine[mated] < threshold)[order]
    groups = np.array_split(np.arange(len(worse)), max(1, min(GROUPS, len(worse) // PAIRS_IN_A_GROUP)))
    means, shares, sizes = (
        np.array([f(group) for group in groups]) for f in (lambda g: worse[g].mean(), lambda g: rejected[g].mean(), len)
    )
    curve = IsotonicRegression(increasing=False).fit(means, shares, sample_weight=sizes)
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
        false_matches=int((cosine[~mated] >= threshold).sum()),
        knots=_rounded(curve.X_thresholds_),
        fnmr=_rounded(curve.y_thresholds_),
    )


def _rounded(values: np.ndarray) -> tuple[float, ...]:
    """To seven digits, what float32 holds: a thousand numbers in a model file need not be written with seventeen."""
    return tuple(float(f"{value:.7g}") for value in values)
