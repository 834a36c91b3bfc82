"""One pass over the class centres: target cosine, log-sum-exp of the scaled negatives, nearest negative.

The public function is defined by `margin_softmax_naive`, the slow lines it equals. `dense` keeps the (B, C) block of logits and costs three
matrix products, `chunked` recomputes it and costs four; both work on a block of classes while it is in the cache.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from limen.functional.workspace import reusable_empty

Gate = Callable[[Tensor], tuple[Tensor, Tensor]]  # target cosine (B,) -> threshold (B,), shift ()

CPU_BLOCK = 4096  # classes: 2 MiB of logits at B = 128, which stay in the second-level cache of two cores
GROUP = 64  # classes whose maximum is taken together
SCRATCH_BYTES = 32 << 20  # a block of logits and its copy on other devices
DENSE_BUDGET_BYTES = 1 << 30  # "auto" keeps the (B, C) block up to this size


class MarginSoftmax(NamedTuple):
    """What a margin loss needs from the centres; every field is (B,)."""

    target_cosine: Tensor  # cos(z_i, W_y); 0 where the label is -1
    negative_logsumexp: Tensor  # L_i = logsumexp_{j != y} scale_i * gated(cos_ij); -inf without negatives
    nearest_negative: Tensor  # max_{j != y} cos_ij before the gate, without gradient
    nearest_negative_index: Tensor  # its class, int64


def margin_softmax(
    features: Tensor,
    centers: Tensor,
    labels: Tensor,
    scale: Tensor | float,
    gate: Gate | None = None,
    implementation: str = "auto",
) -> MarginSoftmax:
    """Equals `margin_softmax_naive`, without its (B, C) temporaries.

    Args:
        features: (B, D) raw embeddings z.
        centers: (C, D) raw class centres W.
        labels: (B,) int64 in [0, C), or -1 for a sample whose class is not among these centres: every centre is then a negative.
        scale: s, a number or one per row (B,).
        gate: CurricularFace's change of hard negatives: gate(target_cosine) -> (threshold (B,), shift ()); a negative above the threshold
            becomes cos * (shift + cos). The threshold and the shift get no gradient.
        implementation: "dense", "chunked", or "auto": dense while the (B, C) block fits `DENSE_BUDGET_BYTES`.

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
    if implementation == "auto":
        fits = features.shape[0] * centers.shape[0] * dtype.itemsize <= DENSE_BUDGET_BYTES
        implementation = "dense" if fits else "chunked"
    if implementation not in ("dense", "chunked"):
        raise ValueError(f"implementation {implementation!r} is not one of 'dense', 'chunked', 'auto'")
    with torch.autocast(features.device.type, enabled=False):
        row_scale = torch.as_tensor(scale, dtype=dtype, device=features.device).expand(features.shape[0])
        outputs = _MarginSoftmax.apply(features.to(dtype), centers.to(dtype), labels, row_scale, gate, implementation == "dense")
    return MarginSoftmax(*outputs)


def margin_softmax_naive(
    features: Tensor, centers: Tensor, labels: Tensor, scale: Tensor | float, gate: Gate | None = None
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
    return MarginSoftmax(target_cosine, logits.logsumexp(1), nearest.values, nearest.indices)


class _MarginSoftmax(torch.autograd.Function):
    """Works on logits x = s * cos, a block of classes at a time; a row's own class holds `_absent`, whose exponential is exactly 0."""

    @staticmethod
    def forward(ctx, features, centers, labels, scale, gate, dense):
        tiny, absent = torch.finfo(features.dtype).tiny, _absent(features.dtype)
        direction = features / features.norm(dim=1, keepdim=True).clamp_min(tiny)  # (B, D)
        own = centers[labels.clamp_min(0)]  # (B, D)
        target_cosine = (direction * own).sum(1) / own.norm(dim=1).clamp_min(tiny) * (labels >= 0)
        threshold, shift = (None, None) if gate is None else gate(target_cosine)

        scaled = direction * scale[:, None]
        inverse_norm = centers.new_empty(len(centers))  # (C,) 1 / |W_j|
        nearest = torch.full_like(scale, absent)  # running maximum of x
        nearest_index = torch.zeros_like(labels)
        top, total = nearest.clone(), torch.zeros_like(scale)  # running maximum of the gated x, and the sum of exponentials below it
        dense = dense and any(ctx.needs_input_grad)
        blocks = _blocks(labels, centers)
        width = blocks[0][1]
        logits = reusable_empty((len(features) * (len(centers) if dense else width),), features)
        scratch = reusable_empty((len(features) * width,), features)
        for first, last, rows in blocks:
            block, norm = centers[first:last], inverse_norm[first:last]
            x = torch.mm(scaled, block.T, out=_part(logits, len(features), first if dense else 0, last - first))  # (B, block)
            torch.reciprocal(torch.linalg.vector_norm(block, dim=1).clamp_min_(tiny), out=norm)  # after: the product fetched the block
            _finish_logits(x, norm, labels, rows, first)
            peak = _update_nearest(x, first, nearest, nearest_index)
            gated = _gated(x, scale, threshold, shift)
            previous, top = top, torch.maximum(top, peak if gated is x else gated.amax(1))
            below = torch.sub(gated, top[:, None], out=_part(scratch, len(features), 0, last - first)).exp_()
            total = total * torch.exp(previous - top) + below.sum(1)
        alone = nearest <= absent  # a single class has no negatives
        logsumexp = torch.where(alone, -torch.inf, top + total.log())
        nearest = torch.where(alone, -torch.inf, nearest / scale)

        ctx.save_for_backward(features, centers, labels, scale, target_cosine, logsumexp, inverse_norm, threshold, shift)
        ctx.logits = logits if dense else None
        ctx.mark_non_differentiable(nearest, nearest_index)
        return target_cosine, logsumexp, nearest, nearest_index

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_target, grad_logsumexp, _nearest, _index):
        with torch.autocast(ctx.saved_tensors[0].device.type, enabled=False):
            return _gradients(ctx, grad_target, grad_logsumexp)


def _gradients(ctx: Any, grad_target: Tensor, grad_logsumexp: Tensor) -> tuple[Tensor | None, ...]:
    """With P the softmax over the negatives (times the gate's slope) and g the gradient of L, the gradient of cos_ij is s_i g_i P_ij.

    s stays outside the (B, block) matrices, and so does the target: its B entries are added at the end.
    """
    features, centers, labels, scale, target_cosine, logsumexp, inverse_norm, threshold, shift = ctx.saved_tensors
    needs_centers, needs_scale = ctx.needs_input_grad[1], ctx.needs_input_grad[3]
    logsumexp = logsumexp.nan_to_num(neginf=0.0)  # a single class has no negatives, and no share in the gradient
    logits, ctx.logits = ctx.logits, None  # overwritten below; a second backward pass computes them again
    feature_norm = features.norm(dim=1, keepdim=True).clamp_min(torch.finfo(features.dtype).tiny)
    direction = features / feature_norm
    scaled = direction * scale[:, None]
    along = torch.zeros_like(features)  # sum_j g_i P_ij W_j / |W_j|
    grad_centers = reusable_empty(tuple(centers.shape), centers) if needs_centers else None
    grad_scale = torch.zeros_like(scale) if needs_scale else None
    blocks = _blocks(labels, centers)
    width = blocks[0][1]
    scratch = reusable_empty((len(features) * width,), features)
    recomputed = reusable_empty((len(features) * (width if logits is None else 0),), features)
    for first, last, rows in blocks:
        block, norm = centers[first:last], inverse_norm[first:last]
        if logits is None:
            x = torch.mm(scaled, block.T, out=_part(recomputed, len(features), 0, last - first))
            _finish_logits(x, norm, labels, rows, first)
        else:
            x = _part(logits, len(features), first, last - first)
        gated = _gated(x, scale, threshold, shift)
        p = torch.sub(gated, logsumexp[:, None], out=_part(scratch, len(features), 0, last - first)).exp_()  # (B, block)
        if grad_scale is not None:
            grad_scale += torch.einsum("bc,bc->b", p, gated)
        if threshold is not None:
            p *= _gate_slope(x, scale, threshold, shift)
        p *= grad_logsumexp[:, None]
        x *= p
        p *= norm
        along.addmm_(p, block)
        if grad_centers is not None:
            radial = x.sum(0).mul_(norm).mul_(norm)  # the part along W_j, which normalising removes
            torch.mul(block, radial.neg_()[:, None], out=grad_centers[first:last]).addmm_(p.T, scaled)

    own = torch.where(labels >= 0, grad_target, 0)[:, None]  # (B, 1) gradient of the target cosine
    own_norm = inverse_norm[labels.clamp_min(0), None]
    own_direction = centers[labels.clamp_min(0)] * own_norm
    along = along * scale[:, None] + own * own_direction
    grad_features = (along - direction * (along * direction).sum(1, keepdim=True)) / feature_norm
    grad_features = torch.where(features.any(1, keepdim=True), grad_features, 0)  # a zero feature has no direction to turn
    if grad_centers is not None:
        grad_centers.index_add_(0, labels.clamp_min(0), own * own_norm * (direction - target_cosine[:, None] * own_direction))
    if grad_scale is not None:
        grad_scale *= grad_logsumexp / scale
    return grad_features, grad_centers, None, grad_scale, None, None


def _absent(dtype: torch.dtype) -> float:
    return torch.finfo(dtype).min / 4


def _blocks(labels: Tensor, centers: Tensor) -> list[tuple[int, int, Tensor]]:
    """(first, last, rows): a range of classes and the rows of the batch whose own class lies in it. One transfer to the host in all."""
    count = len(centers)
    size = CPU_BLOCK if centers.device.type == "cpu" else max(CPU_BLOCK, SCRATCH_BYTES // (centers.element_size() * max(1, len(labels))))
    edges = [*range(0, count, size), count]
    ordered, order = labels.sort()
    bounds = torch.searchsorted(ordered, torch.tensor(edges, device=labels.device)).tolist()
    return [(edges[k], edges[k + 1], order[bounds[k] : bounds[k + 1]]) for k in range(len(edges) - 1)]


def _part(buffer: Tensor, rows: int, first: int, width: int) -> Tensor:
    """The contiguous (rows, width) part of a flat buffer that starts at class `first`."""
    return buffer[first * rows : (first + width) * rows].view(rows, width)


def _finish_logits(x: Tensor, inverse_norm: Tensor, labels: Tensor, rows: Tensor, first: int) -> None:
    """s * u_i W_j to s * cos_ij, the rows' own classes marked absent."""
    x.mul_(inverse_norm)
    x[rows, labels[rows] - first] = _absent(x.dtype)


def _update_nearest(x: Tensor, first: int, nearest: Tensor, nearest_index: Tensor) -> Tensor:
    """Updates the running maximum and its class, and returns the maximum of this block (B,).

    `argmax` is ten times dearer than `amax` on a CPU: it looks only at rows whose maximum rose, and there only at the group that holds it.
    """
    group = GROUP if x.shape[1] % GROUP == 0 else x.shape[1]
    grouped = x.view(len(x), -1, group)
    peaks = grouped.amax(2)  # (B, groups)
    peak = peaks.amax(1)
    rose = (peak > nearest).nonzero().flatten()
    if len(rose):
        best = peaks[rose].argmax(1)
        nearest[rose] = peak[rose]
        nearest_index[rose] = grouped[rose, best].argmax(1) + best * group + first
    return peak


def _gated(x: Tensor, scale: Tensor, threshold: Tensor | None, shift: Tensor | None) -> Tensor:
    if threshold is None or shift is None:
        return x
    s = scale[:, None]
    return torch.where(x > threshold[:, None] * s, x * (shift + x / s), x)


def _gate_slope(x: Tensor, scale: Tensor, threshold: Tensor, shift: Tensor) -> Tensor:
    s = scale[:, None]
    return torch.where(x > threshold[:, None] * s, shift + 2 * x / s, 1.0)
