"""The table of images whose labels are believed wrong."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from limen.parts import People
from limen.tables import write_csv


class Suspects(NamedTuple):
    """Images believed mislabelled, the surest first: all (k,) but `noise_share`."""

    indices: np.ndarray
    scores: np.ndarray
    """Mean cosine to the own class centre, in units of the median image's."""
    weights: np.ndarray
    looks: np.ndarray
    noise_share: float
    """k / images that were looked at: the estimated share of wrong labels."""

    def write(self, path: Path, source: People) -> None:
        """A CSV: index, file (`source.locate`), person (the name of its label), score, weight, looks."""
        rows = (
            [index, source.locate(index), source.class_names[source.labels[index]], f"{score:.4f}", f"{weight:.4g}", looks]
            for index, score, weight, looks in zip(self.indices.tolist(), self.scores, self.weights, self.looks, strict=True)
        )
        write_csv(path, ["index", "file", "person", "score", "weight", "looks"], rows)
