"""What Adaptive Data Sampling has learnt of every image: its weight, and whether its label is believed."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from limen.data.feed.outcomes import UNKNOWN
from limen.data.feed.suspects import Suspects
from limen.data.feed.weighted_draw import WeightTable


class ImageWeights:
    """Each outcome multiplies the weight of its image, 1 at first, by one factor and clips it to [floor, ceiling]:

        cosine < noise_level * median   noise_lowering   taken for mislabelled, whether it was classified correctly or not
        correctly classified            lowering
        misclassified                   raising

    `cosine` is that to the image's own class centre, `median` that of all outcomes of the period. An image that comes several times in a
    period is treated in the order of the steps.
    """

    def __init__(
        self, count: int, lowering: float, raising: float, noise_lowering: float, noise_level: float, floor: float, ceiling: float
    ) -> None:
        self.lowering, self.raising, self.noise_lowering, self.noise_level = lowering, raising, noise_lowering, noise_level
        self.floor, self.ceiling = floor, ceiling
        self.table = WeightTable(count)
        self.scores = np.zeros(count, np.float16)
        """Mean over an image's looks since the start of cosine / median of the period."""
        self.looks = np.zeros(count, np.uint8)
        """Looks since the start; 255 is many."""
        self.nearest = np.full(count, UNKNOWN, np.int32)
        """The class, other than an image's own, that came nearest to it in any look since the start; `UNKNOWN` where there was none."""
        self.nearest_cosines = np.full(count, -np.inf, np.float16)
        """The cosine to its centre in that look."""

    @property
    def values(self) -> np.ndarray:
        """(count,) float32: the weights."""
        return self.table.values

    def learn(self, indices: np.ndarray, correct: np.ndarray, cosine: np.ndarray, nearest: np.ndarray, nearest_cosine: np.ndarray) -> None:
        """From the outcomes (n,) of a period."""
        relative = cosine / max(float(np.median(cosine)), 1e-3)
        other = np.where(nearest_cosine < -1.5, -np.inf, nearest_cosine).astype(np.float16)  # no cosine: no class was compared
        factors = np.where(relative < self.noise_level, self.noise_lowering, np.where(correct, self.lowering, self.raising))
        for turn in turns(indices):
            images = indices[turn]
            self.looks[images] = np.minimum(self.looks[images], 254) + 1
            mean = self.scores[images].astype(np.float32)
            self.scores[images] = mean + (relative[turn] - mean) / self.looks[images]
            self.table.set(images, np.clip(self.values[images] * factors[turn], self.floor, self.ceiling))
            closer = turn[other[turn] > self.nearest_cosines[images]]
            self.nearest[indices[closer]], self.nearest_cosines[indices[closer]] = nearest[closer], other[closer]

    def send_to_floor(self, images: Sequence[int]) -> None:
        """Of images that could not be read: they have no outcome, and would keep their weight while that of all others falls."""
        if len(images):
            unique = np.unique(images)
            self.table.set(unique, np.full(len(unique), self.floor, np.float32))

    def suspects(self, min_looks: int = 2) -> Suspects:
        """The images believed mislabelled: score below `noise_level` after at least `min_looks` looks, the lowest score first.

        Outcomes of an unfinished last period are left out.
        """
        known = self.looks >= min_looks
        found = np.flatnonzero(known & (self.scores < self.noise_level))
        found = found[np.argsort(self.scores[found], kind="stable")]
        share = len(found) / max(1, int(known.sum()))
        return Suspects(
            found, self.scores[found], self.values[found], self.looks[found], share, self.nearest[found], self.nearest_cosines[found]
        )

    def histogram(self, bins: int = 10) -> tuple[np.ndarray, np.ndarray]:
        """(bins,) how many images have weights between neighbours of the (bins + 1,) edges, which divide [floor, ceiling] by ratio."""
        edges = np.geomspace(self.floor, self.ceiling, bins + 1)
        counts = np.zeros(bins, np.int64)
        for start in range(0, len(self.values), 1 << 20):
            between = np.searchsorted(edges[1:-1], self.values[start : start + (1 << 20)], side="right")
            counts += np.bincount(between, minlength=bins)
        return counts, edges

    def state_dict(self) -> dict[str, Any]:
        arrays = {"weights": self.values, "scores": self.scores, "looks": self.looks, "nearest": self.nearest}
        return {name: torch.from_numpy(value) for name, value in (arrays | {"nearest_cosines": self.nearest_cosines}).items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.table = WeightTable(len(self.values), state["weights"].numpy())
        self.scores, self.looks = state["scores"].numpy().copy(), state["looks"].numpy().copy()
        if "nearest" in state:  # a checkpoint of limen 0.1.0 has none
            self.nearest, self.nearest_cosines = state["nearest"].numpy().copy(), state["nearest_cosines"].numpy().copy()


def turns(indices: np.ndarray) -> Iterator[np.ndarray]:
    """Places in `indices` (n,): first those where a value comes for the first time, then for the second, and so on."""
    order = np.argsort(indices, kind="stable")
    ordered = indices[order]
    occurrence = np.arange(len(indices)) - np.searchsorted(ordered, ordered)
    for turn in range(int(occurrence.max(initial=-1)) + 1):
        yield order[occurrence == turn]
