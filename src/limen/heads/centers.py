"""The class centres: one learnable direction per identity."""

import torch
from torch import Tensor, nn


class ClassCenters(nn.Module):
    """`weight` (C, D), drawn from N(0, .01) as the papers' releases do; only directions matter to the loss."""

    def __init__(self, num_classes: int, embedding_size: int):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(num_classes, embedding_size))
        nn.init.normal_(self.weight, std=0.01)

    def check(self, labels: Tensor) -> None:
        """Raises ValueError for a label outside [0, C). On an accelerator the look would stall the step: readers check labels there."""
        if labels.device.type == "cpu" and len(labels) and (labels.min() < 0 or labels.max() >= len(self.weight)):
            outside = labels[(labels < 0) | (labels >= len(self.weight))][0].item()
            raise ValueError(f"label {outside} is outside [0, {len(self.weight)}); remap labels to 0..C-1 or raise num_classes")
