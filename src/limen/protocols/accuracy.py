"""The figures of pairs in folds: accuracy, VAL, EER."""

import numpy as np

from limen import metrics
from limen.metrics.rates import trials_needed
from limen.protocols.intervals import Figure
from limen.protocols.result import Metric

VAL_FAR = 1e-3


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
        return Figure(Metric("val", None, at={"far": VAL_FAR}, needed=trials_needed(VAL_FAR)))
    events = (distance < kfold.val_thresholds[fold])[~same].sum()
    return Figure(
        Metric("val", kfold.val, at={"far": VAL_FAR}, events=int(events)), metrics.weighted_val(distance, same, fold, VAL_FAR), [same]
    )
