"""Arrays in, numbers out: the figures that a protocol reports. numpy only; wrong arrays raise ValueError."""

from limen.metrics.bootstrap import (
    Interval,
    Statistic,
    bootstrap_interval,
    subject_weights,
    weighted_eer,
    weighted_mean,
    weighted_tar_at_far,
)
from limen.metrics.roc import EqualErrorRate, Roc, eer, impostor_events, roc_curve, tar_at_far, thin_roc
from limen.metrics.verification import KFold, contiguous_folds, kfold_verification

__all__ = [
    "EqualErrorRate",
    "Interval",
    "KFold",
    "Roc",
    "Statistic",
    "bootstrap_interval",
    "contiguous_folds",
    "eer",
    "impostor_events",
    "kfold_verification",
    "roc_curve",
    "subject_weights",
    "tar_at_far",
    "thin_roc",
    "weighted_eer",
    "weighted_mean",
    "weighted_tar_at_far",
]
