"""The figures of pairs in folds: accuracy, VAL, EER; and of each group of people."""

from collections.abc import Iterator, Sequence
from typing import Literal

import numpy as np

from limen import metrics
from limen.protocols.intervals import Figure
from limen.protocols.result import Metric

VAL_FAR = 1e-3
GroupThreshold = Literal["global", "per_group"]
GROUP_THRESHOLDS = {
    "global": "global: one threshold for all groups, of the pairs of all of them",
    "per_group": "per_group: each group has its own, as in RFW's tables; no system can be set so",
}


def fold_numbers(folds: int | np.ndarray, usable: np.ndarray) -> np.ndarray:
    """The fold of each usable pair, from 0. Cut before anything is left out, so that a failure moves no other pair."""
    fold = folds if isinstance(folds, np.ndarray) else metrics.contiguous_folds(len(usable), folds)
    return np.unique(fold[usable], return_inverse=True)[1]


def accuracy_figures(distance: np.ndarray, score: np.ndarray, same: np.ndarray, fold: np.ndarray, asked: int) -> list[Figure]:
    """Of the usable pairs out of those `asked` for."""
    kfold = metrics.kfold_verification(distance, same, fold, VAL_FAR)
    return [
        Figure(Metric("accuracy", kfold.accuracy_mean), metrics.weighted_mean(kfold.correct), [np.ones(len(same), bool)]),
        Figure(Metric("accuracy", kfold.accuracy_std, variant=["std"])),
        Figure(Metric("threshold_cosine", 1 - kfold.thresholds.mean() / 2, "similarity")),
        _val(kfold, distance, same, fold),
        Figure(Metric("accuracy", kfold.correct.sum() / asked, variant=["with failures as errors"])),
        Figure(Metric("eer", metrics.eer(score[same], score[~same]).value), metrics.weighted_eer(score, same), [same, ~same]),
    ]


def _val(kfold: metrics.KFold, distance: np.ndarray, same: np.ndarray, fold: np.ndarray) -> Figure:
    """Unresolved where `VAL_FAR` allows less than one impostor of all."""
    if VAL_FAR * (~same).sum() < 1:
        return Figure(Metric("val", None, at={"far": VAL_FAR}, needed=round(1 / VAL_FAR)))
    events = (distance < kfold.val_thresholds[fold])[~same].sum()
    return Figure(
        Metric("val", kfold.val, at={"far": VAL_FAR}, events=int(events)), metrics.weighted_val(distance, same, fold, VAL_FAR), [same]
    )


def group_figures(
    group: np.ndarray,
    distance: np.ndarray,
    score: np.ndarray,
    same: np.ndarray,
    fold: np.ndarray | None,
    far: Sequence[float],
    threshold: GroupThreshold,
) -> list[Figure]:
    """Of each group (P,): its accuracy in the folds, and its FMR and FNMR where the FMR of all pairs, or its own, is each of `far`.

    With them RFW's numbers: mean and standard deviation (ddof 1) of the groups' accuracies, and the ratio of the highest to the lowest
    error rate. Rates at a threshold that the impostors cannot resolve are left out.
    """
    names, figures, accuracies = np.unique(group).tolist(), list[Figure](), []
    if fold is not None:
        correct = metrics.kfold_verification(distance, same, fold, VAL_FAR).correct
        for name in names:
            own = group == name
            if threshold == "per_group":
                renumbered = np.unique(fold[own], return_inverse=True)[1]
                correct[own] = metrics.kfold_verification(distance[own], same[own], renumbered, VAL_FAR).correct
            accuracies.append(float(correct[own].mean()))
            figures.append(Figure(Metric("accuracy", accuracies[-1], variant=[str(name)]), metrics.weighted_mean(correct, own), [own]))
        figures += _spread(np.array(accuracies))
    for name in names:
        own = group == name
        figures += _rates_of_group(str(name), own, score, same, own if threshold == "per_group" else np.ones(len(same), bool), far)
    return figures


def _spread(accuracies: np.ndarray) -> Iterator[Figure]:
    yield Figure(Metric("accuracy", accuracies.mean(), variant=["mean of groups"]))
    if len(accuracies) > 1:
        yield Figure(Metric("accuracy", accuracies.std(ddof=1), variant=["std of groups"]))
        least = 1 - accuracies.max()
        yield Figure(Metric("error_ratio", (1 - accuracies.min()) / least if least else None, "number"))


def _rates_of_group(
    name: str, own: np.ndarray, score: np.ndarray, same: np.ndarray, among: np.ndarray, far: Sequence[float]
) -> Iterator[Figure]:
    if not (among & ~same).any():
        return
    thresholds = metrics.threshold_at_fmr(score[among & ~same], far)
    for rate, threshold, resolved in zip(far, thresholds.threshold, thresholds.resolved, strict=True):
        for quantity, kind, wrong in (("fmr", own & ~same, score >= threshold), ("fnmr", own & same, score < threshold)):
            if resolved and kind.any():
                events = int(wrong[kind].sum()) if quantity == "fmr" else None
                value = float(wrong[kind].mean())
                metric = Metric(quantity, value, at={"far": rate}, variant=[name], events=events, threshold=float(threshold))
                yield Figure(metric, metrics.weighted_mean(wrong, kind), [kind])
