"""NormFace (Wang et al., ACM MM 2017): the scaled cosine softmax without a margin."""

from torch import Tensor

from limen.margins.base import Margin


class NormFace(Margin):
    """psi = cos(theta)."""

    def forward(self, target_cosine: Tensor, norm: Tensor, label: Tensor) -> Tensor:
        return target_cosine
