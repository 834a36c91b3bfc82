"""What the pass over the class centres gives, defined by the slow lines it equals."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

Gate = Callable[[Tensor], tuple[Tensor, Tensor]]  # target cosine (B,) -> threshold (B,), shift ()

NO_DIRECTION = 1e-12  # a feature or centre shorter than this has cosine 0 and no gradient, for there is no direction to turn


class MarginSoftmax(NamedTuple):
    """What a margin loss needs from the centres; every field is (B,) but the last two, (B, hardest)."""

    target_cosine: Tensor  # cos(z_i, W_y); 0 where the label is -1
    negative_logsumexp: Tensor  # L_i = logsumexp_{j != y} scale_i * gated(cos_ij); -inf without negatives
    nearest_negative: Tensor  # max_{j != y} cos_ij before the gate, without gradient
    nearest_negative_index: Tensor  # its row of the centres, int64
    hardest_negative: Tensor  # the largest cos_ij above the target cosine, best first; -inf where there are fewer; without gradient
    hardest_negative_index: Tensor  # their rows, -1 where there are fewer


def margin_softmax_naive(
    features: Tensor, centers: Tensor, labels: Tensor, scale: Tensor | float, gate: Gate | None = None, hardest: int = 0
) -> MarginSoftmax:
    """The definition of `margin_softmax`, written plainly over the whole (B, C) matrix; for tests and for reading.

    >>> import torch
    >>> from limen.functional import margin_softmax_naive
    >>> found = margin_softmax_naive(torch.tensor([[2.0, 0.0]]), torch.eye(2), torch.tensor([0]), scale=64.0)
    >>> found.target_cosine, found.nearest_negative, found.nearest_negative_index
    (tensor([1.]), tensor([0.]), tensor([1]))
    """
    cosine = torch.nn.functional.normalize(features) @ torch.nn.functional.normalize(centers).T  # (B, C)
    target = torch.zeros_like(cosine, dtype=torch.bool)
    rows = (labels >= 0).nonzero().flatten()
    target[rows, labels[rows]] = True
    target_cosine = torch.where(target, cosine, 0).sum(1)
    negatives = cosine
    if gate is not None:
        threshold, shift = gate(target_cosine.detach())
        negatives = torch.where(cosine > threshold[:, None], cosine * (shift + cosine), cosine)
    row_scale = torch.as_tensor(scale, dtype=cosine.dtype).expand(len(features))
    logits = (row_scale[:, None] * negatives).masked_fill(target, -torch.inf)
    nearest = cosine.detach().masked_fill(target, -torch.inf).max(1)
    above = cosine.detach().masked_fill(target | (cosine <= target_cosine[:, None]), -torch.inf).topk(hardest)
    above_index = torch.where(above.values > -torch.inf, above.indices, -1)
    return MarginSoftmax(target_cosine, logits.logsumexp(1), nearest.values, nearest.indices, above.values, above_index)


def direction_of(vectors: Tensor, length: Tensor) -> Tensor:
    """`vectors` (n, D) of `length` (n, 1), made of length one; 0 for those without a direction."""
    return (vectors / length.clamp_min(NO_DIRECTION)).masked_fill(length < NO_DIRECTION, 0)


def gated(x: Tensor, scale: Tensor, threshold: Tensor | None, shift: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Logits x (B, n) after the gate, and the gate's slope; `x` itself and None without a gate."""
    if threshold is None or shift is None:
        return x, None
    s = scale[:, None]
    above = x > threshold[:, None] * s
    return torch.where(above, x * (shift + x / s), x), torch.where(above, shift + 2 * x / s, 1.0)


def absent(dtype: torch.dtype) -> float:
    """The logit of a class that is not there: its exponential is exactly 0, and no arithmetic on it overflows."""
    return torch.finfo(dtype).min / 4
