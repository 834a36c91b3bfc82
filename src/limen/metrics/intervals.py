"""Intervals of a share that hold where it is 0 or 1 too, for trials that stand or fall together."""

import numpy as np
from scipy.special import betaincinv


def proportion_interval(
    errors: float | np.ndarray, trials: float | np.ndarray, design_effect: float = 1.0, level: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Clopper and Pearson's interval of errors / trials, both divided by the design effect.

    Korn and Graubard, "Confidence intervals for proportions with small expected number of positive counts", 1998.

    Args:
        errors, trials: (K,) or numbers; errors from 0 to trials.
        design_effect: how many trials say as much as one independent trial, see `design_effect`.

    Returns:
        low, high: (K,). Without errors low is 0, where all are errors high is 1.

    Raises:
        ValueError: no trials, more errors than trials, a design effect below 1, a level outside (0, 1).

    >>> from limen.metrics import proportion_interval
    >>> low, high = proportion_interval(0, 3000)
    >>> float(low), round(float(high), 5)
    (0.0, 0.00123)
    """
    errors, trials = np.asarray(errors, float), np.asarray(trials, float)
    if not ((errors >= 0) & (errors <= trials) & (trials > 0)).all():
        raise ValueError(f"errors={errors} must lie between 0 and trials={trials}, and there must be trials")
    if not (design_effect >= 1 and 0 < level < 1):
        raise ValueError(f"design_effect={design_effect} must be 1 or above, and level={level} between 0 and 1")
    wrong, count = errors / design_effect, trials / design_effect
    low = np.where(wrong > 0, betaincinv(wrong, count - wrong + 1, (1 - level) / 2), 0.0)
    high = np.where(wrong < count, betaincinv(wrong + 1, count - wrong, (1 + level) / 2), 1.0)
    return low, high


def design_effect(error: np.ndarray, person: np.ndarray) -> float:
    """The variance of the share of `error`, people being drawn, over the one that as many independent trials would have; 1 or above.

    Where all or none are errors it cannot be told. It is then what it is where the trials of a person always fall together.

    Args:
        error: (N,) bool, of each trial.
        person: (N,) whose trial it is: numbers or names.

    Raises:
        ValueError: arrays of different length, or empty ones.

    >>> import numpy as np
    >>> from limen.metrics import design_effect
    >>> error, person = np.array([1, 1, 0, 0, 0, 0, 0, 0]), np.array([0, 0, 1, 1, 2, 2, 3, 3])
    >>> bool(design_effect(error, person) > 1)  # both errors are one person's
    True
    """
    error = np.asarray(error, bool)
    if error.ndim != 1 or error.shape != np.shape(person) or not len(error):
        raise ValueError(f"error and person must be vectors of one length above 0, not {error.shape} and {np.shape(person)}")
    rate, number = error.mean(), np.unique(person, return_inverse=True)[1]
    if not 0 < rate < 1:
        trials = np.bincount(number)
        return float(trials @ trials) / len(error)
    of_people = np.bincount(number, error - rate)
    return max(1.0, float(of_people @ of_people) / (len(error) * rate * (1 - rate)))
