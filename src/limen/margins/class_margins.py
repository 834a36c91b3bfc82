"""Margins learnt per class beside the sizes of their classes (Liu et al., CVPR 2019: small classes should settle at large margins)."""

import math
from pathlib import Path

import numpy as np
from torch import Tensor

from limen.parts import Surroundings
from limen.tables import write_csv

COMPARED = 65536  # classes at most, evenly spaced, that a logged correlation is of


def statistics(margins: Tensor, around: Surroundings) -> dict[str, float]:
    """Mean of the class margins and their rank correlation with the classes' numbers of images.

    `margins` are those of this process's classes; all processes call it. The correlation is left out where it is undefined: all classes of
    one size, or all margins equal.
    """
    from scipy.stats import spearmanr  # here: a second of loading that other margins need not wait for

    step = -(-len(around.class_sizes) // COMPARED)
    found, images = _gathered(margins, step, around), around.class_sizes[::step]
    statistics = {"class_margin": float(found.mean())}
    if np.ptp(found) > 0 and np.ptp(images) > 0:
        correlation = float(spearmanr(images, found).statistic)
        statistics |= {} if math.isnan(correlation) else {"margin_size_correlation": correlation}
    return statistics


def whole(margins: Tensor, around: Surroundings) -> np.ndarray:
    """(C,) the margins of all classes, of which each process has a part; all processes call it."""
    return _gathered(margins, 1, around)


def write_table(path: Path, margins: np.ndarray, around: Surroundings) -> None:
    """A CSV of name, images and margin of every class, in the order of the labels."""
    rows = zip(around.people.class_names, around.class_sizes.tolist(), (f"{margin:.6f}" for margin in margins), strict=True)
    write_csv(path, ["name", "images", "margin"], rows)


def _gathered(margins: Tensor, step: int, around: Surroundings) -> np.ndarray:
    """The margins of the classes 0, step, 2 step, ... of all processes."""
    first = -around.first_class % step
    return around.gather(margins.detach()[first::step].clamp(0, 1).float().cpu().numpy())
