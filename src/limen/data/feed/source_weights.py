"""Shuffled batches in which some sources come more often than others."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from limen.data.feed.order import ORDER, BatchOrder


class WeightedSources(BatchOrder):
    """A batch order in which each image of a source of weight w comes w times an epoch: floor(w) times, and once more with chance w % 1.

    Of a source of n images round(w n) stand in an epoch, so `count` of `BatchOrder` is the sum of these; which ones come once more is drawn
    anew each epoch. With weights of 1 it visits what `BatchOrder` visits, in another order.

    Args:
        given: as of `BatchOrder`, from `count` on.
        bounds: (S + 1,) where the sources begin and end.
        weights: S numbers above 0.
    """

    def __init__(self, *given: Any, bounds: Sequence[int] | np.ndarray, weights: Sequence[float]) -> None:
        super().__init__(*given)
        self.bounds, self.weights = np.asarray(bounds), list(weights)

    def permutation(self, epoch: int) -> np.ndarray:
        rng = np.random.default_rng((ORDER, self.seed, epoch))
        chosen = []
        for first, last, weight in zip(self.bounds[:-1], self.bounds[1:], self.weights, strict=True):
            images = np.arange(first, last)
            times, rest = divmod(round(weight * len(images)), len(images))
            chosen += [images] * times + [rng.permutation(images)[:rest]]
        return rng.permutation(np.concatenate(chosen))
