"""Partial FC (An et al., 2021): the classes of the batch and random others."""

import torch
from torch import Tensor

from limen.heads.centers import ClassCenters
from limen.heads.samplers.base import OWN, ClassSampler, check_share, random_keys, smallest, step_generator, subset_size


class PartialFC(ClassSampler):
    """The classes of the batch and random others up to a share `rate` of each shard.

    A shard of C centres gives ceil(rate * C) rows, or as many as the batch has samples where these are more. Every set of others is equally
    likely. Draws depend on `seed`, the rank and the step, and leave torch's global generator alone.

    >>> import torch
    >>> from limen.heads import ClassCenters, PartialFC
    >>> chosen = PartialFC(rate=0.1).select(torch.tensor([3, 7]), ClassCenters(100, 16))
    >>> len(chosen), {3, 7} <= set(chosen.tolist())
    (10, True)
    """

    def __init__(self, rate: float = 0.1, seed: int = 0):
        super().__init__()
        self.rate = self.share = check_share("rate", rate)
        self.seed = seed

    @torch.no_grad()
    def select(self, labels: Tensor, centers: ClassCenters) -> Tensor:
        keys = random_keys(labels, centers, step_generator(1, self.seed, self.begin_step(), centers))
        size = subset_size(self.rate, centers, len(labels))
        self.counts = {"own_classes": (keys[:-1] == OWN).sum(), "active_classes": size}
        return smallest(keys, size)

    def extra_repr(self) -> str:
        return f"rate={self.rate}, seed={self.seed}"
