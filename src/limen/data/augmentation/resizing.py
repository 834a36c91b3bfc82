"""`on_cpu.resize` of many images at once, each to a size of its own, by torch: the same pixels to the bit.

OpenCV has two kinds of arithmetic. Nearest, linear and areas that enlarge or halve multiply by weights of 11 bits, and drop bits between
columns and rows; nearest is linear with a weight of 1. Areas that reduce, cubic and Lanczos add up in float32, in a fixed order. A small
image stands in the upper left corner of one of full size.
"""

from collections.abc import Iterable, Iterator
from functools import cache, reduce
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from limen.align import SIZE
from limen.data.augmentation import taps
from limen.data.augmentation.changes import INTERPOLATIONS, LEAST_SHARE

LEAST = int(SIZE * LEAST_SHARE)  # the smallest side that is drawn
SIDES = SIZE - LEAST
ONE = 2048  # the weight of 1 in fixed point
LANES = 4  # numbers that OpenCV adds up at once, from the last row to the first; the rest of a row from the first to the last


class Tables(NamedTuple):
    """By `place(kind, side)`: pixels and weights from SIZE to `side` pixels or back, (KINDS * SIDES, SIZE, taps) each."""

    columns: Tensor
    column_weights: Tensor
    rows: Tensor
    row_weights: Tensor
    rest: Tensor
    """(KINDS * SIDES, SIZE * 3) bool: the numbers of a row that are added up from the first to the last"""


def place(kind: int, side: int) -> int:
    """Where the tables hold INTERPOLATIONS[kind] for images reduced to `side` pixels."""
    return kind * SIDES + side - LEAST


def is_fixed_point(kind: int, side: int, down: bool) -> bool:
    """Which of the two kinds of arithmetic it is, from SIZE to `side` pixels (`down`) or back."""
    return INTERPOLATIONS[kind] in ("nearest", "linear") or (INTERPOLATIONS[kind] == "area" and (not down or 2 * side == SIZE))


def resize_fixed_point(images: Tensor, places: Tensor, down: bool) -> Tensor:
    """(n, SIZE, SIZE, 3) uint8 images after the resizing at `places` (n,) of the tables."""
    table = _tables(True, down, images.device)
    wide = _added(_weighted(_columns_first(images).int(), table.columns[places], table.column_weights[places]))
    tall = _added(term >> 16 for term in _weighted(_rows_first(wide) >> 4, table.rows[places], table.row_weights[places]))
    return _as_images((tall + 2) >> 2)


def resize_float(images: Tensor, places: Tensor, down: bool) -> Tensor:
    """(n, SIZE, SIZE, 3) uint8 images after the resizing at `places` (n,) of the tables."""
    table = _tables(False, down, images.device)
    wide = _added(_weighted(_columns_first(images).float(), table.columns[places], table.column_weights[places]))
    values, pixels, weights = _rows_first(wide), table.rows[places], table.row_weights[places]
    tall = _added(_weighted(values, pixels, weights))
    if down:
        other_way = _added(_weighted(values, pixels.flip(2), weights.flip(2)))
        tall = torch.where(table.rest[places][:, None], other_way, tall)
    return _as_images(tall.round_())


def _weighted(values: Tensor, pixels: Tensor, weights: Tensor) -> Iterator[Tensor]:
    """For each tap, the lines `pixels` of `values` (n, SIZE, M), times their weights: (n, SIZE, M). A multiplication and an addition
    apart, for what fuses them rounds once where OpenCV rounds twice."""
    count, lines = len(values), values.flatten(0, 1)
    first = torch.arange(count, device=values.device)[:, None] * SIZE
    for tap in range(pixels.shape[2]):
        chosen = lines.index_select(0, (pixels[:, :, tap].long() + first).flatten())
        yield chosen.view(count, SIZE, -1).mul_(weights[:, :, tap, None])


def _added(terms: Iterable[Tensor]) -> Tensor:
    """Their sum, from the first to the last, in the memory of the first."""
    return reduce(Tensor.add_, terms)


def _columns_first(images: Tensor) -> Tensor:
    return images.transpose(1, 2).reshape(len(images), SIZE, SIZE * 3)


def _rows_first(columns: Tensor) -> Tensor:
    return columns.view(-1, SIZE, SIZE, 3).transpose(1, 2).reshape(-1, SIZE, SIZE * 3)


def _as_images(rows: Tensor) -> Tensor:
    return rows.view(-1, SIZE, SIZE, 3).clamp(0, 255).to(torch.uint8)


@cache
def _tables(fixed: bool, down: bool, device: torch.device) -> Tables:
    """The tables of one kind of arithmetic; those of the other are zeros. They are sent to a device once."""
    width, count = 2 if fixed else taps.TAPS, len(INTERPOLATIONS) * SIDES
    pixels = np.zeros((2, count, SIZE, width), np.int16)  # columns, rows
    weights = np.zeros((2, count, SIZE, width), np.int32 if fixed else np.float32)
    rest = np.zeros((count, SIZE * 3), bool)
    for kind, name in enumerate(INTERPOLATIONS):
        for side in range(LEAST, SIZE):
            if is_fixed_point(kind, side, down) != fixed:
                continue
            old, new, at = (SIZE, side, place(kind, side)) if down else (side, SIZE, place(kind, side))
            for axis in range(2):
                chosen, weight = _of(name, old, new, across=axis == 0)
                if fixed:
                    weight = np.rint(weight * np.float32(ONE)).astype(np.int32)
                elif axis == 1 and name != "area":
                    chosen, weight = chosen[:, ::-1], weight[:, ::-1]
                    rest[at, new * 3 // LANES * LANES : new * 3] = True
                pixels[axis, at, :new, : chosen.shape[1]], weights[axis, at, :new, : weight.shape[1]] = chosen, weight
    columns, rows, column_weights, row_weights = map(torch.from_numpy, (*pixels, *weights))
    return Tables(*(table.to(device) for table in (columns, column_weights, rows, row_weights, torch.from_numpy(rest))))


def _of(name: str, old: int, new: int, across: bool) -> tuple[np.ndarray, np.ndarray]:
    if name == "linear":
        return taps.linear(old, new, across)
    if name == "area" and new < old and new * 2 != old:
        return taps.areas(old, new)
    if name == "area":
        return taps.enlarging_areas(old, new) if new > old else taps.linear(old, new, across)
    return {"nearest": taps.nearest, "cubic": taps.cubic, "lanczos": taps.lanczos}[name](old, new)
