"""The table of images whose labels are believed wrong."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from limen.parts import People
from limen.tables import write_csv

COLUMNS = ("index", "file", "person", "score", "weight", "looks", "nearest", "nearest_cosine")


class Suspects(NamedTuple):
    """Images believed mislabelled, the surest first: all (k,) but `noise_share`."""

    indices: np.ndarray
    scores: np.ndarray
    """Mean cosine to the own class centre, in units of the median image's."""
    weights: np.ndarray
    looks: np.ndarray
    noise_share: float
    """k / images that were looked at: the estimated share of wrong labels."""
    nearest: np.ndarray
    """The class, other than its own, that came nearest to the image in any look: who it may be. -1 where none is known."""
    nearest_cosines: np.ndarray
    """The cosine to its centre in that look."""

    def write(self, path: Path, source: People) -> None:
        """A CSV of `COLUMNS`: file is `source.locate`, person the name of the label, nearest that of the likely person."""
        numbers = (self.indices.tolist(), self.scores, self.weights, self.looks, self.nearest.tolist(), self.nearest_cosines)
        rows = (
            [
                index,
                source.locate(index),
                source.class_names[source.labels[index]],
                f"{score:.4f}",
                f"{weight:.4g}",
                looks,
                *(("", "") if other < 0 else (source.class_names[other], f"{other_score:.4f}")),
            ]
            for index, score, weight, looks, other, other_score in zip(*numbers, strict=True)
        )
        write_csv(path, COLUMNS, rows)
