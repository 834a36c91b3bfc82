"""The backward pass: for each block two products, of the exponentials that the forward pass kept or that are computed again."""

import torch
from torch import Tensor

from limen.functional.margin_softmax.blocks import CenterBlocks, part
from limen.functional.margin_softmax.definition import NO_DIRECTION, gated
from limen.functional.margin_softmax.forward import Options, Rest, finish_exponentials, finish_logits, scaled_directions
from limen.functional.workspace import reusable_empty


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
    """Gradients of features, centers and scale, given those of target_cosine and negative_logsumexp.

    With K_ij the gradient of cos_ij over |W_j|, u the features of length one and w the centres of length one, they are K W and K^T u
    without their parts along u and w. A negative has K_ij = s_i g_i exp(x_ij - L_i) / |W_j|: a factor of the row times what the forward
    pass kept. `buffer` is that, and is overwritten. Before an update, anything that is not finite makes it all 0
    and the gradient of the features NaN.
    """
    batch = len(features)
    grad_target, grad_logsumexp = grads
    direction, scaled, _ = scaled_directions(features, scale)
    own = torch.where(blocks.labels >= 0, grad_target, 0)[:, None]  # (B, 1) gradient of the target cosine
    alone = rest.logsumexp == -torch.inf  # a single class has no negatives, and no share in the gradient
    factors = (rest.offsets - rest.logsumexp.masked_fill(alone, 0)).exp_() * (grad_logsumexp * scale)  # (blocks, B)
    finite = factors.isfinite().all() & own.isfinite().all()  # () on the device
    if options.update is not None:
        factors, own = torch.where(finite, factors, 0), torch.where(finite, own, 0)
    own_over_norm = own * rest.inverse_norm[blocks.position.clamp_min(0), None] if blocks.count else own
    along = torch.zeros_like(features)  # K W
    grad_centers = blocks.new_gradient() if needs_centers and options.update is None else None
    kept = options.kept if buffer is not None else 0
    spare = reusable_empty((batch * blocks.width if kept < blocks.count else 0,), features)
    for (first, last), factor, offset in zip(blocks.ranges, factors, rest.offsets, strict=True):
        block, norm, width = blocks.fetch(first, last), rest.inverse_norm[first:last], last - first
        if buffer is not None and last <= kept:
            k = part(buffer, batch, first, width)
        else:
            k = torch.mm(scaled, block.T, out=part(spare, batch, 0, width))
            finish_logits(k, norm, blocks, first)
        if last > kept or options.hardest:
            changed, slope = gated(k, scale, rest.threshold, rest.shift)
            finish_exponentials(torch.sub(changed, offset[:, None], out=k).exp_(), norm, slope)
        k.mul_(factor[:, None])
        blocks.put_own(k, first, own_over_norm)
        along.addmm_(k, block)
        for low in range(first, last, blocks.strip) if needs_centers else ():
            high = min(low + blocks.strip, last)
            part_of_block = slice(low - first, high - first)
            center, norm_squared = block[part_of_block], norm[part_of_block].square()
            gradient = torch.mm(k[:, part_of_block].T, direction, out=blocks.gradient_of(low, high, grad_centers))  # K^T u
            radial = torch.linalg.vecdot(gradient, center).mul_(norm_squared)
            gradient.addcmul_(center, radial[:, None], value=-1)
            if options.update is not None:
                options.update(blocks.selection(low, high), center, gradient, finite)
            else:
                blocks.put(low, high, gradient, grad_centers)

    radial = (along * direction).sum(1, keepdim=True)
    length = features.norm(dim=1, keepdim=True)
    grad_features = ((along - direction * radial) / length.clamp_min(NO_DIRECTION)).masked_fill(length < NO_DIRECTION, 0)
    if options.update is not None:
        grad_features = torch.where(finite, grad_features, torch.nan)
    grad_scale = None
    if needs_scale and rest.mean_logit is not None:
        grad_scale = grad_logsumexp * rest.mean_logit / scale
    elif needs_scale:
        grad_scale = (radial[:, 0] - own[:, 0] * rest.target_cosine) / scale
    return grad_features, grad_centers, grad_scale
