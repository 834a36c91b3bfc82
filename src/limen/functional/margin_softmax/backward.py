"""The backward pass: a second walk over the blocks, from kept logits or from logits computed again."""

from typing import Any

import torch
from torch import Tensor

from limen.functional.margin_softmax.blocks import part
from limen.functional.margin_softmax.definition import NO_DIRECTION, direction_of, gate_slope, gated
from limen.functional.workspace import reusable_empty


def backward_pass(ctx: Any, grad_target: Tensor, grad_logsumexp: Tensor) -> tuple[Tensor | None, ...]:
    """With P the softmax over the negatives (times the gate's slope) and g the gradient of L, the gradient of cos_ij is s_i g_i P_ij.

    s stays outside the (B, block) matrices, and so does the target: its B entries are added to the block that holds their class.
    """
    features, centers, labels, scale, target_cosine, logsumexp, inverse_norm, threshold, shift = ctx.saved_tensors
    blocks, update = ctx.blocks, ctx.update
    needs_centers, needs_scale = ctx.needs_input_grad[1], ctx.needs_input_grad[3]
    logsumexp = logsumexp.nan_to_num(neginf=0.0)  # a single class has no negatives, and no share in the gradient
    logits, ctx.logits = ctx.logits, None  # overwritten below; a second backward pass computes them again
    kept = 0 if logits is None else ctx.kept
    if update is not None and logits is None:
        raise RuntimeError("the first backward pass has updated the centres already; a second one needs a new forward pass")
    feature_norm = features.norm(dim=1, keepdim=True)
    short, direction = feature_norm < NO_DIRECTION, direction_of(features, feature_norm)
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
        changed = gated(x, scale, threshold, shift)
        p = torch.sub(changed, logsumexp[:, None], out=part(scratch, len(features), 0, last - first)).exp_()  # (B, block)
        if grad_scale is not None:
            grad_scale += torch.einsum("bc,bc->b", p, changed)
        if threshold is not None:
            p *= gate_slope(x, scale, threshold, shift)
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
