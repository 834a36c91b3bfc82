"""The table of images whose labels are believed wrong."""

import csv
from pathlib import Path
from typing import NamedTuple

import numpy as np

from limen.files import atomic_write
from limen.parts import People


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

        def write(temporary: Path) -> None:
            with open(temporary, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
                table = csv.writer(file)
                table.writerow(["index", "file", "person", "score", "weight", "looks"])
                for index, score, weight, looks in zip(self.indices.tolist(), self.scores, self.weights, self.looks, strict=True):
                    person = source.class_names[source.labels[index]]
                    table.writerow([index, source.locate(index), person, f"{score:.4f}", f"{weight:.4g}", looks])

        atomic_write(path, write)
