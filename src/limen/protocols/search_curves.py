"""What a search found, as curves: within how many entries the person of a probe is, and the errors of the open set by threshold."""

import numpy as np

from limen import metrics
from limen.protocols.result import Curve

CMC_RANKS = 50


def search_curves(name: str, found: metrics.Search, entries: int, open_rank: int | None) -> list[Curve]:
    """The "cmc" of the gallery `name` of so many entries and, where the set is open, its "det": FPIR, FNIR, threshold, false positives.

    `open_rank` is within how many entries a mate counts in the open set; None is a closed one. Without a stranger's probe that can be
    used there is no "det".
    """
    ranks = range(1, min(CMC_RANKS, entries) + 1)
    curves = [Curve("cmc", {"rank": list(ranks), "rate": found.rank_rates(ranks).tolist()}, of=name)]
    if open_rank is not None:
        score, mated = found.open_set_scores(open_rank)
        if np.isfinite(score[~mated]).any():
            thin = metrics.thin_roc(score, mated)
            events = np.rint(thin.far * (~mated).sum()).astype(int)
            points = {"fpir": thin.far, "fnir": 1 - thin.tar, "threshold": thin.threshold, "false_positives": events}
            curves.append(Curve("det", {axis: values.tolist() for axis, values in points.items()}, of=name))
    return curves
