"""The class centres that take part in a step, a block of them at a time, in the precision of the products."""

from collections.abc import Callable

import torch
from torch import Tensor

from limen.functional.workspace import reusable_empty

Rows = slice | Tensor  # of the centres: a range, or numbers (n,) int64
Update = Callable[[Rows, Tensor, Tensor], None]  # rows of the centres, their values and their gradient (n, D)

KEPT_BYTES = {"cpu": 256 << 20}  # of logits that "auto" keeps for the backward pass
KEPT_BYTES_ELSEWHERE = 2 << 30
CPU_BLOCK = 4096  # classes: 2 MiB of logits at B = 128, which stay in the second-level cache of two cores
GROUP = 64  # classes whose maximum is taken together; the last ones, if fewer, are a block of their own
SCRATCH_BYTES = 32 << 20  # a block of logits and its copy on other devices


class CenterBlocks:
    """Positions count the classes that take part, 0 to `count`; rows count all centres. `position` (B,) is each sample's own, or -1.

    `ranges` lists (first, last, samples): a range of positions, and the samples of the batch whose own class lies in it.
    """

    def __init__(self, centers: Tensor, labels: Tensor, active: Tensor | None, dtype: torch.dtype):
        self.centers, self.labels, self.active, self.dtype = centers, labels, active, dtype
        self.count = len(centers) if active is None else len(active)
        self.position = labels if active is None else torch.where(labels >= 0, torch.searchsorted(active, labels), -1)
        size = CPU_BLOCK
        if centers.device.type != "cpu":
            size = max(CPU_BLOCK, SCRATCH_BYTES // (dtype.itemsize * max(1, len(labels))))
        self.width = min(size, self.count)  # of the largest block
        whole_groups = self.count // GROUP * GROUP
        edges = sorted({*range(0, self.count, size), whole_groups, self.count})
        self.edges = torch.tensor(edges, device=labels.device)
        ordered, order = self.position.sort()
        bounds = torch.searchsorted(ordered, self.edges).tolist()  # the one transfer to the host
        self.ranges = [(edges[k], edges[k + 1], order[bounds[k] : bounds[k + 1]]) for k in range(len(edges) - 1)]
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

    def fetch(self, first: int, last: int) -> Tensor:
        """(n, D) the centres at the positions first to last; they are the centres' own memory where that serves."""
        if self.active is None and self.centers.dtype == self.dtype:
            return self.centers[first:last]
        if self._fetched is None:
            self._fetched = self._scratch()
        block = self._fetched[: last - first]
        if self.active is None:
            return block.copy_(self.centers[first:last])
        if self.centers.dtype == self.dtype:
            return torch.index_select(self.centers, 0, self.active[first:last], out=block)
        return block.copy_(self.centers[self.active[first:last]])

    def finish_logits(self, x: Tensor, inverse_norm: Tensor, samples: Tensor, first: int) -> None:
        """s * u_i W_j to s * cos_ij, the samples' own classes marked absent."""
        x.mul_(inverse_norm)
        x[samples, self.position[samples] - first] = absent(x.dtype)

    def logits_at(self, sample: Tensor, column: Tensor, logits: Tensor, kept: int, scaled: Tensor, inverse_norm: Tensor) -> Tensor:
        """(n, k) s * cos of samples (n,) and positions `column` (n, k): out of the logits, or computed where not all are kept."""
        if kept < self.count:
            chosen = self.centers[self.rows(column)].to(self.dtype)  # (n, k, D)
            return torch.einsum("nd,nkd->nk", scaled[sample], chosen) * inverse_norm[column]
        block = torch.searchsorted(self.edges, column, right=True) - 1
        start = self.edges[block]  # of the block, which is stored as (B, its width)
        width = self.edges[block + 1] - start
        return logits[start * len(scaled) + sample[:, None] * width + column - start]

    def group_ranges(self, groups: list[int]) -> tuple[Tensor, Tensor]:
        """First position and number of classes of every group, given how many groups each block was cut into."""
        first, width = [], []
        for (start, end, _), count in zip(self.ranges, groups, strict=True):
            size = (end - start) // count
            first.append(torch.arange(start, end, size))
            width.append(torch.full((count,), size))
        return torch.cat(first).to(self.labels.device), torch.cat(width).to(self.labels.device)

    def new_gradient(self) -> Tensor:
        """(C, D) to be filled block by block; zero for centres that take no part."""
        gradient = reusable_empty(tuple(self.centers.shape), self.centers.new_empty(0, dtype=self.dtype))
        return gradient if self.active is None else gradient.zero_()

    def gradient_of(self, first: int, last: int, whole: Tensor | None) -> Tensor:
        """(n, D) memory for the gradient of a block: its place in the `whole` where that has one."""
        if whole is not None and self.active is None:
            return whole[first:last]
        if self._gradient is None:
            self._gradient = self._scratch()
        return self._gradient[: last - first]

    def put(self, first: int, last: int, gradient: Tensor, whole: Tensor | None) -> None:
        """The gradient of a block into its place, where it is not there already."""
        if whole is not None and self.active is not None:
            whole[self.active[first:last]] = gradient

    def _scratch(self) -> Tensor:
        return torch.empty(self.width, self.centers.shape[1], dtype=self.dtype, device=self.centers.device)


def part(buffer: Tensor, rows: int, first: int, width: int) -> Tensor:
    """The contiguous (rows, width) part of a flat buffer that starts at class `first`."""
    return buffer[first * rows : (first + width) * rows].view(rows, width)


def absent(dtype: torch.dtype) -> float:
    """The logit of a class that is not there: its exponential is exactly 0, and no arithmetic on it overflows."""
    return torch.finfo(dtype).min / 4
