"""True accept rates at false accept rates: each with its interval, its threshold, and the false matches that the threshold rests on."""

from collections.abc import Sequence
from typing import Literal

import numpy as np

from limen import metrics
from limen.protocols.intervals import Bootstrap, with_threshold_intervals
from limen.protocols.result import Metric

Lookup = Literal["conservative", "nearest"]
LOOKUPS = {
    "conservative": "conservative: the FAR is not exceeded; found again in every bootstrap replicate",
    "nearest": "nearest: the point of the curve whose FAR is nearest, which may exceed it, as in published IJB tables; no intervals",
}


def tar_metrics(
    score: np.ndarray,
    same: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    far: Sequence[float],
    bootstrap: Bootstrap,
    lookup: Lookup = "conservative",
) -> list[Metric]:
    """The TAR at each rate, of scores (P,) in which minus infinity is a failure to acquire: it counts, and is never accepted.

    A rate below one of all impostors is unresolved, and says how many it takes. `first`, `second` (P,) are the subjects of the pairs.
    """
    thresholds = metrics.threshold_at_fmr(score[~same], far, first[~same], second[~same], bootstrap.level)
    tar = metrics.tar_at_far(score, same, far, lookup)
    if lookup == "nearest":
        return [Metric("tar", value, at={"far": rate}, variant=["nearest"]) for rate, value in zip(far, tar, strict=True)]
    found = [
        Metric("tar", value, at={"far": rate}, events=int(events), threshold=float(threshold))
        if resolved
        else Metric("tar", None, at={"far": rate}, needed=int(needed))
        for rate, value, events, threshold, resolved, needed in zip(
            far, tar, thresholds.false_matches, thresholds.threshold, thresholds.resolved, thresholds.needed, strict=True
        )
    ]
    told = np.flatnonzero(thresholds.resolved)
    if not len(told):
        return found
    rates = [far[number] for number in told]
    drawn = metrics.tar_at_far_interval(score, same, first, second, rates, bootstrap.replicates, bootstrap.level, bootstrap.seed)
    return with_threshold_intervals(found, told, drawn, thresholds, bootstrap.level, first, second, [same])
