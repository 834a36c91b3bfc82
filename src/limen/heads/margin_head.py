"""The training head: class centres, a margin, and the loss of one batch."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from limen.functional import margin_softmax
from limen.heads.centers import ClassCenters
from limen.margins import Margin

IMPLEMENTATIONS = ("auto", "dense", "chunked")


class HeadOutput(NamedTuple):
    """What one batch gives. All but `loss` and `regulariser` are (B,); the last three carry no gradient."""

    loss: Tensor  # () mean of loss_per_sample, plus the regulariser
    loss_per_sample: Tensor
    regulariser: Tensor  # (), 0 for most margins
    target_cosine: Tensor  # CR-FIQA's CCS
    nearest_negative: Tensor  # CR-FIQA's NNCCS, over all classes
    nearest_negative_index: Tensor


class MarginHead(nn.Module):
    """Margin softmax over class centres: the cross-entropy of the row s * cos_ij whose target entry is s * margin(cos_iy).

    loss_i = logaddexp(L_i, t_i) - t_i, t_i = s * margin(cos_iy, |z_i|, y_i), L_i = logsumexp_{j != y} s * cos_ij.

    Args:
        num_classes, embedding_size: C and D; `centers.weight` is (C, D), drawn from N(0, .01).
        margin: any `limen.margins.Margin`.
        scale: s; a margin with a row scale of its own (SphereFace with scale="norm") replaces it.
        implementation: "dense" keeps the (B, C) block, "chunked" never does, "auto" chooses by size.
    """

    def __init__(self, num_classes: int, embedding_size: int, margin: Margin, scale: float = 64.0, implementation: str = "auto"):
        super().__init__()
        if implementation not in IMPLEMENTATIONS:
            raise ValueError(f"implementation={implementation!r} is not one of {', '.join(map(repr, IMPLEMENTATIONS))}")
        self.centers = ClassCenters(num_classes, embedding_size)
        self.margin = margin
        self.scale = scale
        self.implementation = implementation

    def forward(self, features: Tensor, labels: Tensor) -> HeadOutput:
        """Features (B, D) raw and labels (B,) int64 to a `HeadOutput`. Raises ValueError for a label outside [0, C)."""
        self.centers.check(labels)
        features = features.to(torch.promote_types(features.dtype, torch.float32))
        norm = features.norm(dim=1)
        row_scale = self.margin.row_scale(norm)
        scale = self.scale if row_scale is None else row_scale
        target_cosine, negatives, nearest, nearest_index = margin_softmax(
            features, self.centers.weight, labels, scale, self.margin.gate, self.implementation
        )
        target = scale * self.margin(target_cosine, norm, labels)
        loss_per_sample = torch.logaddexp(negatives, target) - target
        extra = self.margin.regulariser(norm)
        regulariser = loss_per_sample.new_zeros(()) if extra is None else extra
        return HeadOutput(
            loss_per_sample.mean() + regulariser, loss_per_sample, regulariser, target_cosine.detach(), nearest, nearest_index
        )
