"""The layers that make the embedding, which bfloat16 would round too coarsely."""

import torch
from torch import nn


class LastLayers(nn.Sequential):
    """A Sequential that computes in float32 under autocast too.

    The sums of its linear layer are long, and the margin works on angles of a hundredth: bfloat16 has three digits.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not torch.is_autocast_enabled(x.device.type):
            return super().forward(x)
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.float())
