"""The nearest and the hardest negatives: maxima of groups of classes first, single classes where it matters."""

import torch
from torch import Tensor

from limen.functional.margin_softmax.blocks import GROUP, SCRATCH_BYTES, CenterBlocks, absent


def grouped_by_class(x: Tensor) -> Tensor:
    """(B, block) seen as (B, groups, GROUP), or as one group where it does not divide."""
    return x.view(len(x), -1, GROUP if x.shape[1] % GROUP == 0 else x.shape[1])


def best_of(grouped: Tensor, peaks: Tensor) -> tuple[Tensor, Tensor]:
    """The maximum of each row of a block (B,), and its place in the row.

    `argmax` is ten times dearer than `amax` on a CPU: it looks only at the peaks, and at the group of the highest.
    """
    peak, group = peaks.max(1)
    members = grouped.gather(1, group[:, None, None].expand(-1, 1, grouped.shape[2]))[:, 0]
    return peak, members.argmax(1) + group * grouped.shape[2]


def hardest_negatives(
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
    batch = len(scaled)
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
        x = torch.where((column >= 0) & (column != blocks.position[sample, None]), x, absent(x.dtype))
        best = x.topk(min(wanted, x.shape[1]))
        above = best.values > threshold[sample, None]
        found = best.values.shape[1]
        cosines[sample, :found] = torch.where(above, best.values / scale[sample, None], -torch.inf)
        classes[sample, :found] = torch.where(above, blocks.rows(column.gather(1, best.indices)), -1)
    return cosines, classes
