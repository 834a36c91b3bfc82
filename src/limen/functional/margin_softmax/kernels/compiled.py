"""The kernels in Triton: the only place that imports it. Each equals its twin in `limen.functional.margin_softmax.kernels.twins`.

A tile of logits never leaves the processor that computes it; what a centre takes part in once it has its gradient is one pass over its row.
No atomics: sums have one order. Offsets are 64 bits wide. Shapes decide the sizes of tiles, by table: a choice made by timing would change
the order of sums from run to run.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from limen.functional.margin_softmax.blocks import block_size
from limen.functional.margin_softmax.definition import NO_DIRECTION, absent
from limen.functional.margin_softmax.kernels import SPAN, TILE, CenterState, Operands, OwnRows, Partials, SgdStep

ROWS, COLUMNS = 128, TILE  # of a tile of logits that is computed
ROWS_READ = 32  # of one whose logits are read
DEPTH = {2: 64, 4: 32}  # values of an embedding that a step of a product takes, by their bytes
WARPS, STAGES = 8, 3
UPDATED = 512  # values that one program updates, in whole rows
LARGEST_SIZE = 4096  # of an embedding: an update holds whole rows in registers
IN_KERNEL = {"bf16": "ieee", "tf32": "tf32"}  # precisions whose first product the tile computes itself; others take cuBLAS's logits
ABSENT = tl.constexpr(absent(torch.float32))
SHORT = tl.constexpr(NO_DIRECTION)


@triton.jit
def tile_kernel(
    direction, centers, logits, active, inverse_norm, position, scale, offset, threshold, shift, kept, sums, peaks, places,
    batch, first, width, size, kept_stride,
    PRODUCT: tl.constexpr, PRECISION: tl.constexpr, ACTIVE: tl.constexpr, GATED: tl.constexpr, MAXIMA: tl.constexpr, KEEP: tl.constexpr,
    EVEN: tl.constexpr, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr,
):  # fmt: skip
    row_tiles = tl.cdiv(batch, M)
    tile = tl.program_id(0) // row_tiles  # programs that run together share a tile of centres
    rows = (tl.program_id(0) % row_tiles) * M + tl.arange(0, M)
    columns = tile * N + tl.arange(0, N)
    row_in, column_in = rows < batch, columns < width
    row = tl.minimum(rows, batch - 1).to(tl.int64)
    if PRODUCT:
        center = first + tl.minimum(columns, width - 1).to(tl.int64)
        if ACTIVE:
            center = tl.load(active + center)
        k = tl.arange(0, K)
        u_at = direction + row[:, None] * size + k[None, :]
        w_at = centers + center[None, :] * size + k[:, None]
        x = tl.zeros((M, N), tl.float32)
        for start in range(0, size, K):
            if EVEN:
                u, w = tl.load(u_at), tl.load(w_at)
            else:
                u = tl.load(u_at, mask=k[None, :] < size - start, other=0.0)
                w = tl.load(w_at, mask=k[:, None] < size - start, other=0.0)
            x = tl.dot(u, w, x, input_precision=PRECISION)
            u_at += K
            w_at += K
    else:
        x = tl.load(logits + row[:, None] * width + columns[None, :], mask=column_in[None, :], other=0.0)

    norm = tl.load(inverse_norm + first + columns, mask=column_in, other=0.0)
    s = tl.load(scale + row)
    own = (tl.load(position + row) - first).to(tl.int32)  # its column, or a number that none has
    there = column_in[None, :] & (columns[None, :] != own[:, None])
    x = tl.where(there, x * norm[None, :] * s[:, None], ABSENT)
    changed = x
    if GATED:
        moved = tl.load(shift)
        above = there & (x > (tl.load(threshold + row) * s)[:, None])
        changed = tl.where(above, x * (moved + x / s[:, None]), x)
    out = tile.to(tl.int64) * batch + rows
    if MAXIMA:
        tl.store(sums + out, tl.max(changed, 1), mask=row_in)
    else:
        peak, at = tl.max(x, 1, return_indices=True)
        tl.store(peaks + out, peak, mask=row_in)
        tl.store(places + out, tile * N + at, mask=row_in)
        e = tl.exp2((changed - tl.load(offset + row)[:, None]) * 1.4426950408889634)
        tl.store(sums + out, tl.sum(e, 1), mask=row_in)
        if KEEP:
            if GATED:
                e = tl.where(above, e * (moved + 2 * x / s[:, None]), e)
            at_kept = (kept + row * kept_stride)[:, None] + columns[None, :]
            tl.store(at_kept, (e * norm[None, :]).to(kept.dtype.element_ty), mask=row_in[:, None] & column_in[None, :])


@triton.jit
def rounded(value, noise, dtype: tl.constexpr):
    """bfloat16 stochastically: 16 random bits below the last kept one are added, and the rest cut off. Other types to nearest."""
    if dtype == tl.bfloat16:
        bits = (value.to(tl.int32, bitcast=True) + noise) & -65536
        return bits.to(tl.float32, bitcast=True).to(tl.bfloat16)
    return value.to(dtype)


@triton.jit
def update_kernel(
    gradient, weight, velocity, shadow, inverse_norm, active, owner, own, finite, lr, seed, momentum, decay, first, width, size,
    MOVE: tl.constexpr, MOMENTUM: tl.constexpr, SHADOW: tl.constexpr, ACTIVE: tl.constexpr, R: tl.constexpr, D: tl.constexpr,
):  # fmt: skip
    rows = tl.program_id(0).to(tl.int64) * R + tl.arange(0, R)
    columns = tl.arange(0, D)
    inside = rows < width
    if MOVE:
        inside = inside & (tl.load(finite) != 0)
    center = first + rows
    if ACTIVE:
        center = tl.load(active + center, mask=inside, other=0)
    mask = inside[:, None] & (columns < size)[None, :]
    at = center[:, None] * size + columns[None, :]
    w = tl.load(weight + at, mask=mask, other=0.0).to(tl.float32)
    if MOVE:
        g = tl.load(gradient + rows[:, None] * size + columns[None, :], mask=mask, other=0.0)
        sample = tl.load(owner + first + rows, mask=inside, other=-1).to(tl.int64)
        g += tl.load(own + sample[:, None] * size + columns[None, :], mask=mask & (sample >= 0)[:, None], other=0.0)
        squared = tl.sum(w * w, 1)
        radial = tl.where(squared < SHORT * SHORT, 0.0, tl.sum(g * w, 1) / squared)
        g += (decay - radial)[:, None] * w
        noise = tl.randint(tl.load(seed), at.to(tl.int32)).to(tl.int32, bitcast=True)
        if MOMENTUM:
            g += momentum * tl.load(velocity + at, mask=mask, other=0.0).to(tl.float32)
            tl.store(velocity + at, rounded(g, (noise >> 16) & 65535, velocity.dtype.element_ty), mask=mask)
        moved = rounded(w - tl.load(lr) * g, noise & 65535, weight.dtype.element_ty)
        tl.store(weight + at, moved, mask=mask)
        w = moved.to(tl.float32)
    if SHADOW:
        near = w.to(shadow.dtype.element_ty)
        tl.store(shadow + at, near, mask=mask)
        w = near.to(tl.float32)
    squared = tl.sum(w * w, 1)
    tl.store(inverse_norm + center, tl.where(squared < SHORT * SHORT, 0.0, tl.rsqrt(squared)), mask=inside)


@triton.jit
def product_kernel(
    a, b, out, m, n, k, a_row, a_column, b_row, b_column, PRECISION: tl.constexpr, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr
):
    rows = (tl.program_id(0) * M + tl.arange(0, M)).to(tl.int64)
    columns = (tl.program_id(1) * N + tl.arange(0, N)).to(tl.int64)
    depth = tl.arange(0, K).to(tl.int64)
    x = tl.zeros((M, N), tl.float32)
    for start in range(0, k, K):
        inner = depth + start
        left = tl.load(a + rows[:, None] * a_row + inner[None, :] * a_column, mask=(rows < m)[:, None] & (inner < k)[None, :], other=0.0)
        right = tl.load(
            b + inner[:, None] * b_row + columns[None, :] * b_column, mask=(inner < k)[:, None] & (columns < n)[None, :], other=0.0
        )
        x = tl.dot(left, right, x, input_precision=PRECISION)
    tl.store(out + rows[:, None] * n + columns[None, :], x, mask=(rows < m)[:, None] & (columns < n)[None, :])


def span(operands: Operands) -> int:
    """Classes of a call of `partials`."""
    return SPAN if operands.precision in IN_KERNEL else block_size(len(operands.direction), operands.direction.device.type)


def partials(operands: Operands, first: int, last: int, offset: Tensor | None, kept: Tensor | None) -> Partials:
    """As the twin: one launch, after one product where the tile does not compute it."""
    (batch, size), width = operands.direction.shape, last - first
    in_kernel = operands.precision in IN_KERNEL
    logits = None if in_kernel else torch.mm(operands.direction, operands.rows(first, last).T)
    tiles, depth = triton.cdiv(width, COLUMNS), DEPTH[operands.direction.itemsize]
    sums = operands.scale.new_empty(tiles, batch)
    peaks, places = torch.empty_like(sums), torch.empty_like(sums, dtype=torch.int32)
    rows = ROWS if in_kernel else ROWS_READ
    tile_kernel[(triton.cdiv(batch, rows) * tiles,)](
        operands.direction, operands.centers, logits, operands.active, operands.inverse_norm, operands.position, operands.scale,
        offset, operands.threshold, operands.shift, kept, sums, peaks, places,
        batch, first, width, size, 0 if kept is None else kept.stride(0),
        PRODUCT=in_kernel, PRECISION=IN_KERNEL.get(operands.precision, "ieee"), ACTIVE=operands.active is not None,
        GATED=operands.threshold is not None, MAXIMA=offset is None, KEEP=kept is not None, EVEN=size % depth == 0,
        M=rows, N=COLUMNS, K=depth, num_warps=WARPS, num_stages=STAGES,
    )  # fmt: skip
    return Partials(sums, peaks, places)


def product(a: Tensor, b: Tensor, precision: str) -> Tensor:
    """a b, accumulated in float32: cuBLAS's, but for TF32, which PyTorch switches on for the whole process or not at all."""
    if precision != "tf32":
        return torch.mm(a, b, out_dtype=torch.float32) if a.dtype == torch.bfloat16 else torch.mm(a, b)
    (m, k), n = a.shape, b.shape[1]
    out = torch.empty(m, n, device=a.device)
    grid = (triton.cdiv(m, 64), triton.cdiv(n, 64))
    product_kernel[grid](a, b, out, m, n, k, *a.stride(), *b.stride(), PRECISION="tf32", M=64, N=64, K=32, num_warps=4, num_stages=3)
    return out


def update(step: SgdStep, active: Tensor | None, first: int, last: int, gradient: Tensor, own: OwnRows, finite: Tensor) -> None:
    """As the twin, in one launch."""
    _launch(step.state, active, first, last - first, step, gradient, own, finite)


def refresh(state: CenterState) -> None:
    """As the twin, by the sum that an update makes: to the bit what the updates leave."""
    _launch(state, None, 0, len(state.weight))


def _launch(
    state: CenterState,
    active: Tensor | None,
    first: int,
    width: int,
    step: SgdStep | None = None,
    gradient: Tensor | None = None,
    own: OwnRows | None = None,
    finite: Tensor | None = None,
) -> None:
    size = state.weight.shape[1]
    owner, rows = (None, None) if own is None else own
    lr, seed, momentum, decay = (None, None, 0.0, 0.0) if step is None else (step.lr, step.seed, step.momentum, step.weight_decay)
    row = triton.next_power_of_2(size)
    together = max(1, UPDATED // row)
    update_kernel[(triton.cdiv(width, together),)](
        gradient, state.weight, state.velocity, state.shadow, state.inverse_norm, active, owner, rows, finite, lr, seed,
        momentum, decay, first, width, size,
        MOVE=step is not None, MOMENTUM=state.velocity is not None, SHADOW=state.shadow is not None, ACTIVE=active is not None,
        R=together, D=row, num_warps=4,
    )  # fmt: skip
