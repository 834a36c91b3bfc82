"""The forward pass: one walk over the blocks of classes with running maxima and sums, which leaves exponentials for the backward pass."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from limen.functional.margin_softmax.blocks import CenterBlocks, Update, part
from limen.functional.margin_softmax.definition import NO_DIRECTION, Gate, MarginSoftmax, absent, direction_of, gated
from limen.functional.margin_softmax.nearest import best_of, hardest_negatives
from limen.functional.workspace import reusable_empty


class Options(NamedTuple):
    gate: Gate | None
    active: Tensor | None
    update: Update | None
    complete: Callable[[Tensor], Tensor] | None
    kept: int  # classes whose exponentials stay for the backward pass
    hardest: int
    precision: str  # of the products
    kernels: Any  # what computes the pass in tiles; None: the pass in blocks
    safe_scale: float | None  # the scale, where exponentials need no maximum: one number of at most 64, and no gate


class Rest(NamedTuple):
    """What the backward pass needs of the forward pass, beside its inputs and the exponentials."""

    target_cosine: Tensor  # (B,)
    logsumexp: Tensor  # (B,)
    mean_logit: Tensor | None  # (B,) of the gated x under the softmax of the negatives, where scale and gate ask for it
    inverse_norm: Tensor  # (A,) 1 / |W_j|
    offsets: Tensor  # (blocks, B): the running maxima that the exponentials of a block are relative to; (B,) of the pass in tiles
    threshold: Tensor | None
    shift: Tensor | None


def forward_pass(
    features: Tensor, centers: Tensor, labels: Tensor, scale: Tensor, options: Options, needs_scale: bool
) -> tuple[MarginSoftmax, CenterBlocks, Rest, Tensor]:
    """The outputs, and for the backward pass the blocks, `Rest` and a flat buffer that holds the first `options.kept` classes, block by
    block: exp(x - offset) / |W_j|, times the gate's slope, with x = s * cos after the gate; 0 for a sample's own class.

    Where the hardest negatives are asked for, the buffer holds s * cos itself.
    """
    batch, hardest = len(features), options.hardest
    blocks = CenterBlocks(centers, labels, options.active, features.dtype)
    direction, scaled, unsound = scaled_directions(features, scale)
    target_cosine, whole_target, threshold, shift = target_cosines(blocks, direction, options, unsound)
    inverse_norm = features.new_empty(blocks.count)
    nearest = torch.full_like(scale, absent(scale.dtype))  # running maximum of x
    nearest_index = torch.zeros_like(labels)
    top, total = nearest, torch.zeros_like(scale)  # running maximum of the gated x, and the sum of exponentials below it
    weighted = torch.zeros_like(scale) if needs_scale and threshold is not None else None  # the same sum, each times its gated x
    peaks, offsets = [], []  # of each block: (B, groups) where the hardest are wanted, and (B,)
    buffer = reusable_empty((batch * options.kept,), features)
    spare = reusable_empty((batch * blocks.width,), features) if hardest or options.kept < blocks.count else buffer
    for first, last in blocks.ranges:
        block, norm, width = blocks.fetch(first, last), inverse_norm[first:last], last - first
        home = part(buffer, batch, first, width) if last <= options.kept else part(spare, batch, 0, width)
        x = torch.mm(scaled, block.T, out=home)  # (B, n)
        length = torch.linalg.vector_norm(block, dim=1)  # after: the product fetched the block
        torch.reciprocal(length, out=norm).masked_fill_(length < NO_DIRECTION, 0)
        finish_logits(x, norm, blocks, first)
        grouped = x.view(batch, -1, min(blocks.group, width))
        group_peaks = grouped.amax(2)  # (B, groups)
        peak, place = best_of(grouped, group_peaks)
        nearest, nearest_index = torch.maximum(nearest, peak), torch.where(peak > nearest, place + first, nearest_index)
        changed, slope = gated(x, scale, threshold, shift)
        previous, top = top, torch.maximum(top, peak if slope is None else changed.amax(1))
        e = torch.sub(changed, top[:, None], out=part(spare, batch, 0, width) if hardest else x).exp_()
        falls = torch.exp(previous - top)
        total = total * falls + e.sum(1)
        if weighted is not None:
            weighted = weighted * falls + torch.einsum("bc,bc->b", e, changed)
        offsets.append(top)
        if hardest:
            peaks.append(group_peaks)
        elif last <= options.kept:
            finish_exponentials(e, norm, slope)
    alone = nearest <= absent(scale.dtype)  # a single class has no negatives
    logsumexp = torch.where(alone, -torch.inf, top + total.log())
    mean_logit = None if weighted is None else torch.where(alone, 0, weighted / total)
    nearest = torch.where(alone, -torch.inf, nearest / scale)
    whole = buffer if options.kept >= blocks.count else None
    found = hardest_negatives(hardest, peaks, blocks, whole, scaled, inverse_norm, scale, whole_target)
    outputs = masked(MarginSoftmax(target_cosine, logsumexp, nearest, blocks.rows(nearest_index), *found), unsound)
    kept_offsets = torch.stack(offsets) if offsets else scale.new_empty(0, batch)
    return outputs, blocks, Rest(*outputs[:2], mean_logit, inverse_norm, kept_offsets, threshold, shift), buffer


def target_cosines(
    blocks: CenterBlocks, direction: Tensor, options: Options, unsound: Tensor
) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
    """(B,) the cosines of the own classes, of this shard and of all, and the gate's threshold and shift at these."""
    own = blocks.own()  # (B, D)
    target_cosine = (direction * direction_of(own, own.norm(dim=1, keepdim=True))).sum(1) * (blocks.labels >= 0)
    whole_target = target_cosine if options.complete is None else options.complete(target_cosine)
    threshold, shift = (None, None) if options.gate is None else options.gate(whole_target.masked_fill(unsound, torch.nan))
    return target_cosine, whole_target, threshold, shift


def masked(found: MarginSoftmax, unsound: Tensor) -> MarginSoftmax:
    """`found` with NaN for the rows that are not finite."""
    target_cosine, logsumexp, nearest = (vector.masked_fill(unsound, torch.nan) for vector in found[:3])
    return MarginSoftmax(target_cosine, logsumexp, nearest, *found[3:])


def scaled_directions(features: Tensor, scale: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(B, D) features of length one, the same times their scales, and (B,) which rows are not finite: these are 0 in both, so that no
    exponential is NaN and the update of the centres can be gated by what multiplies them."""
    unsound = ~(features.isfinite().all(1) & scale.isfinite())
    direction = direction_of(features, features.norm(dim=1, keepdim=True)).masked_fill(unsound[:, None], 0)
    return direction, direction * scale.masked_fill(unsound, 0)[:, None], unsound


def finish_logits(x: Tensor, inverse_norm: Tensor, blocks: CenterBlocks, first: int) -> None:
    """s * u_i W_j to s * cos_ij, the samples' own classes marked absent."""
    x.mul_(inverse_norm)
    blocks.put_own(x, first, torch.full_like(x[:, :1], absent(x.dtype)))


def finish_exponentials(e: Tensor, inverse_norm: Tensor, slope: Tensor | None) -> None:
    """exp(x - offset) to what the backward pass multiplies: / |W_j|, and times the gate's slope."""
    if slope is not None:
        e.mul_(slope)
    e.mul_(inverse_norm)
