"""SphereFace (Liu et al., CVPR 2017): a multiplicative angular margin."""

import torch
from torch import Tensor

from limen.functional import multiply_angle
from limen.margins.base import GRADIENTS, PAST_PEAK, STRAIGHT, Margin, check_choice, margined


class SphereFace(Margin):
    """psi = (-1)^k cos(m * theta) - 2k, k = floor(m * theta / pi): the piecewise monotonic extension of cos(m * theta).

    Args:
        m: factor of the angle, at least 1.
        past_peak: "paper" is psi as above. "keep" is cos(theta) - c past the first angle where psi costs most (c; 85 degrees for m=1.7):
            from there on the margin of the paper costs less for a while, so that features turned away from all centres can be a minimum.
        gradient: as ArcFace's.
        scale: "head" multiplies cosines by the head's scale (30 is usual), "norm" by the sample's own |z| as in the paper.

    >>> import torch
    >>> from limen.margins import SphereFace
    >>> cosine, norm, label = torch.tensor([0.7, 0.0]), torch.tensor([20.0, 20.0]), torch.tensor([0, 1])
    >>> SphereFace(m=1.7)(cosine, norm, label)  # cos(1.7 acos(0.7)), cos(1.7 pi / 2)
    tensor([ 0.2169, -0.8910])
    """

    in_training = STRAIGHT

    def __init__(self, m: float = 1.7, scale: str = "head", past_peak: str = "paper", gradient: str = "exact"):
        super().__init__()
        self.m = m
        self.past_peak = check_choice("past_peak", past_peak, PAST_PEAK)
        self.gradient = check_choice("gradient", gradient, GRADIENTS)
        self.scale = check_choice("scale", scale, ("head", "norm"))

    def forward(self, target_cosine: Tensor, norm: Tensor, label: Tensor) -> Tensor:
        return margined(lambda cosine: multiply_angle(cosine, self.m, self.past_peak), target_cosine, self.gradient)

    def row_scale(self, norm: Tensor) -> Tensor | None:
        return norm.clamp_min(torch.finfo(norm.dtype).tiny) if self.scale == "norm" else None  # a cosine is a logit over its scale
