"""What the kernels compute, in plain torch on any device: their definition, and their stand-in where they cannot run."""

import torch
import torch.nn.functional as F
from torch import Tensor

from limen.functional.margin_softmax.blocks import block_size
from limen.functional.margin_softmax.definition import NO_DIRECTION, absent, gated
from limen.functional.margin_softmax.kernels import TILE, CenterState, Operands, OwnRows, Partials, SgdStep


def span(operands: Operands) -> int:
    """Classes of a call of `partials`: their logits exist at one time."""
    return block_size(len(operands.direction), operands.direction.device.type)


def partials(operands: Operands, first: int, last: int, offset: Tensor | None, kept: Tensor | None) -> Partials:
    """Of the classes at the positions first to last, a multiple of TILE or the last ones.

    x_ij = s_i cos_ij after the gate, absent where j is the sample's own class. Into `kept` (B, last - first) goes exp(x - offset) / |W_j|,
    times the gate's slope. Without an `offset` (B,) only the largest x is looked for.
    """
    norm, scale = operands.inverse_norm[first:last], operands.scale
    x = product(operands.direction, operands.rows(first, last).T, operands.precision) * norm * scale[:, None]  # (B, n)
    place = torch.arange(first, last, device=x.device)
    own = place == operands.position[:, None]
    x = x.masked_fill(own, absent(x.dtype))
    changed, slope = gated(x, scale, operands.threshold, operands.shift)
    changed = changed.masked_fill(own, absent(x.dtype))
    peaks, places = _tiles(x).max(2)
    places = (places + TILE * torch.arange(peaks.shape[1], device=x.device)).int()
    if offset is None:
        return Partials(_tiles(changed).amax(2).T, peaks.T, places.T)
    e = (changed - offset[:, None]).exp()
    if kept is not None:
        kept.copy_((e if slope is None else torch.where(own, 0, e * slope)) * norm)
    return Partials(_tiles(e, 0.0).sum(2).T, peaks.T, places.T)


def _tiles(x: Tensor, fill: float | None = None) -> Tensor:
    """(B, tiles, TILE)"""
    fill = absent(x.dtype) if fill is None else fill
    return F.pad(x, (0, -x.shape[1] % TILE), value=fill).view(len(x), -1, TILE)


def product(a: Tensor, b: Tensor, precision: str) -> Tensor:
    """a b of operands as they are, accumulated and returned in float32 or better."""
    if a.dtype != torch.bfloat16:
        return a @ b
    return torch.mm(a, b, out_dtype=torch.float32) if a.is_cuda else a.float() @ b.float()


def finish_gradient(gradient: Tensor, value: Tensor, first: int, own: OwnRows) -> None:
    """K^T u (n, D) of the centres `value` from position `first` on: the own classes' rows are added, the part along each centre removed."""
    sample = own.owner[first : first + len(gradient)]
    gradient += torch.where((sample >= 0)[:, None], own.rows[sample.clamp_min(0)], 0)
    squared = torch.linalg.vecdot(value, value)
    radial = (torch.linalg.vecdot(gradient, value) / squared).masked_fill(squared < NO_DIRECTION**2, 0)
    gradient.addcmul_(value, radial[:, None], value=-1)


def update(step: SgdStep, active: Tensor | None, first: int, last: int, gradient: Tensor, own: OwnRows, finite: Tensor) -> None:
    """`step` of the centres at the positions first to last, given their negatives' K^T u, which is overwritten."""
    rows = slice(first, last) if active is None else active[first:last]
    value = step.state.weight[rows].to(gradient.dtype)
    finish_gradient(gradient, value, first, own)
    step(rows, value, gradient, finite)
    refresh(step.state, rows)


def refresh(state: CenterState, rows: slice | Tensor = slice(None)) -> None:
    """Writes shadow and 1 / |W_j| of the centres at `rows`."""
    value = state.weight[rows]
    if state.shadow is not None:
        value = value.to(state.shadow.dtype)
        state.shadow[rows] = value
    length = torch.linalg.vector_norm(value.to(state.inverse_norm.dtype), dim=1)
    state.inverse_norm[rows] = length.reciprocal().masked_fill(length < NO_DIRECTION, 0)
