"""What became of the images of a period."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

COLUMNS = 5
UNKNOWN = -1  # the nearest class, where none was compared


class Outcomes:
    """The outcomes of all ranks, in the order of the global batches whatever the number of ranks.

    They stay on the ranks' devices until they are gathered: once a period, and at a checkpoint.
    """

    def __init__(self, world_size: int, gather: Callable[[Tensor], Tensor] | None) -> None:
        self.world_size, self.gather = world_size, gather
        self._waiting: list[tuple[Tensor, ...]] = []  # this rank's, one entry a step
        self._gathered = np.empty((0, COLUMNS), np.int64)

    def add(self, indices: Tensor, correct: Tensor, cosine: Tensor, nearest: Tensor, nearest_cosine: Tensor) -> None:
        """This rank's outcome of a step: (b,) each."""
        self._waiting.append((indices, correct, cosine.detach(), nearest, nearest_cosine.detach()))

    def state(self) -> np.ndarray:
        """(n, 5) int64: index, whether correct, bits of the cosine, nearest class, bits of its cosine. Every rank calls it."""
        if self._waiting:
            parts = [torch.stack(part) for part in zip(*self._waiting, strict=True)]  # each (steps, b)
            device = parts[2].device
            numbers = [part.float().view(torch.int32) if part.is_floating_point() else part for part in parts]
            mine = torch.stack([part.to(device).long() for part in numbers], dim=2)  # one tensor travels once
            ranks = mine if self.gather is None else self.gather(mine)
            steps = ranks.reshape(self.world_size, *mine.shape).transpose(0, 1)
            self.load(np.concatenate((self._gathered, steps.reshape(-1, COLUMNS).cpu().numpy())))
        return self._gathered

    def load(self, state: np.ndarray) -> None:
        """Of `state`; one of limen 0.1.0 has three columns and knows no nearest class."""
        if state.shape[1] < COLUMNS:
            unknown = np.array([UNKNOWN, np.array(-np.inf, np.float32).view(np.int32)], np.int64)
            state = np.concatenate((state, np.tile(unknown, (len(state), 1))), 1)
        self._waiting, self._gathered = [], state

    def take(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Indices int64, correct bool, cosine float32, nearest int64 and its cosine float32, (n,) each, which are then forgotten.

        Every rank calls it.

        Left out is what has a cosine that is not finite: it says nothing of its image, and would spoil the median of all.
        """
        state = self.state()
        self.load(np.empty((0, COLUMNS), np.int64))
        state = state[np.isfinite(_cosines(state[:, 2]))]
        return state[:, 0], state[:, 1].astype(bool), _cosines(state[:, 2]), state[:, 3], _cosines(state[:, 4])


def _cosines(bits: np.ndarray) -> np.ndarray:
    return bits.astype(np.int32).view(np.float32)
