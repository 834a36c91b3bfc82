"""The training head: class centres, a margin, and the loss of one batch."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from limen.functional import MarginSoftmax, margin_softmax
from limen.functional.margin_softmax.blocks import Update
from limen.heads.centers import ClassCenters
from limen.heads.collectives import Group, add_parts, gather_rows, logsumexp_over_ranks, to_parts
from limen.heads.samplers.base import ClassSampler
from limen.margins import Margin

IMPLEMENTATIONS = ("auto", "dense", "chunked")
PRECISIONS = ("float32", "tf32", "bf16")


class HeadOutput(NamedTuple):
    """What one batch gives. All but `loss` and `regulariser` are (B,), of this rank's samples; the last three carry no gradient.

    >>> import torch
    >>> from limen import MarginHead, margins
    >>> head = MarginHead(num_classes=10, embedding_size=16, margin=margins.CosFace())
    >>> head(torch.randn(4, 16), torch.arange(4))._fields
    ('loss', 'loss_per_sample', 'regulariser', 'target_cosine', 'nearest_negative', 'nearest_negative_index')
    """

    loss: Tensor  # () mean of loss_per_sample over the global batch, plus the regulariser
    loss_per_sample: Tensor
    regulariser: Tensor  # (), 0 for most margins
    target_cosine: Tensor  # CR-FIQA's CCS
    nearest_negative: Tensor  # CR-FIQA's NNCCS, over all classes of all ranks; over the active ones where a sampler chooses
    nearest_negative_index: Tensor


class MarginHead(nn.Module):
    """Margin softmax over class centres: the cross-entropy of the row s * cos_ij whose target entry is s * margin(cos_iy).

    loss_i = logaddexp(L_i, t_i) - t_i, t_i = s * margin(cos_iy, |z_i|, y_i), L_i = logsumexp_{j != y} s * cos_ij.

    Args:
        num_classes, embedding_size: C and D; `centers.weight` is (C, D), drawn from N(0, .01).
        margin: any `limen.margins.Margin`.
        scale: s; a margin with a row scale of its own (SphereFace with scale="norm") replaces it.
        sampler: chooses the classes of a training step, `PartialFC` or `HardPrototypeMining`; None takes all, as evaluation mode does.
        implementation: "dense" keeps the (B, C) block, "chunked" never does, "auto" keeps as much of it as fits a budget.
        group: splits the centres over its ranks (`limen.heads.default_group()`). Every rank then gives its own samples, equally many;
            loss and gradients are those of one process with all samples and all centres: centres get the gradient of the mean over the
            global batch, features the rows of it that are theirs, and AdaFace's and CurricularFace's averages are the global batch's.
            ElasticFace draws for the global batch on every rank, for which torch's generators have to be in one state.
        dtype: of the centres, float32 or bfloat16.
        precision: of the products, "float32", "tf32" or "bf16"; their sums are float32. On CUDA the last two use tensor cores.

    A batch in which a feature is not finite has a loss of NaN, and nothing that lasts learns from it: neither the centres and momenta that
    `update` moves, nor AdaFace's and CurricularFace's averages, and its spoilt rows enter no queue of a sampler. `limen train` ends there
    and names the last checkpoint; a loop of one's own may pass over such a step.

    >>> import torch
    >>> from limen import MarginHead, margins
    >>> head = MarginHead(num_classes=10, embedding_size=16, margin=margins.AdaFace())
    >>> features, labels = torch.randn(4, 16, requires_grad=True), torch.arange(4)
    >>> output = head(features, labels)
    >>> output.loss.backward()  # gradients of features and of head.centers.weight (10, 16)
    >>> output.target_cosine.shape, output.nearest_negative.shape, features.grad.shape
    (torch.Size([4]), torch.Size([4]), torch.Size([4, 16]))
    """

    def __init__(
        self,
        num_classes: int,
        embedding_size: int,
        margin: Margin,
        scale: float = 64.0,
        sampler: ClassSampler | None = None,
        implementation: str = "auto",
        group: Group | None = None,
        dtype: torch.dtype = torch.float32,
        precision: str = "float32",
    ):
        super().__init__()
        if implementation not in IMPLEMENTATIONS:
            raise ValueError(f"implementation={implementation!r} is not one of {', '.join(map(repr, IMPLEMENTATIONS))}")
        if precision not in PRECISIONS:
            raise ValueError(f"precision={precision!r} is not one of {', '.join(map(repr, PRECISIONS))}")
        if precision == "tf32" and dtype == torch.bfloat16:
            raise ValueError("precision='tf32' needs float32 centres; 'bf16' reads bfloat16 centres as they are")
        self.centers = ClassCenters(num_classes, embedding_size, group, dtype)
        self.margin = margin
        self.scale = scale
        self.sampler = sampler
        self.implementation, self.precision = implementation, precision
        self.group = group
        if sampler is not None:
            sampler.prepare(self.centers)
        if group is not None:
            for name in margin.per_class:
                mine = getattr(margin, name).data[self.centers.first : self.centers.last].clone()
                setattr(margin, name, nn.Parameter(mine))

    def sharded_names(self) -> set[str]:
        """The entries of `state_dict()` with one row for each class of this rank."""
        names = {"centers.weight", *(f"margin.{name}" for name in self.margin.per_class)}
        return names | {f"sampler.{name}" for name in (self.sampler.per_class if self.sampler is not None else ())}

    def forward(self, features: Tensor, labels: Tensor, update: Update | None = None) -> HeadOutput:
        """Features (B, D) raw and labels (B,) int64 to a `HeadOutput`.

        `update` (`limen.heads.CenterSGD.at`) moves the centres inside the backward pass, which then leaves them no gradient.
        Raises ValueError for a label outside [0, C).
        """
        self.centers.check(labels)
        batch, group = len(features), self.group
        features = features.to(torch.promote_types(features.dtype, torch.float32))
        norm = features.norm(dim=1)
        if group is not None:  # from here on everything is of the global batch
            features = gather_rows(features, group, parts=True)
            norm = gather_rows(norm, group, parts=False)
            labels = gather_rows(labels, group, parts=False)
        row_scale = self.margin.row_scale(norm)
        scale = self.scale if row_scale is None else row_scale
        found = self._pass(features, labels, scale, update)
        target = scale * self._margined(found.target_cosine, norm, labels)
        loss_per_sample = torch.logaddexp(found.negative_logsumexp, target) - target
        regulariser = self._regulariser(norm)
        loss = loss_per_sample.mean() + regulariser
        mine = slice(0, batch) if group is None else slice(group.rank * batch, (group.rank + 1) * batch)
        outcome = found.target_cosine.detach(), found.nearest_negative, found.nearest_negative_index
        return HeadOutput(loss, loss_per_sample[mine], regulariser, *(vector[mine] for vector in outcome))

    def _pass(self, features: Tensor, labels: Tensor, scale: Tensor | float, update: Update | None) -> MarginSoftmax:
        """The fused pass over all classes, or those that the sampler chooses; classes are then counted over all ranks."""
        group, centers, sampler = self.group, self.centers, self.sampler if self.training else None
        if group is not None and isinstance(scale, Tensor):
            (scale,) = to_parts(group, scale)
        complete: Callable[[Tensor], Tensor] | None = None if group is None else group.sum
        found = margin_softmax(
            features,
            centers.weight,
            centers.rows_of(labels),
            scale,
            self.margin.gate,
            self.implementation,
            active=None if sampler is None else sampler.select(labels, centers),
            update=update,
            complete=complete,
            hardest=0 if sampler is None else sampler.hardest,
            precision=self.precision,
        )
        if group is not None:
            found = _over_ranks(found, centers.first, group)
        if sampler is not None and sampler.hardest:
            sampler.observe(labels, found.target_cosine.detach(), found.hardest_negative, found.hardest_negative_index, centers)
        return found

    def _margined(self, target_cosine: Tensor, norm: Tensor, labels: Tensor) -> Tensor:
        if self.group is None or not self.margin.per_class:
            return self.margin(target_cosine, norm, labels)
        rows = self.centers.rows_of(labels)  # margins per class stand where the class's centre does
        target_cosine, norm = to_parts(self.group, target_cosine, norm)
        holds_any = self.centers.last > self.centers.first
        margined = self.margin(target_cosine, norm, rows.clamp_min(0)) if holds_any else target_cosine
        return add_parts(torch.where(rows >= 0, margined, 0), self.group)

    def _regulariser(self, norm: Tensor) -> Tensor:
        extra = self.margin.regulariser(norm)
        if extra is None:
            return norm.new_zeros(())
        return add_parts(extra, self.group) if self.group is not None and self.margin.per_class else extra


def _over_ranks(found: MarginSoftmax, first: int, group: Group) -> MarginSoftmax:
    """One result from each rank's; a tie goes to the lower class, as it does on one process."""
    nearest, winner = group.gather(found.nearest_negative).max(0)
    classes = group.gather(found.nearest_negative_index + first).gather(0, winner[None])[0]
    hardest, hardest_class = found.hardest_negative, found.hardest_negative_index
    if hardest.shape[1]:
        wanted = hardest.shape[1]
        hardest, place = group.gather(hardest).permute(1, 0, 2).flatten(1).topk(wanted)
        numbers = torch.where(hardest_class >= 0, hardest_class + first, -1)
        hardest_class = group.gather(numbers).permute(1, 0, 2).flatten(1).gather(1, place)
    return MarginSoftmax(
        add_parts(found.target_cosine, group),
        logsumexp_over_ranks(found.negative_logsumexp, group),
        nearest,
        classes,
        hardest,
        hardest_class,
    )
