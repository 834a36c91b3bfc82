"""The pass for GPUs: few launches over tiles of classes in place of many operations over blocks, and no host transfer.

Equals the pass in blocks (`forward`, `backward`), with one offset of the exponentials for all classes of a row. Where the scale is one
number of at most 64 it is .35 s: no exponential overflows or vanishes in float32 then. Elsewhere it is the largest logit, which costs one
more product. What a tile does is done behind the seam of `limen.functional.margin_softmax.kernels`.
"""

from typing import Any

import torch
from torch import Tensor

from limen.functional.margin_softmax.blocks import CenterBlocks
from limen.functional.margin_softmax.definition import NO_DIRECTION, MarginSoftmax, absent, direction_of
from limen.functional.margin_softmax.forward import Options, Rest, masked, scaled_directions, target_cosines
from limen.functional.margin_softmax.kernels import DTYPES, TILE, CenterState, Operands, OwnRows
from limen.functional.margin_softmax.kernels.twins import finish_gradient
from limen.functional.margin_softmax.nearest import hardest_negatives

OFFSET, SAFE_SCALE, SAFE_CLASSES = 0.35, 64.0, 256  # below so many classes 1 / sum could overflow


def forward_pass(
    features: Tensor, centers: Tensor, labels: Tensor, scale: Tensor, options: Options, needs_scale: bool
) -> tuple[MarginSoftmax, CenterBlocks, Rest, Tensor]:
    """As `forward.forward_pass`; the buffer is (B, kept), of the type of the operands."""
    kernels = options.kernels
    blocks = CenterBlocks(centers, labels, options.active, features.dtype)
    blocks.group = TILE
    kept = blocks.count if options.kept >= blocks.count else options.kept // blocks.size * blocks.size
    direction, scaled, unsound = scaled_directions(features, scale)
    target_cosine, whole_target, threshold, shift = target_cosines(blocks, direction, options, unsound)
    values, inverse_norm = _products_of(centers, options)
    inverse_norm = inverse_norm if options.active is None else inverse_norm[options.active]
    operands = blocks.operands = Operands(
        direction.to(values.dtype), values, options.active, inverse_norm, blocks.position, scale.masked_fill(unsound, 0), threshold, shift,
        options.precision,
    )  # fmt: skip
    buffer = values.new_empty(len(features), -(-kept // TILE) * TILE)[:, :kept]
    step = kernels.span(operands)
    spans = [(first, min(first + step, end)) for start, end in ((0, kept), (kept, blocks.count)) for first in range(start, end, step)]
    offset = torch.full_like(scale, OFFSET * options.safe_scale) if options.safe_scale is not None else None
    if offset is None or blocks.count < SAFE_CLASSES:
        offset = torch.full_like(scale, absent(scale.dtype))
        for first, last in spans:
            offset = torch.maximum(offset, kernels.partials(operands, first, last, None, None).sums.amax(0))
        offset = offset.masked_fill(offset <= absent(scale.dtype), 0)
    nearest, nearest_index = torch.full_like(scale, absent(scale.dtype)), torch.zeros_like(labels)
    total, peaks = torch.zeros_like(scale), []
    for first, last in spans:
        part = kernels.partials(operands, first, last, offset, buffer[:, first:last] if last <= kept else None)
        total = total + part.sums.sum(0)
        peak = part.peaks.amax(0)
        place = torch.where(part.peaks == peak, part.places, torch.iinfo(torch.int32).max).amin(0)  # a tie goes to the lower class
        nearest_index = torch.where(peak > nearest, place + first, nearest_index)
        nearest = torch.maximum(nearest, peak)
        peaks += [part.peaks.T] if options.hardest else []
    alone = nearest <= absent(scale.dtype)
    logsumexp = torch.where(alone, -torch.inf, offset + total.log())
    nearest = torch.where(alone, -torch.inf, nearest / scale)
    found = hardest_negatives(options.hardest, peaks, blocks, None, scaled, inverse_norm, scale, whole_target)
    outputs = masked(MarginSoftmax(target_cosine, logsumexp, nearest, blocks.rows(nearest_index), *found), unsound)
    return outputs, blocks, Rest(*outputs[:2], None, inverse_norm, offset, threshold, shift), buffer


def backward_pass(
    features: Tensor,
    scale: Tensor,
    grads: tuple[Tensor, Tensor],
    blocks: CenterBlocks,
    options: Options,
    rest: Rest,
    buffer: Tensor | None,
    needs_centers: bool,
    needs_scale: bool,
) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """As `backward.backward_pass`. The own classes are at most B rows, and go apart: into K W here, into K^T u with the update."""
    kernels, operands, centers = options.kernels, blocks.operands, blocks.centers
    update: Any = options.update
    kept = 0 if buffer is None else buffer.shape[1]
    grad_target, grad_logsumexp = grads
    direction, _, _ = scaled_directions(features, scale)
    own = torch.where(blocks.labels >= 0, grad_target, 0)[:, None]  # (B, 1)
    alone = rest.logsumexp == -torch.inf
    factor = ((rest.offsets - rest.logsumexp.masked_fill(alone, 0)).exp() * grad_logsumexp * scale)[:, None]  # (B, 1)
    finite = factor.isfinite().all() & own.isfinite().all()  # () on the device
    if update is not None:
        factor, own = torch.where(finite, factor, 0), torch.where(finite, own, 0)
    center = blocks.own()
    length = center.norm(dim=1, keepdim=True)
    of_own = _own_rows(blocks, own * direction / length.clamp_min(NO_DIRECTION) * (length >= NO_DIRECTION))
    weighted = (factor * direction).to(operands.centers.dtype)
    grad_centers = blocks.new_gradient() if needs_centers and update is None else None
    along = torch.zeros_like(features)  # E W
    whole = kept if options.active is None else 0  # classes whose centres are one matrix, and need no gathering
    if buffer is not None and whole:
        along = kernels.product(buffer[:, :whole], operands.centers[:whole], options.precision)
    spare = operands.centers.new_empty(len(features), blocks.size if kept < blocks.count else 0)
    for first in range(0, blocks.count, blocks.size):
        last = min(first + blocks.size, blocks.count)
        e = spare[:, : last - first] if buffer is None or last > kept else buffer[:, first:last]
        if last > kept:
            kernels.partials(operands, first, last, rest.offsets, e)
        if last > whole:
            along = along + kernels.product(e, operands.rows(first, last), options.precision)
        if needs_centers:
            gradient = kernels.product(e.T, weighted, options.precision)
            if hasattr(update, "state"):
                kernels.update(update, options.active, first, last, gradient, of_own, finite)
                continue
            rows = blocks.selection(first, last)
            value = centers[rows].to(gradient.dtype)
            finish_gradient(gradient, value, first, of_own)
            if grad_centers is not None:
                grad_centers[rows] = gradient
            else:
                update(rows, value, gradient, finite)
    along = along * factor + own * direction_of(center, length)
    radial = (along * direction).sum(1, keepdim=True)
    size = features.norm(dim=1, keepdim=True)
    grad_features = ((along - direction * radial) / size.clamp_min(NO_DIRECTION)).masked_fill(size < NO_DIRECTION, 0)
    if update is not None:
        grad_features = torch.where(finite, grad_features, torch.nan)
    grad_scale = (radial[:, 0] - own[:, 0] * rest.target_cosine) / scale if needs_scale else None
    return grad_features, grad_centers, grad_scale


def _products_of(centers: Tensor, options: Options) -> tuple[Tensor, Tensor]:
    """(C, D) the centres as the products read them, and (C,) 1 / |W_j|: kept up to date by an update that has them, else made here."""
    low = DTYPES[options.precision]
    dtype = low if low.itemsize < 4 else torch.promote_types(centers.dtype, low)
    update: Any = options.update
    if hasattr(update, "products"):
        return update.products(options.kernels, dtype)
    values = centers.detach().to(dtype)
    made = CenterState(values, None, None, values.new_empty(len(values), dtype=torch.promote_types(dtype, torch.float32)))
    options.kernels.refresh(made)
    return values, made.inverse_norm


def _own_rows(blocks: CenterBlocks, rows: Tensor) -> OwnRows:
    """`rows` (B, D), added up over the samples of a class. A product with a (B, B) matrix does it in one order, and waits for nothing."""
    position = blocks.position
    same = (position == position[:, None]) & (position >= 0)
    first = torch.where(same, torch.arange(len(position), dtype=torch.int32, device=position.device), len(position)).amin(1).int()
    owner = torch.full((blocks.count + 1,), -1, dtype=torch.int32, device=position.device)
    owner[torch.where(position >= 0, position, blocks.count)] = first  # the last place is for the samples of other ranks
    return OwnRows(owner, same.to(rows.dtype) @ rows)
