"""SphereFace (Liu et al., CVPR 2017): a multiplicative angular margin."""

import torch
from torch import Tensor

from limen.functional import multiply_angle
from limen.margins.base import Margin, check_choice


class SphereFace(Margin):
    """psi = (-1)^k cos(m * theta) - 2k, k = floor(m * theta / pi): the piecewise monotonic extension of cos(m * theta).

    Args:
        m: factor of the angle, at least 1.
        scale: "head" multiplies cosines by the head's scale (30 is usual), "norm" by the sample's own |z| as in the paper.
    """

    def __init__(self, m: float = 1.7, scale: str = "head"):
        super().__init__()
        self.m = m
        self.scale = check_choice("scale", scale, ("head", "norm"))

    def forward(self, target_cosine: Tensor, norm: Tensor, label: Tensor) -> Tensor:
        return multiply_angle(target_cosine, self.m)

    def row_scale(self, norm: Tensor) -> Tensor | None:
        return norm.clamp_min(torch.finfo(norm.dtype).tiny) if self.scale == "norm" else None  # a cosine is a logit over its scale
