"""Augmentation of whole batches on the training device, from parameters that are drawn on the CPU.

The same parameters give the same image as `limen.data.augment.apply`, within one level of 255 for each operation: OpenCV computes in fixed
point here and there, this in float32.
"""

from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor

from limen.align import SIZE
from limen.data.augment import INTERPOLATIONS, LUMA, OPERATIONS, Changes, reduced_side

COLUMNS = 8 + 2 * len(OPERATIONS)  # mirrored; top, left, height, width; reduced side, down, up; operation and factor, three times
KINDS = len(INTERPOLATIONS)
A, LOBES = -0.75, 4  # OpenCV's cubic; its Lanczos kernel has 8 taps


def parameters(changes: Sequence[Changes]) -> Tensor:
    """(B, COLUMNS) float64 of what is done to each of B images of SIZE x SIZE; a side of SIZE and operations of -1 are nothing."""
    rows = np.full((len(changes), COLUMNS), -1.0)
    for row, change in zip(rows, changes, strict=True):
        row[0] = change.mirrored
        row[1:5] = (0, 0, SIZE, SIZE) if change.kept is None else change.kept
        row[5:8] = (SIZE, 0, 0) if change.reduced is None else (reduced_side(SIZE, change.reduced[0]), *change.reduced[1:])
        for place, (operation, factor) in enumerate(change.photometric):
            row[8 + 2 * place : 10 + 2 * place] = operation, factor
    return torch.from_numpy(rows)


def augment_on_device(images: Tensor, drawn: Tensor) -> Tensor:
    """(B, SIZE, SIZE, 3) uint8 after `parameters` (B, COLUMNS), both on one device."""
    images = torch.where(drawn[:, 0, None, None, None] > 0, images.flip(2), images)
    images = _keep_rectangle(images, drawn[:, 1:5])
    values = _reduce(images.float(), drawn[:, 5:8].long())
    for place in range(len(OPERATIONS)):
        operation, factor = drawn[:, 8 + 2 * place, None, None, None], drawn[:, 9 + 2 * place, None, None, None].float()
        values = _photometric(values, operation, factor)
    return values.to(torch.uint8)


def _keep_rectangle(images: Tensor, rectangles: Tensor) -> Tensor:
    top, left, height, width = rectangles[:, :, None].unbind(1)  # each (B, 1)
    place = torch.arange(SIZE, device=images.device)
    rows, columns = (place >= top) & (place < top + height), (place >= left) & (place < left + width)
    return images * (rows[:, :, None] & columns[:, None, :])[..., None]


def _reduce(values: Tensor, reductions: Tensor) -> Tensor:
    """Each image made smaller and larger again, by two products of matrices a side; one of full size is multiplied by the identity."""
    side, down, up = reductions.unbind(1)
    smaller, larger = (table.to(values.device) for table in _tables(values.device))
    shrink, enlarge = smaller[down, side], larger[up, side]
    return _resize(_resize(values, shrink), enlarge)


def _resize(values: Tensor, matrix: Tensor) -> Tensor:
    """round(M X M^T) of each channel, clipped."""
    return torch.einsum("bij,bjkc,blk->bilc", matrix, values, matrix).round().clamp(0, 255)


def _photometric(values: Tensor, operation: Tensor, factor: Tensor) -> Tensor:
    luma = torch.tensor(LUMA, dtype=torch.float32, device=values.device)
    of_pixel = (values @ luma)[..., None]
    of_image = of_pixel.mean((1, 2), keepdim=True)
    base = torch.where(operation == 1, of_image, torch.where(operation == 2, of_pixel, 0))
    return torch.where(operation < 0, values, (factor * values + (1 - factor) * base).round().clamp(0, 255))


@cache
def _tables(device: torch.device) -> tuple[Tensor, Tensor]:
    """Down and up: (KINDS, SIZE + 1, SIZE, SIZE) matrices by interpolation and reduced side, padded by zeros; of SIZE, the identity."""
    tables = np.zeros((2, KINDS, SIZE + 1, SIZE, SIZE), np.float32)
    tables[:, :, SIZE] = np.eye(SIZE)
    for side in range(1, SIZE):
        for kind in range(KINDS):
            tables[0, kind, side, :side] = resize_matrix(SIZE, side, kind)
            tables[1, kind, side, :, :side] = resize_matrix(side, SIZE, kind)
    down, up = torch.from_numpy(tables).to(device)
    return down, up


def resize_matrix(old: int, new: int, kind: int) -> np.ndarray:
    """(new, old): one side of cv2.resize from `old` to `new` pixels by INTERPOLATIONS[kind]: nearest, area, linear, cubic, Lanczos."""
    scale = old / new
    target = np.arange(new)
    if kind == 0:
        taps, weights = np.floor(target * scale)[:, None], np.ones((new, 1))
    elif kind == 1 and new <= old:
        edges = np.arange(old + 1)
        begin, end = target[:, None] * scale, np.minimum((target[:, None] + 1) * scale, old)
        overlap = np.minimum(edges[1:], end) - np.maximum(edges[:-1], begin)
        weights = np.maximum(overlap, 0) / (end - begin)
        return weights
    elif kind == 1:  # OpenCV's area when it enlarges: linear at the edges of the old pixels
        first = np.floor(target * scale)
        share = target + 1 - (first + 1) / scale
        share = np.where(share <= 0, 0, share - np.floor(share))
        taps, weights = first[:, None] + np.arange(2), np.stack([1 - share, share], 1)
    else:
        centre = (target + 0.5) * scale - 0.5
        first, share = np.floor(centre), centre - np.floor(centre)
        reach = {2: 1, 3: 2, 4: LOBES}[kind]
        offsets = np.arange(1 - reach, reach + 1)
        taps, weights = first[:, None] + offsets, _kernel(np.abs(share[:, None] - offsets), kind)
    matrix = np.zeros((new, old))
    np.add.at(matrix, (np.repeat(target, taps.shape[1]), np.clip(taps, 0, old - 1).astype(int).ravel()), weights.ravel())
    return matrix


def _kernel(distance: np.ndarray, kind: int) -> np.ndarray:
    if kind == 2:
        return 1 - distance
    if kind == 3:
        near = ((A + 2) * distance - (A + 3)) * distance**2 + 1
        far = ((A * distance - 5 * A) * distance + 8 * A) * distance - 4 * A
        return np.where(distance <= 1, near, far)
    weights = np.sinc(distance) * np.sinc(distance / LOBES)
    return weights / weights.sum(1, keepdims=True)
