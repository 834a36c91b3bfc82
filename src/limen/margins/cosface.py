"""CosFace (Wang et al., CVPR 2018): an additive cosine margin."""

from torch import Tensor

from limen.margins.base import Margin


class CosFace(Margin):
    """psi = cos(theta) - m.

    >>> import torch
    >>> from limen.margins import CosFace
    >>> cosine, norm, label = torch.tensor([0.7, 0.0]), torch.tensor([20.0, 20.0]), torch.tensor([0, 1])
    >>> CosFace(m=0.35)(cosine, norm, label)
    tensor([ 0.3500, -0.3500])
    """

    def __init__(self, m: float = 0.35):
        super().__init__()
        self.m = m

    def forward(self, target_cosine: Tensor, norm: Tensor, label: Tensor) -> Tensor:
        return target_cosine - self.m
