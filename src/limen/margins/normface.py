"""NormFace (Wang et al., ACM MM 2017): the scaled cosine softmax without a margin."""

from torch import Tensor

from limen.margins.base import Margin


class NormFace(Margin):
    """psi = cos(theta).

    >>> import torch
    >>> from limen.margins import NormFace
    >>> cosine, norm, label = torch.tensor([0.7, 0.0]), torch.tensor([20.0, 20.0]), torch.tensor([0, 1])
    >>> NormFace()(cosine, norm, label)
    tensor([0.7000, 0.0000])
    """

    def forward(self, target_cosine: Tensor, norm: Tensor, label: Tensor) -> Tensor:
        return target_cosine
