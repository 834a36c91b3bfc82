"""MagFace (Meng et al., CVPR 2021): the margin grows with the feature norm, and a regulariser rewards large norms."""

import torch
from torch import Tensor

from limen.functional import add_angle
from limen.margins.base import GRADIENTS, PAST_PEAK, STRAIGHT, Margin, check_choice, margined


class MagFace(Margin):
    """psi = cos(theta + m(a)), a = |z| clipped to `norm_range`, m(a) linear over it from m_range[0] to m_range[1] (radians).

    The loss gains strength * mean(g(a)) with g(a) = a / norm_range[1]^2 + 1 / a, over the batch. Norms keep their gradient in both.

    Args:
        easy_margin: no margin, psi = cos(theta), where cos(theta) <= 0. This is the release's default. Ours is the paper's equation, which
            has the margin at every angle: with the release's, psi jumps at a right angle, and features beyond it cost less than those
            just before it.
        gradient: as ArcFace's, of the cosine; norms keep theirs.
        past_peak: as ArcFace's, with the sample's own m(a).

    >>> import torch
    >>> from limen.margins import MagFace
    >>> cosine, label = torch.tensor([0.7, 0.7]), torch.tensor([0, 1])
    >>> MagFace()(cosine, torch.tensor([10.0, 110.0]), label)  # angles of 0.45 and 0.8
    tensor([ 0.3197, -0.0246])
    """

    in_training = STRAIGHT

    def __init__(
        self,
        m_range: tuple[float, float] = (0.45, 0.8),
        norm_range: tuple[float, float] = (10.0, 110.0),
        strength: float = 35.0,
        easy_margin: bool = False,
        past_peak: str = "paper",
        gradient: str = "exact",
    ):
        super().__init__()
        self.m_range, self.norm_range, self.strength = tuple(m_range), tuple(norm_range), strength
        self.easy_margin = easy_margin
        self.past_peak = check_choice("past_peak", past_peak, PAST_PEAK)
        self.gradient = check_choice("gradient", gradient, GRADIENTS)

    def forward(self, target_cosine: Tensor, norm: Tensor, label: Tensor) -> Tensor:
        (low_m, high_m), (low, high) = self.m_range, self.norm_range
        angle = low_m + (norm.clamp(low, high) - low) * (high_m - low_m) / (high - low)

        def psi(cosine: Tensor) -> Tensor:
            turned = add_angle(cosine, angle, self.past_peak)
            return torch.where(cosine > 0, turned, cosine) if self.easy_margin else turned

        return margined(psi, target_cosine, self.gradient)

    def regulariser(self, norm: Tensor) -> Tensor:
        a = norm.clamp(*self.norm_range)
        return self.strength * (a / self.norm_range[1] ** 2 + 1 / a).mean()
