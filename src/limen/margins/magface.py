"""MagFace (Meng et al., CVPR 2021): the margin grows with the feature norm, and a regulariser rewards large norms."""

from torch import Tensor

from limen.functional import add_angle
from limen.margins.base import Margin


class MagFace(Margin):
    """psi = cos(theta + m(a)), a = |z| clipped to `norm_range`, m(a) linear over it from m_range[0] to m_range[1] (radians).

    The loss gains strength * mean(g(a)) with g(a) = a / norm_range[1]^2 + 1 / a, over the batch. Norms keep their gradient in both.
    """

    def __init__(self, m_range: tuple[float, float] = (0.45, 0.8), norm_range: tuple[float, float] = (10.0, 110.0), strength: float = 35.0):
        super().__init__()
        self.m_range, self.norm_range, self.strength = tuple(m_range), tuple(norm_range), strength

    def forward(self, target_cosine: Tensor, norm: Tensor, label: Tensor) -> Tensor:
        (low_m, high_m), (low, high) = self.m_range, self.norm_range
        return add_angle(target_cosine, low_m + (norm.clamp(low, high) - low) * (high_m - low_m) / (high - low))

    def regulariser(self, norm: Tensor) -> Tensor:
        a = norm.clamp(*self.norm_range)
        return self.strength * (a / self.norm_range[1] ** 2 + 1 / a).mean()
