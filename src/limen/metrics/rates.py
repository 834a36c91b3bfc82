"""How many events a rate allows, and the score below which everything is refused."""

import math
from collections.abc import Sequence

import numpy as np


def allowed_events(count: int, rate: np.ndarray | Sequence[float]) -> np.ndarray:
    """(F,) the largest whole k with k / count <= rate; count * rate itself may round to either side of a whole number."""
    near = np.floor(np.asarray(rate, float) * count)[..., None] + [-1, 0, 1]
    return np.where((near >= 0) & (near <= count) & (near / count <= np.asarray(rate)[..., None]), near, 0).max(-1).astype(int)


def trials_needed(rate: float) -> int:
    """The fewest trials of which the rate, above 0, allows one event."""
    return math.ceil(1 / rate - 1e-9)  # 1 / rate may round to above a whole number


def refused_scores(impostor: np.ndarray, rate: np.ndarray | Sequence[float], count: int | None = None) -> np.ndarray:
    """(F,) the highest score to refuse so that the share of impostors above it does not exceed the rate; minus infinity to refuse none.

    In the scores' precision. Costs one partition, no sort. Of `count` impostors those given are the highest.
    """
    place = len(impostor) - 1 - allowed_events(len(impostor) if count is None else count, rate)  # in rising order
    if count is not None and len(impostor) < count and (place < 0).any():
        raise ValueError(f"{len(impostor)} of {count} scores are too few of the highest for a rate of {max(rate):g}; give more")
    parted = np.partition(impostor, np.unique(place.clip(0)))
    return np.where(place >= 0, parted[place.clip(0)], impostor.dtype.type(-np.inf))


def lowest_above(refused: np.ndarray) -> np.ndarray:
    """The lowest threshold in the scores' precision that refuses `refused`; minus infinity where nothing is refused."""
    refused = np.asarray(refused)
    return np.where(np.isneginf(refused), refused, np.nextafter(refused, refused.dtype.type(np.inf))).astype(float)


def checked_scores(score: np.ndarray) -> np.ndarray:
    """(N,) floats. Raises ValueError for NaN, and where there is none."""
    score = np.asarray(score)
    if score.dtype not in (np.float32, np.float64):
        score = score.astype(np.float64)
    if score.ndim != 1 or not len(score):
        raise ValueError(f"scores must be a vector that is not empty, not {score.shape}")
    if missing := int(np.isnan(score).sum()):
        raise ValueError(f"{missing} of {len(score)} scores are NaN: count failures to acquire and leave them out, or give them -inf")
    return score


def checked_rates(rate: Sequence[float] | np.ndarray | float) -> np.ndarray:
    """(F,) floats. Raises ValueError for a rate outside 0 to 1."""
    rates = np.atleast_1d(np.asarray(rate, float))
    if rates.ndim != 1 or not ((rates >= 0) & (rates <= 1)).all():
        raise ValueError(f"rates must lie between 0 and 1, not {rate}")
    return rates


def checked_ranks(ranks: Sequence[int]) -> np.ndarray:
    """(K,) whole numbers. Raises ValueError for others, and for a rank below 1."""
    checked = np.atleast_1d(np.asarray(ranks))
    if checked.dtype.kind not in "iu" or not (checked > 0).all() or not checked.size:
        raise ValueError(f"ranks must be whole numbers from 1, not {ranks}")
    return checked
