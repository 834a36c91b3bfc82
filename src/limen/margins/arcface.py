"""ArcFace (Deng et al., CVPR 2019): an additive angular margin."""

from torch import Tensor

from limen.functional import add_angle
from limen.margins.base import GRADIENTS, Margin, check_choice, pass_gradient


class ArcFace(Margin):
    """psi = cos(theta + m), and cos(theta) - m sin(m) where theta + m passes pi. m in radians.

    gradient="straight_through" reproduces insightface's training runs.
    """

    def __init__(self, m: float = 0.5, gradient: str = "exact"):
        super().__init__()
        self.m = m
        self.gradient = check_choice("gradient", gradient, GRADIENTS)

    def forward(self, target_cosine: Tensor, norm: Tensor, label: Tensor) -> Tensor:
        return pass_gradient(add_angle(target_cosine, self.m), target_cosine, self.gradient)
