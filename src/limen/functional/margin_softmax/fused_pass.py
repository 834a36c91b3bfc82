"""One pass over the class centres: target cosine, log-sum-exp of the scaled negatives, nearest negative.

The public function is defined by `margin_softmax_naive`, the slow lines it equals. `dense` keeps the (B, C) block of logits and costs three
matrix products, `chunked` recomputes it and costs four; both work on a block of classes while it is in the cache.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from limen.functional.margin_softmax.backward import backward_pass
from limen.functional.margin_softmax.blocks import KEPT_BYTES, KEPT_BYTES_ELSEWHERE, Update
from limen.functional.margin_softmax.definition import Gate, MarginSoftmax
from limen.functional.margin_softmax.forward import Options, forward_pass


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
        options = Options(gate, active, update, complete, kept, hardest)
        return MarginSoftmax(*_MarginSoftmax.apply(features.to(dtype), centers, labels, row_scale, options))


class _MarginSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx, features, centers, labels, scale, options):
        outputs, ctx.blocks, kept, ctx.logits, ctx.kept = forward_pass(features, centers, labels, scale, options, any(ctx.needs_input_grad))
        ctx.save_for_backward(features, centers, labels, scale, *kept)
        ctx.update = options.update
        ctx.mark_non_differentiable(*outputs[2:])
        return tuple(outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx, grad_target, grad_logsumexp, *_):
        with torch.autocast(grad_target.device.type, enabled=False):
            return backward_pass(ctx, grad_target, grad_logsumexp)
