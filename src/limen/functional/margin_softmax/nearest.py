"""The nearest and the hardest negatives: maxima of groups of classes first, single classes where it matters."""

import torch
from torch import Tensor

from limen.functional.margin_softmax.blocks import SCRATCH_BYTES, CenterBlocks
from limen.functional.margin_softmax.definition import absent


def best_of(grouped: Tensor, peaks: Tensor) -> tuple[Tensor, Tensor]:
    """The maximum of each row of a block (B,), and its place in the row, given the block as (B, groups, group) and the groups' maxima.

    `argmax` is ten times dearer than `amax` on a CPU: it looks only at the peaks, and at the group of the highest.
    """
    peak, group = peaks.max(1)
    members = grouped.gather(1, group[:, None, None].expand(-1, 1, grouped.shape[2]))[:, 0]
    return peak, members.argmax(1) + group * grouped.shape[2]


def hardest_negatives(
    wanted: int,
    peaks: list[Tensor],
    blocks: CenterBlocks,
    logits: Tensor | None,
    scaled: Tensor,
    inverse_norm: Tensor,
    scale: Tensor,
    target_cosine: Tensor,
) -> tuple[Tensor, Tensor]:
    """The `wanted` best negatives above the target cosine, and their rows of the centres.

    They lie in the `wanted` groups with the largest maxima (`peaks`, of each block), and only those are looked at: in the `logits` of all
    blocks, or without them in logits computed again.
    """
    cosines = scaled.new_full((len(scaled), wanted), -torch.inf)
    classes = torch.full((len(scaled), wanted), -1, dtype=torch.int64, device=scaled.device)
    if not wanted or not peaks:
        return cosines, classes
    all_peaks, threshold = torch.cat(peaks, 1), (target_cosine * scale)[:, None]  # (B, groups), (B, 1)
    groups = min(wanted, all_peaks.shape[1])
    offset = torch.arange(blocks.group, device=scaled.device)
    looked_at = groups * blocks.group * (scaled.shape[1] if logits is None else 1)  # values of a sample
    at_once = 16 if scaled.device.type == "cpu" else max(16, SCRATCH_BYTES // (scaled.element_size() * looked_at))
    for sample in torch.arange(len(scaled), device=scaled.device).split(at_once):
        column = (all_peaks[sample].topk(groups).indices[:, :, None] * blocks.group + offset).flatten(1)  # (n, groups * group)
        other = (column < blocks.count) & (column != blocks.position[sample, None])
        column = column.clamp_max(blocks.count - 1)
        if logits is None:
            x = torch.einsum("nd,nkd->nk", scaled[sample], blocks.values(column)) * inverse_norm[column]
        else:
            first, width = blocks.home(column)
            x = logits[first * len(scaled) + sample[:, None] * width + column - first]
        best = torch.where(other, x, absent(x.dtype)).topk(min(wanted, x.shape[1]))
        above = best.values > threshold[sample]
        found = best.values.shape[1]
        cosines[sample, :found] = torch.where(above, best.values / scale[sample, None], -torch.inf)
        classes[sample, :found] = torch.where(above, blocks.rows(column.gather(1, best.indices)), -1)
    return cosines, classes
