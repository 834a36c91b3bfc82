"""One pass over the class centres: target cosine, log-sum-exp of the scaled negatives, nearest negative.

The public function is defined by `margin_softmax_naive`, the slow lines it equals. `dense` keeps the (B, C) block of logits and costs three
matrix products, `chunked` recomputes it and costs four; both work on a block of classes while it is in the cache.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from limen.functional.margin_softmax.blocks import GROUP, SCRATCH_BYTES, CenterBlocks, Rows, part
from limen.functional.workspace import reusable_empty

Gate = Callable[[Tensor], tuple[Tensor, Tensor]]  # target cosine (B,) -> threshold (B,), shift ()
Update = Callable[[Rows, Tensor, Tensor], None]  # rows of the centres, their values and their gradient (n, D)

KEPT_BYTES = {"cpu": 256 << 20}  # of logits that "auto" keeps for the backward pass
KEPT_BYTES_ELSEWHERE = 2 << 30
NO_DIRECTION = 1e-12  # a feature or centre shorter than this has cosine 0 and no gradient, for there is no direction to turn


class MarginSoftmax(NamedTuple):
    """What a margin loss needs from the centres; every field is (B,) but the last two, (B, hardest)."""

    target_cosine: Tensor  # cos(z_i, W_y); 0 where the label is -1
    negative_logsumexp: Tensor  # L_i = logsumexp_{j != y} scale_i * gated(cos_ij); -inf without negatives
    nearest_negative: Tensor  # max_{j != y} cos_ij before the gate, without gradient
    nearest_negative_index: Tensor  # its row of the centres, int64
    hardest_negative: Tensor  # the largest cos_ij above the target cosine, best first; -inf where there are fewer; without gradient
    hardest_negative_index: Tensor  # their rows, -1 where there are fewer


def margin_softmax(
    features: Tensor,
    centers: Tensor,
    labels: Tensor,
    scale: Tensor | float,
    gate: Gate | None = None,
    implementation: str = "auto",
    *,
    active: Tensor | None = None,
    update: Update | None = None,
    complete: Callable[[Tensor], Tensor] | None = None,
    hardest: int = 0,
) -> MarginSoftmax:
    """Equals `margin_softmax_naive`, without its (B, C) temporaries.

    Args:
        features: (B, D) raw embeddings z.
        centers: (C, D) raw class centres W.
        labels: (B,) int64 rows of `centers`, or -1 for a sample whose class is not among them: every centre is then a negative.
        scale: s, a number or one per row (B,).
        gate: CurricularFace's change of hard negatives: gate(target_cosine) -> (threshold (B,), shift ()); a negative above the threshold
            becomes cos * (shift + cos). The threshold and the shift get no gradient.
        implementation: "dense", "chunked", or "auto": logits are kept up to `KEPT_BYTES` and computed again beyond.
        active: (A,) int64, sorted: the rows of `centers` that take part, every label's among them; None is all. No copy of them is made.
        update: called in the backward pass as update(rows, values, gradient), block by block, each row once. `centers` then gets no
            gradient, and no (C, D) gradient exists at any time. `values` may be the centres' own memory.
        complete: of target cosines that are 0 for the classes of other shards, the whole ones; the gate and `hardest` see those.
        hardest: how many of the best negatives above the target cosine to return.

    Gradients flow from target_cosine and negative_logsumexp to features, centers and scale, exact to rounding. Low-precision inputs are
    raised to float32, and so is everything accumulated.

    Raises ValueError for another implementation or mismatched shapes.
    """
    if features.shape[1:] != centers.shape[1:] or labels.shape != features.shape[:1]:
        raise ValueError(
            f"margin_softmax needs features (B,D), centers (C,D) and labels (B,), not "
            f"{tuple(features.shape)}, {tuple(centers.shape)} and {tuple(labels.shape)}"
        )
    dtype = torch.promote_types(torch.promote_types(features.dtype, centers.dtype), torch.float32)
    count = len(centers) if active is None else len(active)
    budget = KEPT_BYTES.get(features.device.type, KEPT_BYTES_ELSEWHERE)
    kept = {"dense": count, "chunked": 0, "auto": min(count, budget // (dtype.itemsize * max(1, len(features))))}.get(implementation)
    if kept is None:
        raise ValueError(f"implementation {implementation!r} is not one of 'dense', 'chunked', 'auto'")
    with torch.autocast(features.device.type, enabled=False):
        row_scale = (scale.to(dtype) if isinstance(scale, Tensor) else features.new_full((), scale, dtype=dtype)).expand(len(features))
        options = _Options(gate, active, update, complete, kept, hardest)
        return MarginSoftmax(*_MarginSoftmax.apply(features.to(dtype), centers, labels, row_scale, options))


def margin_softmax_naive(
    features: Tensor, centers: Tensor, labels: Tensor, scale: Tensor | float, gate: Gate | None = None, hardest: int = 0
) -> MarginSoftmax:
    """The definition of `margin_softmax`, written plainly over the whole (B, C) matrix; for tests and for reading."""
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


class _Options(NamedTuple):
    gate: Gate | None
    active: Tensor | None
    update: Update | None
    complete: Callable[[Tensor], Tensor] | None
    kept: int  # classes whose logits stay for the backward pass
    hardest: int


class _MarginSoftmax(torch.autograd.Function):
    """Works on logits x = s * cos, a block of classes at a time; a row's own class holds `_absent`, whose exponential is exactly 0."""

    @staticmethod
    def forward(ctx, features, centers, labels, scale, options):
        absent = _absent(features.dtype)
        blocks = CenterBlocks(centers, labels, options.active, features.dtype)
        direction = _direction(features, features.norm(dim=1, keepdim=True))  # (B, D)
        own = blocks.own()  # (B, D)
        target_cosine = (direction * _direction(own, own.norm(dim=1, keepdim=True))).sum(1) * (labels >= 0)
        whole_target = target_cosine if options.complete is None else options.complete(target_cosine)
        threshold, shift = (None, None) if options.gate is None else options.gate(whole_target)

        scaled = direction * scale[:, None]
        inverse_norm = features.new_empty(blocks.count)  # (A,) 1 / |W_j|
        nearest = torch.full_like(scale, absent)  # running maximum of x
        nearest_index = torch.zeros_like(labels)
        top, total = nearest.clone(), torch.zeros_like(scale)  # running maximum of the gated x, and the sum of exponentials below it
        peaks = []  # (B, groups) of each block, where the hardest are wanted
        kept = options.kept if any(ctx.needs_input_grad) or options.hardest else 0
        logits = reusable_empty((len(features) * min(kept, blocks.count),), features)
        scratch, spare = (reusable_empty((len(features) * blocks.width,), features) for _ in range(2))
        for first, last, rows in blocks.ranges:
            block, norm = blocks.fetch(first, last), inverse_norm[first:last]
            home, at = (logits, first) if last <= kept else (spare, 0)
            x = torch.mm(scaled, block.T, out=part(home, len(features), at, last - first))  # (B, block)
            length = torch.linalg.vector_norm(block, dim=1)  # after: the product fetched the block
            torch.reciprocal(length, out=norm).masked_fill_(length < NO_DIRECTION, 0)
            blocks.finish_logits(x, norm, rows, first)
            grouped = _grouped(x)
            group_peaks = grouped.amax(2)  # (B, groups)
            if options.hardest:
                peaks.append(group_peaks)
            peak, place = _best(grouped, group_peaks)
            nearest, nearest_index = torch.maximum(nearest, peak), torch.where(peak > nearest, place + first, nearest_index)
            gated = _gated(x, scale, threshold, shift)
            previous, top = top, torch.maximum(top, peak if gated is x else gated.amax(1))
            below = torch.sub(gated, top[:, None], out=part(scratch, len(features), 0, last - first)).exp_()
            total = total * torch.exp(previous - top) + below.sum(1)
        alone = nearest <= absent  # a single class has no negatives
        logsumexp = torch.where(alone, -torch.inf, top + total.log())
        nearest = torch.where(alone, -torch.inf, nearest / scale)
        hardest, hardest_index = _hardest(options.hardest, peaks, blocks, logits, kept, scaled, inverse_norm, scale, whole_target)

        ctx.save_for_backward(features, centers, labels, scale, target_cosine, logsumexp, inverse_norm, threshold, shift)
        ctx.blocks, ctx.options, ctx.logits, ctx.kept = blocks, options, logits, kept
        outputs = target_cosine, logsumexp, nearest, blocks.rows(nearest_index), hardest, hardest_index
        ctx.mark_non_differentiable(*outputs[2:])
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_target, grad_logsumexp, *_):
        with torch.autocast(ctx.saved_tensors[0].device.type, enabled=False):
            return _gradients(ctx, grad_target, grad_logsumexp)


def _gradients(ctx: Any, grad_target: Tensor, grad_logsumexp: Tensor) -> tuple[Tensor | None, ...]:
    """With P the softmax over the negatives (times the gate's slope) and g the gradient of L, the gradient of cos_ij is s_i g_i P_ij.

    s stays outside the (B, block) matrices, and so does the target: its B entries are added to the block that holds their class.
    """
    features, centers, labels, scale, target_cosine, logsumexp, inverse_norm, threshold, shift = ctx.saved_tensors
    blocks, update = ctx.blocks, ctx.options.update
    needs_centers, needs_scale = ctx.needs_input_grad[1], ctx.needs_input_grad[3]
    logsumexp = logsumexp.nan_to_num(neginf=0.0)  # a single class has no negatives, and no share in the gradient
    logits, ctx.logits = ctx.logits, None  # overwritten below; a second backward pass computes them again
    kept = 0 if logits is None else ctx.kept
    if update is not None and logits is None:
        raise RuntimeError("the first backward pass has updated the centres already; a second one needs a new forward pass")
    feature_norm = features.norm(dim=1, keepdim=True)
    short, direction = feature_norm < NO_DIRECTION, _direction(features, feature_norm)
    feature_norm = feature_norm.clamp_min(NO_DIRECTION)
    scaled = direction * scale[:, None]
    own = torch.where(labels >= 0, grad_target, 0)[:, None]  # (B, 1) gradient of the target cosine
    own_norm = inverse_norm[blocks.position.clamp_min(0), None] if blocks.count else torch.zeros_like(own)
    own_direction = blocks.own() * own_norm
    own_gradient = own * own_norm * (direction - target_cosine[:, None] * own_direction)  # (B, D) of the own centres
    along = torch.zeros_like(features)  # sum_j g_i P_ij W_j / |W_j|
    grad_centers = blocks.new_gradient() if needs_centers and update is None else None
    grad_scale = torch.zeros_like(scale) if needs_scale else None
    scratch, spare = (reusable_empty((len(features) * blocks.width,), features) for _ in range(2))
    for first, last, rows in blocks.ranges:
        block, norm = blocks.fetch(first, last), inverse_norm[first:last]
        if last <= kept:
            x = part(logits, len(features), first, last - first)
        else:
            x = torch.mm(scaled, block.T, out=part(spare, len(features), 0, last - first))
            blocks.finish_logits(x, norm, rows, first)
        gated = _gated(x, scale, threshold, shift)
        p = torch.sub(gated, logsumexp[:, None], out=part(scratch, len(features), 0, last - first)).exp_()  # (B, block)
        if grad_scale is not None:
            grad_scale += torch.einsum("bc,bc->b", p, gated)
        if threshold is not None:
            p *= _gate_slope(x, scale, threshold, shift)
        p *= grad_logsumexp[:, None]
        x *= p
        p *= norm
        along.addmm_(p, block)
        if needs_centers:
            gradient = blocks.gradient_of(first, last, grad_centers)
            radial = x.sum(0).mul_(norm).mul_(norm)  # the part along W_j, which normalising removes
            torch.mul(block, radial.neg_()[:, None], out=gradient).addmm_(p.T, scaled)
            gradient.index_add_(0, blocks.position[rows] - first, own_gradient[rows])
            if update is not None:
                update(blocks.selection(first, last), block, gradient)
            else:
                blocks.put(first, last, gradient, grad_centers)

    along = along * scale[:, None] + own * own_direction
    grad_features = (along - direction * (along * direction).sum(1, keepdim=True)) / feature_norm
    grad_features = grad_features.masked_fill(short, 0)
    if grad_scale is not None:
        grad_scale *= grad_logsumexp / scale
    return grad_features, None if grad_centers is None else grad_centers.to(centers.dtype), None, grad_scale, None


def _direction(vectors: Tensor, length: Tensor) -> Tensor:
    """`vectors` (n, D) of `length` (n, 1), made of length one; 0 for those without a direction."""
    return (vectors / length.clamp_min(NO_DIRECTION)).masked_fill(length < NO_DIRECTION, 0)


def _absent(dtype: torch.dtype) -> float:
    return torch.finfo(dtype).min / 4


def _grouped(x: Tensor) -> Tensor:
    """(B, block) seen as (B, groups, GROUP), or as one group where it does not divide."""
    return x.view(len(x), -1, GROUP if x.shape[1] % GROUP == 0 else x.shape[1])


def _best(grouped: Tensor, peaks: Tensor) -> tuple[Tensor, Tensor]:
    """The maximum of each row of a block (B,), and its place in the row.

    `argmax` is ten times dearer than `amax` on a CPU: it looks only at the peaks, and at the group of the highest.
    """
    peak, group = peaks.max(1)
    members = grouped.gather(1, group[:, None, None].expand(-1, 1, grouped.shape[2]))[:, 0]
    return peak, members.argmax(1) + group * grouped.shape[2]


def _hardest(
    wanted: int,
    peaks: list[Tensor],
    blocks: CenterBlocks,
    logits: Tensor,
    kept: int,
    scaled: Tensor,
    inverse_norm: Tensor,
    scale: Tensor,
    target_cosine: Tensor,
) -> tuple[Tensor, Tensor]:
    """The `wanted` best negatives above the target cosine, and their rows of the centres.

    They lie in the `wanted` groups with the largest maxima: only those are looked at, of samples that have any.
    """
    batch, absent = len(scaled), _absent(scaled.dtype)
    cosines = scaled.new_full((batch, wanted), -torch.inf)
    classes = torch.full((batch, wanted), -1, dtype=torch.int64, device=scaled.device)
    if not wanted or not peaks:
        return cosines, classes
    threshold = target_cosine * scale
    first, width = blocks.group_ranges([p.shape[1] for p in peaks])  # (groups in all,) each
    offset = torch.arange(int(width.max()), device=scaled.device)
    looked_at = wanted * GROUP * (1 if kept >= blocks.count else scaled.shape[1])  # values of a sample
    at_once = 16 if scaled.device.type == "cpu" else max(16, SCRATCH_BYTES // (scaled.element_size() * looked_at))
    for sample in (torch.cat(peaks, 1).amax(1) > threshold).nonzero().flatten().split(at_once):
        row_peaks = torch.cat([p[sample] for p in peaks], 1)
        chosen = row_peaks.topk(min(wanted, row_peaks.shape[1])).indices  # (n, groups)
        column = first[chosen][:, :, None] + offset
        column = torch.where(column < (first + width)[chosen][:, :, None], column, -1).flatten(1)  # (n, groups * GROUP)
        x = blocks.logits_at(sample, column.clamp_min(0), logits, kept, scaled, inverse_norm)
        x = torch.where((column >= 0) & (column != blocks.position[sample, None]), x, absent)
        best = x.topk(min(wanted, x.shape[1]))
        above = best.values > threshold[sample, None]
        found = best.values.shape[1]
        cosines[sample, :found] = torch.where(above, best.values / scale[sample, None], -torch.inf)
        classes[sample, :found] = torch.where(above, blocks.rows(column.gather(1, best.indices)), -1)
    return cosines, classes


def _gated(x: Tensor, scale: Tensor, threshold: Tensor | None, shift: Tensor | None) -> Tensor:
    if threshold is None or shift is None:
        return x
    s = scale[:, None]
    return torch.where(x > threshold[:, None] * s, x * (shift + x / s), x)


def _gate_slope(x: Tensor, scale: Tensor, threshold: Tensor, shift: Tensor) -> Tensor:
    s = scale[:, None]
    return torch.where(x > threshold[:, None] * s, shift + 2 * x / s, 1.0)
