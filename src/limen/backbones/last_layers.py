"""The layers that make the embedding, which bfloat16 would round too coarsely."""

import torch
from torch import nn


class LastLayers(nn.Sequential):
    """A Sequential that computes in float32 under autocast too.

    The sums of its linear layer are long, and the margin works on angles of a hundredth: bfloat16 has three digits.
    """

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kind = x.device.type
        if not torch.amp.autocast_mode.is_autocast_available(kind) or not torch.is_autocast_enabled(kind):
            return super().forward(x)
        with torch.autocast(kind, enabled=False):
            return super().forward(x.float())
