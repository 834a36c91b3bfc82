"""Partial FC (An et al., 2021): the classes of the batch and random others."""

import torch
from torch import Tensor

from limen.heads.centers import ClassCenters
from limen.heads.samplers.base import ClassSampler, check_share, filled_at_random, own_rows, step_generator, subset_size


class PartialFC(ClassSampler):
    """The classes of the batch and random others up to a share `rate` of each shard.

    A shard of C centres gives ceil(rate * C) rows, or more if the batch alone has more classes there. Every set of others is equally
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
        generator = step_generator(1, self.seed, int(self.step), centers)
        self.step += 1
        own = own_rows(labels, centers)
        size = max(subset_size(self.rate, centers), len(own))
        self.counts = {"own_classes": len(own), "active_classes": size}
        return filled_at_random(own, size, len(centers.weight), generator)

    def extra_repr(self) -> str:
        return f"rate={self.rate}, seed={self.seed}"
