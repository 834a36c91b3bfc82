"""The class centres: one learnable direction per identity, split over the ranks where there are several."""

import torch
from torch import Tensor, nn

from limen.heads.collectives import Group

DRAWN_TOGETHER = 16384  # rows that share a seed


class ClassCenters(nn.Module):
    """`weight` (C, D), drawn from N(0, .01) as the papers' releases do; only directions matter to the loss.

    With a `group` each rank holds the rows `first` to `last` of the C in all: ceil(C / ranks) of them, and the last ranks what is left.
    The same state of torch's generator draws the same centres, however many ranks hold them.

    `dtype` bfloat16 halves their memory; products and updates are computed in float32 whatever it is.

    >>> from limen.heads import ClassCenters
    >>> ClassCenters(10, 16).weight.shape
    torch.Size([10, 16])
    """

    def __init__(self, num_classes: int, embedding_size: int, group: Group | None = None, dtype: torch.dtype = torch.float32):
        super().__init__()
        self.num_classes, self.group = num_classes, group
        rank, ranks = (0, 1) if group is None else (group.rank, group.size)
        share = -(-num_classes // ranks)
        self.first, self.last = min(rank * share, num_classes), min((rank + 1) * share, num_classes)
        self.weight = nn.Parameter(torch.empty(self.last - self.first, embedding_size, dtype=dtype))
        self.draw()

    @torch.no_grad()
    def draw(self) -> None:
        """Draws every centre anew."""
        seed = int(torch.randint(2**62, ()))
        for start in range(self.first // DRAWN_TOGETHER * DRAWN_TOGETHER, self.last, DRAWN_TOGETHER):
            generator = torch.Generator().manual_seed(seed + start // DRAWN_TOGETHER)
            end = min(start + DRAWN_TOGETHER, self.num_classes)
            rows = torch.empty(end - start, self.weight.shape[1]).normal_(std=0.01, generator=generator)
            low, high = max(start, self.first), min(end, self.last)
            self.weight[low - self.first : high - self.first] = rows[low - start : high - start]

    def check(self, labels: Tensor) -> None:
        """Raises ValueError for a label outside [0, C). On an accelerator the look would stall the step: readers check labels there."""
        if labels.device.type == "cpu" and len(labels) and (labels.min() < 0 or labels.max() >= self.num_classes):
            outside = labels[(labels < 0) | (labels >= self.num_classes)][0].item()
            raise ValueError(f"label {outside} is outside [0, {self.num_classes}); remap labels to 0..C-1 or raise num_classes")

    def rows_of(self, labels: Tensor) -> Tensor:
        """The rows of `weight` that hold these classes, -1 for those of other ranks."""
        return torch.where((labels >= self.first) & (labels < self.last), labels - self.first, -1)

    def extra_repr(self) -> str:
        return f"{self.num_classes} classes, rows {self.first} to {self.last}, {self.weight.dtype}"
