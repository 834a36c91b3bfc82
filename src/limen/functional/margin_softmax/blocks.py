"""The class centres that take part in a step, a block of them at a time, in the precision of the products."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from limen.functional.workspace import reusable_empty

Rows = slice | Tensor  # of the centres: a range, or numbers (n,) int64
Update = Callable[[Rows, Tensor, Tensor, Tensor], None]  # rows of the centres, values and gradient (n, D), whether to move () bool

KEPT_BYTES = {"cpu": 256 << 20}  # of exponentials that "auto" keeps for the backward pass
KEPT_BYTES_ELSEWHERE = 2 << 30
CPU_BLOCK = 4096  # classes: 2 MiB of logits at B = 128, which stay in the second-level cache of two cores
CPU_STRIP_BYTES = 1 << 20  # of a block's gradient, which is finished strip by strip while it is in the cache
GROUP = 64  # classes whose maximum is taken together; the last ones, if fewer, are a block of their own
SCRATCH_BYTES = 32 << 20  # of logits of the hardest negatives on other devices
BLOCKS_ELSEWHERE = ((256, 16896), (2047, 8448), (1 << 62, 4224))  # (batch up to, classes): multiples of 66 tiles of 128, for 132 processors


def block_size(batch: int, device_type: str) -> int:
    """Classes that are worked on together."""
    if device_type == "cpu":
        return CPU_BLOCK
    return next(classes for most, classes in BLOCKS_ELSEWHERE if batch <= most)


def strip_size(size: int, element_size: int, device_type: str, block: int) -> int:
    """Classes of a block of `block` whose gradient (n, size) is finished together."""
    return max(1, min(CPU_STRIP_BYTES // (element_size * size), block)) if device_type == "cpu" else block


def kept_classes(implementation: str, count: int, batch: int, element_size: int, device_type: str) -> int:
    """Of `count` classes, those whose exponentials stay for the backward pass. Raises ValueError for another implementation."""
    budget = KEPT_BYTES.get(device_type, KEPT_BYTES_ELSEWHERE) // (element_size * max(1, batch))
    kept = {"dense": count, "chunked": 0, "auto": min(count, budget)}.get(implementation)
    if kept is None:
        raise ValueError(f"implementation {implementation!r} is not one of 'dense', 'chunked', 'auto'")
    return kept


class CenterBlocks:
    """Positions count the classes that take part, 0 to `count`; rows count all centres. `position` (B,) is each sample's own, or -1.

    `ranges` lists the blocks' (first, last) positions. Nothing here waits for the device.
    """

    def __init__(self, centers: Tensor, labels: Tensor, active: Tensor | None, dtype: torch.dtype):
        self.centers, self.labels, self.active, self.dtype = centers, labels, active, dtype
        self.count = len(centers) if active is None else len(active)
        self.position = labels if active is None else torch.where(labels >= 0, torch.searchsorted(active, labels), -1)
        self.size = block_size(len(labels), centers.device.type)
        self.group = GROUP if self.size % GROUP == 0 else self.size
        self.whole = self.count // self.group * self.group  # classes in whole groups; the others are the last block
        self.ranges = [(first, min(first + self.size, self.whole)) for first in range(0, self.whole, self.size)]
        if self.whole < self.count:
            self.ranges.append((self.whole, self.count))
        self.width = min(self.size, self.count)  # of the largest block
        self.strip = strip_size(centers.shape[1], dtype.itemsize, centers.device.type, self.width)
        self.operands: Any = None  # of the pass in tiles
        self._fetched: Tensor | None = None  # memory of a block, where it is not the centres' own
        self._gradient: Tensor | None = None

    def own(self) -> Tensor:
        """(B, D) the centre of each sample's class; of no meaning where the label is -1."""
        if not len(self.centers):
            return torch.zeros(len(self.labels), self.centers.shape[1], dtype=self.dtype, device=self.centers.device)
        return self.centers[self.labels.clamp_min(0)].to(self.dtype)

    def selection(self, first: int, last: int) -> Rows:
        """The rows at the positions first to last."""
        return slice(first, last) if self.active is None else self.active[first:last]

    def rows(self, position: Tensor) -> Tensor:
        """The rows at these positions."""
        return position if self.active is None or not self.count else self.active[position]

    def values(self, position: Tensor) -> Tensor:
        """(*position.shape, D) the centres at these positions."""
        return self.centers[self.rows(position)].to(self.dtype)

    def fetch(self, first: int, last: int) -> Tensor:
        """(n, D) the centres at the positions first to last; they are the centres' own memory where that serves."""
        if self.active is None and self.centers.dtype == self.dtype:
            return self.centers[first:last]
        if self._fetched is None:
            self._fetched = self._scratch(self.width)
        block = self._fetched[: last - first]
        if self.active is None:
            return block.copy_(self.centers[first:last])
        if self.centers.dtype == self.dtype:
            return torch.index_select(self.centers, 0, self.active[first:last], out=block)
        return block.copy_(self.centers[self.active[first:last]])

    def home(self, position: Tensor) -> tuple[Tensor, Tensor]:
        """The first position and the width of the blocks in which these positions lie."""
        first = torch.where(position < self.whole, position // self.size * self.size, self.whole)
        end = torch.where(position < self.whole, (first + self.size).clamp_max(self.whole), self.count)
        return first, end - first

    def put_own(self, x: Tensor, first: int, value: Tensor) -> None:
        """Writes `value` (B, 1) where a sample's own class stands in the block x (B, n) that starts at `first`."""
        column = (self.position - first)[:, None]
        inside = (column >= 0) & (column < x.shape[1])
        column = column.clamp(0, x.shape[1] - 1)
        x.scatter_(1, column, torch.where(inside, value, x.gather(1, column)))

    def new_gradient(self) -> Tensor:
        """(C, D) to be filled block by block; zero for centres that take no part."""
        gradient = reusable_empty(tuple(self.centers.shape), self.centers.new_empty(0, dtype=self.dtype))
        return gradient if self.active is None else gradient.zero_()

    def gradient_of(self, first: int, last: int, whole: Tensor | None) -> Tensor:
        """(n, D) memory for the gradient of a strip: its place in the `whole` where that has one."""
        if whole is not None and self.active is None:
            return whole[first:last]
        if self._gradient is None:
            self._gradient = self._scratch(self.strip)
        return self._gradient[: last - first]

    def put(self, first: int, last: int, gradient: Tensor, whole: Tensor | None) -> None:
        """The gradient of a strip into its place, where it is not there already."""
        if whole is not None and self.active is not None:
            whole[self.active[first:last]] = gradient

    def _scratch(self, rows: int) -> Tensor:
        return torch.empty(rows, self.centers.shape[1], dtype=self.dtype, device=self.centers.device)


def part(buffer: Tensor, rows: int, first: int, width: int) -> Tensor:
    """The contiguous (rows, width) part of a flat buffer that starts at class `first`."""
    return buffer[first * rows : (first + width) * rows].view(rows, width)
