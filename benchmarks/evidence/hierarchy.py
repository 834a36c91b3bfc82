"""Intervals over people and seeds at once: what other people in the test and other seeds in training would give.

Each replicate draws the people of the test again with replacement (`limen.metrics.subject_weights`: a pair of two people weighs the
product of their counts) and the seeds of training again with replacement. Both sides of a difference get the same people and seeds: their
runs of one seed had the same first weights, batches and draws. The people to learn from are the same throughout: no interval speaks of
others.

With S = 5 seeds a plain bootstrap is too narrow: the mean of S drawn ones varies by sqrt((S - 1) / S) too little, and so few are not
normal. So what a replicate's seeds add is stretched by sqrt(S / (S - 1)) * t_{S-1} / z. Where people make no difference that is Student's
interval of S numbers, where seeds make none the percentile interval over people; between the two it is a little wide.
"""

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student

from limen import metrics

REPLICATES, LEVEL = 1000, 0.95


def stretch(seeds, level=LEVEL):
    """What a bootstrap mean of so many seeds is stretched by, about their mean."""
    tail = 0.5 + level / 2
    return np.sqrt(seeds / (seeds - 1)) * student.ppf(tail, seeds - 1) / norm.ppf(tail)


def interval(value, replicates, seed=0, level=LEVEL):
    """Mean, low and high of numbers (S,) whose replicates over people are (R, S): people and seeds drawn at once."""
    value, replicates = np.asarray(value, float), np.asarray(replicates, float)
    count = len(value)
    means = replicates.mean(1)
    drawn = np.random.default_rng(seed).integers(count, size=(len(replicates), count))
    spread = np.take_along_axis(replicates, drawn, axis=1).mean(1) - means
    low, high = np.quantile(means + stretch(count, level) * spread, [(1 - level) / 2, (1 + level) / 2])
    return float(value.mean()), float(low), float(high)


def people_weights(pairs, replicates=REPLICATES, seed=0):
    """(1 + R, P) float32 weights of the pairs, the first row ones."""
    subjects = pairs.subject[pairs.first], pairs.subject[pairs.second]
    drawn = list(metrics.subject_weights(*subjects, replicates, seed))
    return np.stack([np.ones(len(pairs)), *drawn]).astype(np.float32)


def accuracies(pairs, score, weights):
    """(1 + R,) accuracy of scores (P,), each pair decided once as it stands; people are drawn among the decisions."""
    correct = metrics.kfold_verification(1 - score, pairs.same, pairs.folds).correct.astype(np.float32)
    return (weights @ correct) / weights.sum(1)


def rates(pairs, score, weights, far=0.01):
    """(1 + R,) TAR at FAR, the threshold found again in every replicate."""
    order = np.argsort(-score, kind="stable")
    mated, weights = pairs.same[order], weights[:, order]
    ends = np.flatnonzero(np.append(np.diff(score[order]) != 0, True))  # pairs of one score are accepted together
    false, true = (np.cumsum(weights * group, axis=1, dtype=float)[:, ends] for group in (~mated, mated))
    accepted = (false <= far * false[:, -1:]).sum(1)
    found = np.take_along_axis(true, np.maximum(accepted - 1, 0)[:, None], 1)[:, 0]
    return np.where(accepted, found, 0) / true[:, -1]
