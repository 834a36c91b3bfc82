"""The forward pass: one walk over the blocks of classes, with running maxima and sums."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from limen.functional.margin_softmax.blocks import CenterBlocks, Update, absent, part
from limen.functional.margin_softmax.definition import NO_DIRECTION, Gate, MarginSoftmax, direction_of, gated
from limen.functional.margin_softmax.nearest import best_of, grouped_by_class, hardest_negatives
from limen.functional.workspace import reusable_empty


class Options(NamedTuple):
    gate: Gate | None
    active: Tensor | None
    update: Update | None
    complete: Callable[[Tensor], Tensor] | None
    kept: int  # classes whose logits stay for the backward pass
    hardest: int


class Kept(NamedTuple):
    """What the backward pass needs of the forward pass, beside its inputs."""

    target_cosine: Tensor
    logsumexp: Tensor
    inverse_norm: Tensor
    threshold: Tensor | None
    shift: Tensor | None


def forward_pass(
    features: Tensor, centers: Tensor, labels: Tensor, scale: Tensor, options: Options, differentiated: bool
) -> tuple[MarginSoftmax, CenterBlocks, Kept, Tensor, int]:
    """The outputs, and for the backward pass the blocks, `Kept`, the logits of the first classes and how many classes they are.

    Works on logits x = s * cos; a row's own class holds `absent`, whose exponential is exactly 0.
    """
    blocks = CenterBlocks(centers, labels, options.active, features.dtype)
    direction = direction_of(features, features.norm(dim=1, keepdim=True))  # (B, D)
    own = blocks.own()  # (B, D)
    target_cosine = (direction * direction_of(own, own.norm(dim=1, keepdim=True))).sum(1) * (labels >= 0)
    whole_target = target_cosine if options.complete is None else options.complete(target_cosine)
    threshold, shift = (None, None) if options.gate is None else options.gate(whole_target)

    scaled = direction * scale[:, None]
    inverse_norm = features.new_empty(blocks.count)  # (A,) 1 / |W_j|
    nearest = torch.full_like(scale, absent(scale.dtype))  # running maximum of x
    nearest_index = torch.zeros_like(labels)
    top, total = nearest.clone(), torch.zeros_like(scale)  # running maximum of the gated x, and the sum of exponentials below it
    peaks = []  # (B, groups) of each block, where the hardest are wanted
    kept = options.kept if differentiated or options.hardest else 0
    logits = reusable_empty((len(features) * min(kept, blocks.count),), features)
    scratch, spare = (reusable_empty((len(features) * blocks.width,), features) for _ in range(2))
    for first, last, rows in blocks.ranges:
        block, norm = blocks.fetch(first, last), inverse_norm[first:last]
        home, at = (logits, first) if last <= kept else (spare, 0)
        x = torch.mm(scaled, block.T, out=part(home, len(features), at, last - first))  # (B, block)
        length = torch.linalg.vector_norm(block, dim=1)  # after: the product fetched the block
        torch.reciprocal(length, out=norm).masked_fill_(length < NO_DIRECTION, 0)
        blocks.finish_logits(x, norm, rows, first)
        grouped = grouped_by_class(x)
        group_peaks = grouped.amax(2)  # (B, groups)
        if options.hardest:
            peaks.append(group_peaks)
        peak, place = best_of(grouped, group_peaks)
        nearest, nearest_index = torch.maximum(nearest, peak), torch.where(peak > nearest, place + first, nearest_index)
        changed = gated(x, scale, threshold, shift)
        previous, top = top, torch.maximum(top, peak if changed is x else changed.amax(1))
        below = torch.sub(changed, top[:, None], out=part(scratch, len(features), 0, last - first)).exp_()
        total = total * torch.exp(previous - top) + below.sum(1)
    alone = nearest <= absent(scale.dtype)  # a single class has no negatives
    logsumexp = torch.where(alone, -torch.inf, top + total.log())
    nearest = torch.where(alone, -torch.inf, nearest / scale)
    hardest, hardest_index = hardest_negatives(options.hardest, peaks, blocks, logits, kept, scaled, inverse_norm, scale, whole_target)
    outputs = MarginSoftmax(target_cosine, logsumexp, nearest, blocks.rows(nearest_index), hardest, hardest_index)
    return outputs, blocks, Kept(target_cosine, logsumexp, inverse_norm, threshold, shift), logits, kept
