"""CosFace (Wang et al., CVPR 2018): an additive cosine margin."""

from torch import Tensor

from limen.margins.base import Margin


class CosFace(Margin):
    """psi = cos(theta) - m."""

    def __init__(self, m: float = 0.35):
        super().__init__()
        self.m = m

    def forward(self, target_cosine: Tensor, norm: Tensor, label: Tensor) -> Tensor:
        return target_cosine - self.m
