"""Verification by k folds, the protocol of LFW and of the pair files (`.bin`) that descend from it."""

from dataclasses import dataclass

import numpy as np

from limen.metrics.bootstrap import Statistic

ACCURACY_GRID = np.arange(0, 4, 0.01)
VAL_GRID = np.arange(0, 4, 0.001)


@dataclass(frozen=True)
class KFold:
    """What `kfold_verification` found; F folds, P pairs."""

    accuracy: np.ndarray  # (F,) share of right decisions in each fold
    thresholds: np.ndarray  # (F,) squared distance below which that fold was accepted
    val: float  # mean over the folds of the true accept rate at the false accept rate asked for
    val_std: float
    far: float  # mean over the folds of the false accept rate really reached
    val_thresholds: np.ndarray  # (F,)
    correct: np.ndarray  # (P,) bool: the decision behind `accuracy`, pair by pair

    @property
    def accuracy_mean(self) -> float:
        return float(self.accuracy.mean())

    @property
    def accuracy_std(self) -> float:
        """Population standard deviation over the folds (ddof 0)."""
        return float(self.accuracy.std())


def contiguous_folds(pairs: int, folds: int) -> np.ndarray:
    """(pairs,) fold number of every pair: contiguous blocks, the first `pairs % folds` one longer.

    >>> from limen.metrics import contiguous_folds
    >>> contiguous_folds(7, 3)
    array([0, 0, 0, 1, 1, 2, 2])
    """
    if not 2 <= folds <= pairs:
        raise ValueError(f"{pairs} pairs cannot be cut into {folds} folds: at least 2 folds, and a pair in each")
    return np.repeat(np.arange(folds), [len(block) for block in np.array_split(np.arange(pairs), folds)])


def kfold_verification(distance: np.ndarray, same: np.ndarray, folds: int | np.ndarray = 10, far: float = 1e-3) -> KFold:
    """Accuracy and VAL over folds, each fold judged at thresholds found on the others.

    Accuracy: the first t of 0, .01, .., 3.99 with the most right decisions on the other folds; accepted if `distance < t`.
    VAL: t where the false accept rate of the other folds, on the grid 0, .001, .., 3.999, crosses `far` by linear interpolation;
    where it is never reached, t = 0 and nothing is accepted. A fold without mated (non-mated) pairs has no VAL (FAR) and is left
    out of its mean.

    Args:
        distance: (P,) squared Euclidean distance of unit vectors, 0 to 4.
        same: (P,) bool, true for mated pairs.
        folds: number of contiguous blocks, or (P,) the fold number of every pair.

    Raises:
        ValueError: NaN among the distances, fewer pairs than folds, an empty fold.

    Huang et al., Labeled Faces in the Wild, 2007, section "View 2"; VAL: Schroff et al., FaceNet, 2015, section 4.

    >>> import numpy as np
    >>> from limen.metrics import kfold_verification
    >>> distance, same = np.array([0.5, 1.5] * 10), np.array([True, False] * 10)
    >>> float(kfold_verification(distance, same, folds=10).accuracy.mean())
    1.0
    """
    distance, same = np.asarray(distance), np.asarray(same, bool)
    if distance.ndim != 1 or distance.shape != same.shape:
        raise ValueError(f"distance and same must be vectors of one length, not {distance.shape} and {same.shape}")
    if missing := int(np.isnan(distance).sum()):
        raise ValueError(f"{missing} of {len(distance)} distances are NaN: leave failures to acquire out and count them")
    fold = contiguous_folds(len(distance), int(folds)) if np.ndim(folds) == 0 else np.asarray(folds)
    size = np.bincount(fold)
    if len(size) < 2 or not size.all():
        raise ValueError(f"every fold needs a pair, and there must be two folds; sizes are {size.tolist()}")

    impostors, mated = (_accepted(_cells(distance[kind], fold[kind], ACCURACY_GRID), len(size), ACCURACY_GRID) for kind in (~same, same))
    right = (mated + impostors[:, -1:] - impostors)[:, :-1]  # (F, T)
    best = (right.sum(0) - right).argmax(1)
    thresholds = ACCURACY_GRID[best]

    val_thresholds = _thresholds_at(far, _accepted(_cells(distance[~same], fold[~same], VAL_GRID), len(size), VAL_GRID))
    passed = distance < val_thresholds[fold]
    val, reached = _rate_per_fold(passed, same, fold, len(size)), _rate_per_fold(passed, ~same, fold, len(size))
    return KFold(
        accuracy=right[np.arange(len(size)), best] / size,
        thresholds=thresholds,
        val=_mean(val),
        val_std=float(val.std()) if len(val) else float("nan"),
        far=_mean(reached),
        val_thresholds=val_thresholds,
        correct=(distance < thresholds[fold]) == same,
    )


def weighted_val(distance: np.ndarray, same: np.ndarray, fold: np.ndarray, far: float) -> Statistic:
    """`kfold_verification(distance, same, fold, far).val`, the thresholds found again in every replicate."""
    folds = int(fold.max()) + 1
    impostors, mated = np.flatnonzero(~same), np.flatnonzero(same)
    cell, mated_fold, mated_distance = _cells(distance[impostors], fold[impostors], VAL_GRID), fold[mated], distance[mated]

    def statistic(weight: np.ndarray) -> np.ndarray:
        thresholds = _thresholds_at(far, _accepted(cell, folds, VAL_GRID, weight[impostors]))
        total = np.bincount(mated_fold, weight[mated], folds)
        hits = np.bincount(mated_fold, weight[mated] * (mated_distance < thresholds[mated_fold]), folds)
        return np.array([_mean(hits[total > 0] / total[total > 0])])

    return statistic


def _cells(distance: np.ndarray, fold: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """(P,) the cell of the fold's histogram in which each pair is: the first t of `grid` with `distance < t`, or the one behind it."""
    return fold * (len(grid) + 1) + np.searchsorted(grid, distance, side="right")


def _accepted(cell: np.ndarray, folds: int, grid: np.ndarray, weight: np.ndarray | None = None) -> np.ndarray:
    """(F, T + 1) number, or weight, of the pairs of a fold with `distance < t`, and of all: one histogram, one cumulative sum."""
    return np.bincount(cell, weight, folds * (len(grid) + 1)).reshape(folds, -1).cumsum(1)


def _thresholds_at(far: float, accepted: np.ndarray) -> np.ndarray:
    """(F,) threshold at which the other folds' share of impostors `accepted` (F, T + 1) reaches `far`, 0 where it never does."""
    others = accepted.sum(0) - accepted
    thresholds = np.zeros(len(accepted))
    for fold, (last, total) in enumerate(others[:, -2:]):
        if total > 0 and last / total >= far:
            thresholds[fold] = np.interp(far, others[fold, :-1] / total, VAL_GRID)
    return thresholds


def _rate_per_fold(passed: np.ndarray, group: np.ndarray, fold: np.ndarray, folds: int) -> np.ndarray:
    """Share of `group` that passed, for the folds that have any."""
    total = np.bincount(fold[group], minlength=folds)
    hits = np.bincount(fold[group & passed], minlength=folds)
    return hits[total > 0] / total[total > 0]


def _mean(rates: np.ndarray) -> float:
    return float(rates.mean()) if len(rates) else float("nan")
