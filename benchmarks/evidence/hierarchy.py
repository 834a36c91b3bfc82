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


def people_weights(first, second):
    """(1 + R, P) float32 weights of pairs of the people `first` and `second` (P,), the first row ones."""
    return np.stack([np.ones(len(first)), *metrics.subject_weights(first, second, REPLICATES)]).astype(np.float32)


def accuracies(pairs, score, weights):
    """(1 + R,) accuracy of scores (P,), each pair decided once as it stands; people are drawn among the decisions."""
    correct = metrics.kfold_verification(1 - score, pairs.same, pairs.folds).correct.astype(np.float32)
    return (weights @ correct) / weights.sum(1)


def rates(pairs, score, weights, far=0.01):
    """(1 + R,) TAR at FAR, the threshold found again in every replicate."""
    impostors, mated = (rows[np.argsort(-score[rows], kind="stable")] for rows in (np.flatnonzero(~pairs.same), np.flatnonzero(pairs.same)))
    allowed = far * (weights @ ~pairs.same)
    top = impostors[: int(8 * far * len(impostors)) + 2]
    if (weights[:, top].sum(1) <= allowed).any():
        top = impostors
    false, higher = np.cumsum(weights[:, top], axis=1), np.flatnonzero(np.append(np.diff(score[top]) != 0, True))
    false = false[:, higher]  # pairs of one score are accepted together
    refused = np.append(score[top][higher], -np.inf)[(false <= allowed[:, None]).sum(1)]  # the highest score that is too low
    accepted = np.searchsorted(-score[mated], -refused)
    least, most = accepted.min(), accepted.max()  # above `least` all replicates accept, so that only the rest needs running sums
    sure = np.isin(np.arange(len(score)), mated[:least])
    between = np.cumsum(np.pad(weights[:, mated[least:most]], ((0, 0), (1, 0))), axis=1)
    return (weights @ sure + np.take_along_axis(between, accepted[:, None] - least, 1)[:, 0]) / (weights @ pairs.same)
