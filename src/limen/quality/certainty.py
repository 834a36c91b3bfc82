"""CR-FIQA (Boutros et al., CVPR 2023): quality learned from how sure the class centres are of an image."""

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

EPSILON = 1e-9
RELEASED_FLOOR = -1e-12


@torch.no_grad()
def certainty_ratio(target_cosine: Tensor, nearest_negative: Tensor, ratio: Literal["paper", "released"] = "paper") -> Tensor:
    """The target of the quality head, (B,), without gradient: how much nearer an image lies to its own centre than to the nearest other.

    "paper": target / (nearest + 1 + 1e-9), equation 4; mostly from 0 to 1, larger where every other centre points away.
    "released": target / max(nearest, -1e-12), as the published weights were trained; with few classes, where all negatives of an image
    can be below 0, it reaches -1e12.

    Args:
        target_cosine: (B,) cosine to the own centre: CCS, `HeadOutput.target_cosine`.
        nearest_negative: (B,) largest cosine to another centre: NNCCS, `HeadOutput.nearest_negative`.

    Raises:
        ValueError: another ratio.

    >>> import torch
    >>> from limen.quality import certainty_ratio
    >>> certainty_ratio(torch.tensor([0.8, 0.3]), torch.tensor([0.0, 0.5]))  # a sure image, a doubtful one
    tensor([0.8000, 0.2000])
    """
    if ratio == "paper":
        # In this order 1e-9 survives in float32 where the nearest is -1; the clamp is for a cosine that rounding took below -1.
        return target_cosine / ((nearest_negative.clamp_min(-1) + 1) + EPSILON)
    if ratio == "released":
        return target_cosine / nearest_negative.clamp_min(RELEASED_FLOOR)
    raise ValueError(f'ratio={ratio!r} is unknown: "paper" or "released"')


class QualityHead(nn.Linear):
    """q = weight @ z + bias of the raw, un-normalised feature z: (B, D) -> (B,); `weight` (1, D), `bias` (1). Higher is better.

    >>> import torch
    >>> from limen.quality import QualityHead
    >>> QualityHead(16)(torch.randn(4, 16)).shape
    torch.Size([4])
    """

    def __init__(self, embedding_size: int):
        super().__init__(embedding_size, 1)

    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features).squeeze(-1)


def quality_loss(predicted: Tensor, ratio_target: Tensor, beta: float = 0.5) -> Tensor:
    """Mean over (B,) of d^2 / (2 beta) where d = |predicted - ratio_target| < beta, and of d - beta / 2 elsewhere.

    CR-FIQA adds it to the margin's loss with weight 10.

    >>> import torch
    >>> from limen.quality import quality_loss
    >>> quality_loss(torch.tensor([0.5, 2.0]), torch.tensor([0.5, 1.0]))  # (0 + (1 - 0.25)) / 2
    tensor(0.3750)
    """
    return functional.smooth_l1_loss(predicted, ratio_target, beta=beta)
