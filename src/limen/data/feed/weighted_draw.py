"""Weights of up to 1e8 images, and draws in proportion to them."""

import numpy as np

BLOCK = 32
DRAWS_AT_ONCE = 1 << 15  # 8 MiB of weights as float64


class WeightTable:
    """`values` (count,) float32 in [.001, 1000]; 1 unless given.

    The sum of every block of 32 is kept too, so that n draws read n blocks and count / 32 sums instead of all the weights
    (torch.multinomial ends at 2^24 of them, and a cumulative sum over all would take 8 bytes for each). Sums are float64: those of a block
    are exact in that range, so a table made of `values` draws what the one they come from would.
    """

    def __init__(self, count: int, values: np.ndarray | None = None) -> None:
        self._blocks = np.zeros((-(-count // BLOCK), BLOCK), np.float32)
        self.values = self._blocks.reshape(-1)[:count]
        self.values[:] = 1 if values is None else values
        self._sums = self._blocks.sum(1, dtype=np.float64)

    def set(self, indices: np.ndarray, values: np.ndarray) -> None:
        """values[indices] = values, for distinct indices."""
        self.values[indices] = values
        changed = np.unique(indices // BLOCK)
        self._sums[changed] = self._blocks[changed].sum(1, dtype=np.float64)

    def draw(self, draws: int, rng: np.random.Generator) -> np.ndarray:
        """(draws,) int64 ascending: one index from each of `draws` equal shares of the total weight."""
        cumulative = np.cumsum(self._sums)
        drawn = np.empty(draws, np.int64)
        for start in range(0, draws, DRAWS_AT_ONCE):
            shares = np.arange(start, min(start + DRAWS_AT_ONCE, draws))
            points = (shares + rng.random(len(shares))) * (cumulative[-1] / draws)
            blocks = np.minimum(np.searchsorted(cumulative, points, side="right"), len(cumulative) - 1)
            rest = points - (cumulative[blocks] - self._sums[blocks])
            within = np.cumsum(self._blocks[blocks], axis=1, dtype=np.float64) <= rest[:, None]
            drawn[shares] = blocks * BLOCK + np.minimum(within.sum(1), BLOCK - 1)
        return np.minimum(drawn, len(self.values) - 1)  # a point rounded up beyond the last weight
