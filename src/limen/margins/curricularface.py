"""CurricularFace (Huang et al., CVPR 2020): ArcFace whose hard negatives weigh more as training proceeds."""

import torch
from torch import Tensor

from limen.functional import add_angle, sine
from limen.margins.base import GRADIENTS, PAST_PEAK, STRAIGHT, Margin, check_choice, margined, move_average


class CurricularFace(Margin):
    """psi, `gradient` and `past_peak` as ArcFace's; a negative with cos_j > cos(theta_y + m) becomes cos_j * (t + cos_j).

    `t` starts at 0 and is a moving average (weight .01) of the batch's mean target cosine. It moves in training only.

    >>> import torch
    >>> from limen.margins import CurricularFace
    >>> cosine, norm, label = torch.tensor([0.7, 0.0]), torch.tensor([20.0, 20.0]), torch.tensor([0, 1])
    >>> CurricularFace(m=0.5).eval()(cosine, norm, label)  # the own class is as ArcFace's
    tensor([ 0.2719, -0.4794])
    """

    in_training = STRAIGHT
    t: Tensor

    def __init__(self, m: float = 0.5, gradient: str = "exact", past_peak: str = "paper"):
        super().__init__()
        self.m = m
        self.past_peak = check_choice("past_peak", past_peak, PAST_PEAK)
        self.gradient = check_choice("gradient", gradient, GRADIENTS)
        self.register_buffer("t", torch.tensor(0.0))

    def forward(self, target_cosine: Tensor, norm: Tensor, label: Tensor) -> Tensor:
        return margined(lambda cosine: add_angle(cosine, self.m, self.past_peak), target_cosine, self.gradient)

    @torch.no_grad()
    def gate(self, target_cosine: Tensor) -> tuple[Tensor, Tensor]:  # type: ignore[override]
        """(threshold (B,), shift ()): called by the fused pass once a step, before the negatives are seen."""
        if self.training:
            move_average(self.t, target_cosine.mean(), 0.01)
        angle = torch.tensor(self.m, dtype=target_cosine.dtype)
        return target_cosine * angle.cos() - sine(target_cosine) * angle.sin(), self.t.to(target_cosine)
