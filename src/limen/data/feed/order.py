"""Which images stand in which batch."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from limen.errors import LimenError
from limen.parts import Part

ORDER, AUGMENTATION, DRAW = 1, 2, 3  # keep the streams of one seed apart


class BatchPlan(NamedTuple):
    """One rank's share of the batch of one step: `indices` (B,) int64 into the source."""

    step: int
    epoch: int
    rank: int
    indices: np.ndarray


class BatchOrder(Part):
    """The plans of the steps `step` to `total_steps`: each epoch a new permutation, its last incomplete batch left out.

    A plan depends on the seed and its step alone, so a run that starts at any step sees what an uninterrupted one would have
    seen; the ranks of a step hold the global batch between them.

    Args:
        count: images in the source.
        batch_size: images in a step, of all ranks together.
        seed: epoch e is permuted by numpy's default_rng((ORDER, seed, e)).
        total_steps, start_step: the steps to make, and how many of them are done.
        rank, world_size: which of the processes this is, and how many there are.
        gather: every rank's tensor, stacked or concatenated in the order of ranks; for orders that learn from what is observed.

    Raises:
        LimenError: `batch_size` is no multiple of `world_size`, or larger than `count`.

    >>> from limen.data import BatchOrder
    >>> order = BatchOrder(count=10, batch_size=4, seed=0, total_steps=4)
    >>> len(list(order))
    4
    """

    def __init__(
        self,
        count: int,
        batch_size: int,
        seed: int,
        total_steps: int,
        start_step: int = 0,
        rank: int = 0,
        world_size: int = 1,
        gather: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        if batch_size % world_size:
            raise LimenError(
                f"batch_size: {batch_size} images cannot be shared by {world_size} processes; choose a multiple of {world_size}, "
                "or as many processes as divide it"
            )
        if not 0 < batch_size <= count:
            raise LimenError(f"batch_size: {batch_size} images cannot be drawn from {count}; choose from 1 to {count}")
        self.count = count
        self.batch_size = batch_size
        self.seed = seed
        self.total_steps = total_steps
        self.step = start_step
        """How many steps are done."""
        self.rank = rank
        self.world_size = world_size
        self.gather = gather
        self.steps_per_epoch = count // batch_size

    def __len__(self) -> int:
        return max(0, self.total_steps - self.step)

    def __iter__(self) -> Iterator[BatchPlan]:
        share = self.batch_size // self.world_size
        permuted_epoch = None
        for step in range(self.step, self.total_steps):
            epoch, step_of_epoch = divmod(step, self.steps_per_epoch)
            if epoch != permuted_epoch:
                permutation = self.permutation(epoch)
                permuted_epoch = epoch
            start = step_of_epoch * self.batch_size + self.rank * share
            yield BatchPlan(step, epoch, self.rank, permutation[start : start + share])

    def permutation(self, epoch: int) -> np.ndarray:
        """(count,) int64: the images of an epoch in their order."""
        return np.random.default_rng((ORDER, self.seed, epoch)).permutation(self.count)

    def observe(
        self,
        indices: Tensor,
        correct: Tensor,
        target_cosine: Tensor,
        unreadable: Sequence[int] = (),
        nearest: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        """Takes this rank's outcome of the next step; every rank calls it for every step.

        Args:
            indices: (b,) int64 into the source.
            correct: (b,) bool, target_cosine > nearest_negative, which is among the active classes where a class sampler chooses them.
            target_cosine: (b,), before any margin.
            unreadable: the images of the step, of all ranks, that could not be read.
            nearest: the nearest other class (b,) int64 and the cosine to its centre (b,); None where nobody asks who it is.
        """
        self.step += 1

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values, the same on every rank and for every number of ranks, which all have to call it."""
        return {"step": self.step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on after the step of `state`."""
        self.step = state["step"]
