"""ArcFace (Deng et al., CVPR 2019): an additive angular margin."""

from torch import Tensor

from limen.functional import add_angle
from limen.margins.base import GRADIENTS, PAST_PEAK, STRAIGHT, Margin, check_choice, margined


class ArcFace(Margin):
    """psi = cos(theta + m). m in radians.

    Args:
        gradient: "exact", or "straight_through", d psi / d cosine = 1, as insightface's training runs have it and limen's: under the exact
            one features may gather, or turn away from all centres (docs/explanation/collapse.md).
        past_peak: "paper" is cos(theta) - m sin(m) where theta + m passes pi. "keep" is cos(theta) - 2 sin(m / 2) past pi / 2 - m / 2,
            from where on the margin of the paper costs less and less, so that features opposite to all centres can be a minimum.

    >>> import torch
    >>> from limen.margins import ArcFace
    >>> cosine, norm, label = torch.tensor([0.7, 0.0]), torch.tensor([20.0, 20.0]), torch.tensor([0, 1])
    >>> ArcFace(m=0.5)(cosine, norm, label)  # cos(acos(0.7) + 0.5), cos(pi / 2 + 0.5)
    tensor([ 0.2719, -0.4794])
    """

    in_training = STRAIGHT

    def __init__(self, m: float = 0.5, gradient: str = "exact", past_peak: str = "paper"):
        super().__init__()
        self.m = m
        self.past_peak = check_choice("past_peak", past_peak, PAST_PEAK)
        self.gradient = check_choice("gradient", gradient, GRADIENTS)

    def forward(self, target_cosine: Tensor, norm: Tensor, label: Tensor) -> Tensor:
        return margined(lambda cosine: add_angle(cosine, self.m, self.past_peak), target_cosine, self.gradient)
