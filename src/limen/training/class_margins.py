"""AdaM-Softmax's margins beside the sizes of their classes (Liu et al., CVPR 2019: small classes should settle at large margins)."""

import csv
import math
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import spearmanr

from limen.files import atomic_write

if TYPE_CHECKING:
    from limen.training.run import Run

COMPARED = 65536  # classes at most, evenly spaced, that a logged correlation is of


def margin_statistics(run: "Run") -> dict[str, float]:
    """Mean of the class margins and their rank correlation with the classes' numbers of images; nothing for a margin without them.

    Every process calls it. The correlation is left out where it is undefined: all classes of one size, or all margins equal.
    """
    if "class_margin" not in run.margin.per_class:
        return {}
    step = -(-len(run.source.class_names) // COMPARED)
    margins, images = _margins(run, step), run.class_sizes[::step]
    statistics = {"class_margin": float(margins.mean())}
    if np.ptp(margins) > 0 and np.ptp(images) > 0:
        correlation = float(spearmanr(images, margins).statistic)
        statistics |= {} if math.isnan(correlation) else {"margin_size_correlation": correlation}
    return statistics


def write_class_margins(run: "Run", path: Path) -> None:
    """A CSV of name, images and margin of every class, in the order of the labels. Every process calls it, and the first writes."""
    if "class_margin" not in run.margin.per_class:
        return
    margins = _margins(run, 1)

    def write(temporary: Path) -> None:
        with open(temporary, "w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(["name", "images", "margin"])
            for name, images, margin in zip(run.source.class_names, run.class_sizes.tolist(), margins, strict=True):
                table.writerow([name, images, f"{margin:.6f}"])

    with run.processes.together():
        if run.processes.first:
            atomic_write(path, write)


def _margins(run: "Run", step: int) -> np.ndarray:
    """The margins of the classes 0, step, 2 step, ... of all processes."""
    first = -run.head.centers.first % step
    mine = run.margin.get_parameter("class_margin").detach()[first::step].clamp(0, 1).float().cpu().numpy()
    return np.concatenate(run.processes.gather(mine))
