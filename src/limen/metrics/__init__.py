"""Arrays in, numbers out: the figures that a protocol reports. numpy only; wrong arrays raise ValueError."""

from limen.metrics.blufr import (
    BlufrTrial,
    blufr_identification,
    blufr_identification_trial,
    blufr_summary,
    blufr_verification,
    blufr_verification_trial,
)
from limen.metrics.bootstrap import (
    BootstrapInterval,
    Statistic,
    bootstrap_interval,
    percentile_interval,
    subject_weights,
    weighted_eer,
    weighted_mean,
    weighted_tar_at_far,
)
from limen.metrics.discard import (
    AUC_LIMIT,
    DiscardCurve,
    FnmrCurve,
    error_vs_discard,
    false_match_vs_discard,
    weighted_discard_areas,
)
from limen.metrics.identification import OpenSet, Search, mean_average_precision, open_set, rank_rates, search
from limen.metrics.image_pairs import ScoredPairs, all_pairs, non_mated_pairs
from limen.metrics.intervals import design_effect, proportion_interval
from limen.metrics.megaface import MegaFace, megaface_rank, megaface_rates, replace_noisy_probes
from limen.metrics.nearest import best_entries
from limen.metrics.pair_bootstrap import rate_interval, tar_at_far_interval
from limen.metrics.people_of_pairs import PeopleOfPairs
from limen.metrics.roc import EqualErrorRate, Roc, eer, impostor_events, roc_curve, tar_at_far, thin_roc
from limen.metrics.scores import pair_scores
from limen.metrics.templates import pool_templates, quality_weights
from limen.metrics.thresholds import Thresholds, fnmr_interval, threshold_at_fmr
from limen.metrics.verification import KFold, contiguous_folds, kfold_verification, weighted_val

__all__ = [
    "AUC_LIMIT",
    "BlufrTrial",
    "BootstrapInterval",
    "DiscardCurve",
    "EqualErrorRate",
    "FnmrCurve",
    "KFold",
    "MegaFace",
    "OpenSet",
    "PeopleOfPairs",
    "Roc",
    "ScoredPairs",
    "Search",
    "Statistic",
    "Thresholds",
    "all_pairs",
    "best_entries",
    "blufr_identification",
    "blufr_identification_trial",
    "blufr_summary",
    "blufr_verification",
    "blufr_verification_trial",
    "bootstrap_interval",
    "contiguous_folds",
    "design_effect",
    "eer",
    "error_vs_discard",
    "false_match_vs_discard",
    "fnmr_interval",
    "impostor_events",
    "kfold_verification",
    "mean_average_precision",
    "megaface_rank",
    "megaface_rates",
    "non_mated_pairs",
    "open_set",
    "pair_scores",
    "percentile_interval",
    "pool_templates",
    "proportion_interval",
    "quality_weights",
    "rank_rates",
    "rate_interval",
    "replace_noisy_probes",
    "roc_curve",
    "search",
    "subject_weights",
    "tar_at_far",
    "tar_at_far_interval",
    "thin_roc",
    "threshold_at_fmr",
    "weighted_discard_areas",
    "weighted_eer",
    "weighted_mean",
    "weighted_tar_at_far",
    "weighted_val",
]
