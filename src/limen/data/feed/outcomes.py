"""What became of the images of a period."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor


class Outcomes:
    """The outcomes of all ranks, in the order of the global batches whatever the number of ranks.

    They stay on the ranks' devices until they are gathered: once a period, and at a checkpoint.
    """

    def __init__(self, world_size: int, gather: Callable[[Tensor], Tensor] | None) -> None:
        self.world_size, self.gather = world_size, gather
        self._waiting: list[tuple[Tensor, Tensor, Tensor]] = []  # this rank's, one entry a step
        self._gathered = np.empty((0, 3), np.int64)

    def add(self, indices: Tensor, correct: Tensor, cosine: Tensor) -> None:
        """This rank's outcome of a step: (b,) each."""
        self._waiting.append((indices, correct, cosine.detach()))

    def state(self) -> np.ndarray:
        """(n, 3) int64: index, whether correct, and the bits of the cosine. Every rank calls it."""
        if self._waiting:
            indices, correct, cosine = (torch.stack(parts) for parts in zip(*self._waiting, strict=True))  # each (steps, b)
            bits = cosine.float().view(torch.int32).long()
            mine = torch.stack((indices.to(cosine.device), correct.to(cosine.device).long(), bits), dim=2)  # one tensor travels once
            ranks = mine if self.gather is None else self.gather(mine)
            steps = ranks.reshape(self.world_size, *mine.shape).transpose(0, 1)
            self.load(np.concatenate((self._gathered, steps.reshape(-1, 3).cpu().numpy())))
        return self._gathered

    def load(self, state: np.ndarray) -> None:
        self._waiting, self._gathered = [], state

    def take(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Indices int64, correct bool and cosine float32, (n,) each, which are then forgotten. Every rank calls it.

        Left out is what has a cosine that is not finite: it says nothing of its image, and would spoil the median of all.
        """
        state = self.state()
        cosine = state[:, 2].astype(np.int32).view(np.float32)
        self.load(np.empty((0, 3), np.int64))
        known = np.isfinite(cosine)
        return state[known, 0], state[known, 1].astype(bool), cosine[known]
