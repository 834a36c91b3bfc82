"""Two models, or one before and after a change, on the same pairs."""

from dataclasses import dataclass

import numpy as np

from limen import metrics
from limen.errors import LimenError
from limen.protocols.accuracy import fold_numbers
from limen.protocols.pair_scores import PairScores, check_both_kinds
from limen.protocols.verification import Verification


@dataclass(frozen=True)
class AccuracyChange:
    """`after - before` of the k-fold accuracy lies in low..high, people drawn alike for both; `cosine` is the mean change of a pair's."""

    pairs: int
    before: float
    after: float
    low: float
    high: float
    cosine: float

    def __str__(self) -> str:
        change, interval = self.after - self.before, f"{self.low:+.4f} to {self.high:+.4f}"
        return f"accuracy {self.before:.4f} before, {self.after:.4f} after: {change:+.4f} ({interval}, paired), {self.pairs} pairs"


def accuracy_change(protocol: Verification, before: PairScores, after: PairScores) -> AccuracyChange:
    """The paired difference of two `protocol.score`. Pairs that failed in either are left out of both."""
    pairs = protocol.pair_set
    usable = ~np.isnan(before.distance) & ~np.isnan(after.distance)
    same, folds = pairs.same[usable], pairs.folds if protocol.folds is None else protocol.folds
    check_both_kinds(pairs.name, same)
    if folds is None:
        raise LimenError(f"{pairs.name}: it has no folds, and so no accuracy; compare its TAR@FAR")
    fold = fold_numbers(folds, usable)
    judged = [metrics.kfold_verification(scores.distance[usable], same, fold) for scores in (before, after)]
    first, second = (metrics.weighted_mean(one.correct) for one in judged)
    people = pairs.subject[pairs.first[usable]], pairs.subject[pairs.second[usable]]
    interval = metrics.bootstrap_interval(
        lambda weight: second(weight) - first(weight), *people, protocol.replicates, protocol.level, protocol.seed
    )
    return AccuracyChange(
        pairs=len(same),
        before=judged[0].accuracy_mean,
        after=judged[1].accuracy_mean,
        low=float(interval.low[0]),
        high=float(interval.high[0]),
        cosine=float(abs(after.distance - before.distance)[usable].mean() / 2),
    )
