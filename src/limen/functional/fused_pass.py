"""One pass over the class centres: target cosine, log-sum-exp of the scaled negatives, nearest negative.

The public function is defined by `margin_softmax_naive`, the slow lines it equals. `dense` keeps the (B, C) block of logits and costs three
matrix products, `chunked` recomputes it and costs four; both work on a block of classes while it is in the cache.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

Gate = Callable[[Tensor], tuple[Tensor, Tensor]]  # target cosine (B,) -> threshold (B,), shift ()

CPU_BLOCK = 2048  # classes: 1 MiB of logits at B = 128, which stays in a core's second-level cache
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
        tiny = torch.finfo(features.dtype).tiny
        absent = _absent(features.dtype)
        direction = features / features.norm(dim=1, keepdim=True).clamp_min(tiny)  # (B, D)
        own = centers[labels.clamp_min(0)]  # (B, D)
        target_cosine = (direction * own).sum(1) / own.norm(dim=1).clamp_min(tiny) * (labels >= 0)
        threshold, shift = (None, None) if gate is None else gate(target_cosine)

        scaled = direction * scale[:, None]
        inverse_norm = centers.new_empty(len(centers))  # (C,) 1 / |W_j|
        nearest = torch.full_like(scale, absent)  # running maximum of x
        nearest_index = torch.zeros_like(labels)
        top = torch.full_like(scale, absent)  # running maximum of the gated x, and the sum of exponentials below it
        total = torch.zeros_like(scale)
        kept = []
        for first, last, rows in _blocks(labels, centers):
            block = centers[first:last]
            torch.reciprocal(torch.linalg.vector_norm(block, dim=1).clamp_min_(tiny), out=inverse_norm[first:last])
            x = _logits(scaled, block, inverse_norm[first:last], labels, rows, first)  # (B, block)
            _update_nearest(x, first, nearest, nearest_index)
            gated = _gated(x, scale, threshold, shift)
            previous, top = top, torch.maximum(top, gated.amax(1))
            total = total * torch.exp(previous - top) + torch.sub(gated, top[:, None]).exp_().sum(1)
            if dense and any(ctx.needs_input_grad):
                kept.append(x)
        alone = nearest <= absent  # a single class has no negatives
        logsumexp = torch.where(alone, -torch.inf, top + total.log())
        nearest = torch.where(alone, -torch.inf, nearest / scale)

        ctx.save_for_backward(features, centers, labels, scale, target_cosine, logsumexp, inverse_norm, threshold, shift)
        ctx.kept = kept
        ctx.mark_non_differentiable(nearest, nearest_index)
        return target_cosine, logsumexp, nearest, nearest_index

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_target, grad_logsumexp, _nearest, _index):
        with torch.autocast(ctx.saved_tensors[0].device.type, enabled=False):
            return _gradients(ctx, grad_target, grad_logsumexp)


def _gradients(ctx: Any, grad_target: Tensor, grad_logsumexp: Tensor) -> tuple[Tensor | None, ...]:
    features, centers, labels, scale, target_cosine, logsumexp, inverse_norm, threshold, shift = ctx.saved_tensors
    needs_centers, needs_scale = ctx.needs_input_grad[1], ctx.needs_input_grad[3]
    kept, ctx.kept = iter(ctx.kept), []  # overwritten below; a second backward pass recomputes them
    feature_norm = features.norm(dim=1, keepdim=True).clamp_min(torch.finfo(features.dtype).tiny)
    direction = features / feature_norm
    scaled = direction * scale[:, None]
    along = torch.zeros_like(features)  # sum_j H_ij W_j / |W_j| with H = (gradient of cos) / s
    grad_centers = torch.empty_like(centers) if needs_centers else None
    grad_scale = torch.zeros_like(scale) if needs_scale else None
    for first, last, rows in _blocks(labels, centers):
        block, norm = centers[first:last], inverse_norm[first:last]
        x = next(kept, None)
        if x is None:
            x = _logits(scaled, block, norm, labels, rows, first)
        gated = _gated(x, scale, threshold, shift)
        h = torch.sub(gated, logsumexp[:, None]).exp_()  # softmax over the negatives, (B, block)
        if grad_scale is not None:
            grad_scale += torch.einsum("bc,bc->b", h, gated)
        if threshold is not None:
            h *= _gate_slope(x, scale, threshold, shift)
        h *= grad_logsumexp[:, None]
        columns = labels[rows] - first
        h[rows, columns] = grad_target[rows] / scale[rows]
        x[rows, columns] = target_cosine[rows] * scale[rows]
        if grad_centers is not None:
            radial = x.mul_(h).sum(0).mul_(norm * norm)  # gradient along W_j, which normalising removes
            h *= norm
            torch.mm(h.T, scaled, out=grad_centers[first:last]).addcmul_(block, radial[:, None], value=-1)
        else:
            h *= norm
        along.addmm_(h, block)
    along *= scale[:, None]
    grad_features = (along - direction * (along * direction).sum(1, keepdim=True)) / feature_norm
    if grad_scale is not None:
        grad_scale *= grad_logsumexp / scale
    return grad_features, grad_centers, None, grad_scale, None, None


def _absent(dtype: torch.dtype) -> float:
    return torch.finfo(dtype).min / 4


def _blocks(labels: Tensor, centers: Tensor) -> Iterator[tuple[int, int, Tensor]]:
    """(first, last, rows): a range of classes and the rows of the batch whose own class lies in it. One transfer to the host in all."""
    count = len(centers)
    size = CPU_BLOCK if centers.device.type == "cpu" else max(CPU_BLOCK, SCRATCH_BYTES // (centers.element_size() * max(1, len(labels))))
    edges = [*range(0, count, size), count]
    ordered, order = labels.sort()
    bounds = torch.searchsorted(ordered, torch.tensor(edges, device=labels.device)).tolist()
    for k in range(len(edges) - 1):
        yield edges[k], edges[k + 1], order[bounds[k] : bounds[k + 1]]


def _logits(scaled: Tensor, block: Tensor, inverse_norm: Tensor, labels: Tensor, rows: Tensor, first: int) -> Tensor:
    x = torch.mm(scaled, block.T).mul_(inverse_norm)
    x[rows, labels[rows] - first] = _absent(x.dtype)
    return x


def _update_nearest(x: Tensor, first: int, nearest: Tensor, nearest_index: Tensor) -> None:
    """Looks for the index only in rows whose maximum rose: a maximum without its index is ten times cheaper on a CPU."""
    rose = (x.amax(1) > nearest).nonzero().flatten()
    if len(rose):
        values, indices = x[rose].max(1)
        nearest[rose], nearest_index[rose] = values, indices + first


def _gated(x: Tensor, scale: Tensor, threshold: Tensor | None, shift: Tensor | None) -> Tensor:
    if threshold is None or shift is None:
        return x
    s = scale[:, None]
    return torch.where(x > threshold[:, None] * s, x * (shift + x / s), x)


def _gate_slope(x: Tensor, scale: Tensor, threshold: Tensor, shift: Tensor) -> Tensor:
    s = scale[:, None]
    return torch.where(x > threshold[:, None] * s, shift + 2 * x / s, 1.0)
