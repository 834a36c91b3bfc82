"""One pass over the class centres: target cosine, log-sum-exp of the scaled negatives, nearest negative.

The public function is defined by `margin_softmax_naive`, the slow lines it equals. `dense` keeps the (B, C) block of logits and costs three
matrix products, `chunked` recomputes it and costs four; both work on a block of classes while it is in the cache.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from limen.functional.margin_softmax import backward, forward, kernels, tiled
from limen.functional.margin_softmax.blocks import Update, kept_classes
from limen.functional.margin_softmax.definition import Gate, MarginSoftmax
from limen.functional.margin_softmax.forward import Options, Rest


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
    precision: str = "float32",
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
        update: called in the backward pass as update(rows, values, gradient, finite), a few rows at a time, each row once. `centers` then
            gets no gradient, and no (C, D) gradient exists at any time. `values` may be the centres' own memory. `finite` () stays on the
            device; it is False, and the gradient 0, where anything in the batch is not finite: nothing may move then.
        complete: of target cosines that are 0 for the classes of other shards, the whole ones; the gate and `hardest` see those.
        hardest: how many of the best negatives above the target cosine to return.
        precision: of the products, whose results are float32 in any case: "float32", "tf32" (CUDA alone) or "bf16". On a CPU "bf16" only
            rounds the operands: it shows what it does, and is no faster.

    Gradients flow from target_cosine and negative_logsumexp to features, centers and scale, exact to rounding. Low-precision inputs are
    raised to float32, and so is everything accumulated.

    Raises ValueError for another implementation, mismatched shapes, and a precision that the device lacks.
    """
    if features.shape[1:] != centers.shape[1:] or labels.shape != features.shape[:1]:
        raise ValueError(
            f"margin_softmax needs features (B,D), centers (C,D) and labels (B,), not "
            f"{tuple(features.shape)}, {tuple(centers.shape)} and {tuple(labels.shape)}"
        )
    dtype = torch.promote_types(torch.promote_types(features.dtype, centers.dtype), torch.float32)
    count = len(centers) if active is None else len(active)
    chosen = kernels.choose(features.device, precision, features.shape[1])
    scale_learns = gate is not None and isinstance(scale, Tensor) and scale.requires_grad
    if scale_learns or (precision == "float32" and centers.dtype.itemsize < 4):
        chosen = None  # only the pass in blocks sums what such a scale's gradient needs, and raises low centres block by block
    item = dtype.itemsize if chosen is None else min(dtype.itemsize, kernels.DTYPES[precision].itemsize)
    kept = kept_classes(implementation, count, len(features), item, features.device.type)
    safe = None if isinstance(scale, Tensor) or gate is not None or not 0 < scale <= tiled.SAFE_SCALE else scale
    with torch.autocast(features.device.type, enabled=False):
        row_scale = (scale.to(dtype) if isinstance(scale, Tensor) else features.new_full((), scale, dtype=dtype)).expand(len(features))
        options = Options(gate, active, update, complete, kept, hardest, precision, chosen, safe)
        return MarginSoftmax(*_MarginSoftmax.apply(features.to(dtype), centers, labels, row_scale, options))


class _MarginSoftmax(torch.autograd.Function):
    @staticmethod
    def forward(ctx, features, centers, labels, scale, options):
        if not any(ctx.needs_input_grad) and not options.hardest:
            options = options._replace(kept=0)
        run = forward if options.kernels is None else tiled
        outputs, ctx.blocks, rest, ctx.buffer = run.forward_pass(features, centers, labels, scale, options, ctx.needs_input_grad[3])
        ctx.save_for_backward(features, centers, scale, *rest)
        ctx.options = options
        ctx.mark_non_differentiable(*outputs[2:])
        return tuple(outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx, *grads):
        features, centers, scale, *rest = ctx.saved_tensors
        buffer, ctx.buffer = ctx.buffer, None  # overwritten; a second backward pass computes it again
        if ctx.options.update is not None and buffer is None:
            raise RuntimeError("the first backward pass has updated the centres already; a second one needs a new forward pass")
        _, needs_centers, _, needs_scale, _ = ctx.needs_input_grad
        with torch.autocast(features.device.type, enabled=False):
            run = backward if ctx.options.kernels is None else tiled
            grad_features, grad_centers, grad_scale = run.backward_pass(
                features, scale, grads[:2], ctx.blocks, ctx.options, Rest(*rest), buffer, needs_centers, needs_scale
            )
        return grad_features, None if grad_centers is None else grad_centers.to(centers.dtype), None, grad_scale, None
