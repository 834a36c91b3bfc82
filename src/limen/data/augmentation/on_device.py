"""Changes of whole batches on the training device: the same pixels as `limen.data.augmentation.on_cpu` gives, image by image.

It asks the device for no value: which images a change meets, the host knows, for it drew them.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from limen.align import SIZE
from limen.data.augmentation.changes import OPERATIONS, Changes
from limen.data.augmentation.on_cpu import LUMA, SHARES
from limen.data.augmentation.resizing import is_fixed_point, place, resize_fixed_point, resize_float

RECTANGLE, DOWN, UP, FACTOR, GRAY, OWN, NUMBERS = slice(0, 4), 4, 5, 6, slice(9, 12), slice(12, 15), 15  # in `BatchChanges.numbers`
BITS = 10  # of the weights of `saturation`, as OpenCV takes them


class BatchChanges(NamedTuple):
    """The changes of the B images of a batch, of one size for all batches of B images."""

    numbers: Tensor
    """(B, NUMBERS) float64, of each image: what is kept, from top and left to bottom and right; its places in the tables of `resizing`;
    the factor of each operation; of saturation, the weights of red, green and blue in all three, and of each in itself"""
    places: Tensor
    """(7 * B,) int64: the images that each of STEPS changes, one step after the other, then zeros"""
    counts: list[int]
    """how many images each of STEPS changes"""


def batch_changes(changes: Sequence[Changes]) -> BatchChanges:
    """The changes of images of SIZE x SIZE pixels as `augment_batch` takes them."""
    rows = [[0.0] * (FACTOR + len(OPERATIONS)) for _ in changes]
    changed: list[list[int]] = [[] for _ in STEPS]
    for image, (row, (mirrored, kept, reduced, photometric)) in enumerate(zip(rows, changes, strict=True)):
        if mirrored:
            changed[0].append(image)
        if kept is not None:
            changed[1].append(image)
            top, left, height, width = kept
            row[RECTANGLE] = top, left, top + height, left + width
        if reduced is not None:
            side, _, down, up = reduced
            changed[2 if is_fixed_point(down, side, True) else 3].append(image)
            changed[4 if is_fixed_point(up, side, False) else 5].append(image)
            row[DOWN], row[UP] = place(down, side), place(up, side)
        for order, (operation, factor) in enumerate(photometric):
            changed[6 + 3 * order + operation].append(image)
            row[FACTOR + operation] = factor
    numbers = np.zeros((len(changes), NUMBERS))
    numbers[:, : GRAY.start] = rows
    saturation = numbers[:, FACTOR + 2, None]
    numbers[:, GRAY] = _in_fixed_point((1 - saturation) * SHARES)
    numbers[:, OWN] = _in_fixed_point(saturation + (1 - saturation) * SHARES) - numbers[:, GRAY]
    places = torch.zeros(7 * len(changes), dtype=torch.int64)
    one_after_another = torch.tensor([image for images in changed for image in images], dtype=torch.int64)
    places[: len(one_after_another)] = one_after_another
    return BatchChanges(torch.from_numpy(numbers), places, [len(images) for images in changed])


def _in_fixed_point(weights: np.ndarray) -> np.ndarray:
    return np.rint(weights.astype(np.float32) * np.float32(1 << BITS))


def augment_batch(images: Tensor, changes: BatchChanges) -> Tensor:
    """(B, SIZE, SIZE, 3) uint8 images after their changes, whose tensors are on the same device."""
    images = images.clone()
    of_steps = changes.places[: sum(changes.counts)].split(changes.counts)
    for step, places in zip(STEPS, of_steps, strict=True):
        if len(places):
            changed = step(images.index_select(0, places), changes.numbers[places])
            _words(images).index_copy_(0, places, _words(changed))
    return images


def _words(images: Tensor) -> Tensor:
    """The same memory as (n, words) int32: torch copies number by number."""
    return images.reshape(len(images), -1).view(torch.int32)


def _mirror(images: Tensor, numbers: Tensor) -> Tensor:
    return images.flip(2)


def _keep_rectangle(images: Tensor, numbers: Tensor) -> Tensor:
    top, left, bottom, right = numbers[:, RECTANGLE, None].unbind(1)  # each (n, 1)
    pixel = torch.arange(SIZE, device=images.device)
    rows, columns = (pixel >= top) & (pixel < bottom), (pixel >= left) & (pixel < right)  # (n, SIZE)
    return images * (rows[:, :, None] & columns[:, None])[..., None]


def _resize(how: Callable[[Tensor, Tensor, bool], Tensor], down: bool, images: Tensor, numbers: Tensor) -> Tensor:
    return how(images, numbers[:, DOWN if down else UP].long(), down)


def _brightness(images: Tensor, numbers: Tensor) -> Tensor:
    return _scaled(images, numbers[:, FACTOR], torch.zeros_like(numbers[:, FACTOR]))


def _contrast(images: Tensor, numbers: Tensor) -> Tensor:
    factor, sums = numbers[:, FACTOR + 1], images.sum((1, 2), dtype=torch.int64)
    total = LUMA[0] * sums[:, 0] + LUMA[1] * sums[:, 1] + LUMA[2] * sums[:, 2]
    return _scaled(images, factor, (1 - factor) * (total.double() / (10_000 * SIZE * SIZE)))


def _scaled(images: Tensor, factor: Tensor, offset: Tensor) -> Tensor:
    """factor * image + offset, both (n,), rounded and clipped: of each of the 256 levels, then of the pixels. OpenCV takes both in float32,
    and its multiply-add rounds once, to float32."""
    levels = torch.arange(256, dtype=torch.float64, device=images.device)
    factor, offset = (value.float().double()[:, None] for value in (factor, offset))
    table = (levels * factor + offset).float().round().clamp(0, 255).to(torch.uint8)  # (n, 256)
    return table.gather(1, images.flatten(1).long()).view_as(images)


def _saturation(images: Tensor, numbers: Tensor) -> Tensor:
    gray, own = numbers[:, GRAY, None].int(), numbers[:, OWN, None].int()  # (n, 3, 1)
    channels = images.flatten(1, 2).mT.int()  # (n, 3, SIZE * SIZE)
    mixed = (channels * gray).sum(1, keepdim=True, dtype=torch.int32) + channels * own
    return ((mixed + (1 << BITS - 1)) >> BITS).clamp(0, 255).to(torch.uint8).mT.reshape(images.shape)


Step = Callable[[Tensor, Tensor], Tensor]  # of n images and their numbers
RESIZINGS: list[Step] = [partial(_resize, how, down) for down in (True, False) for how in (resize_fixed_point, resize_float)]
PHOTOMETRIC: list[Step] = [_brightness, _contrast, _saturation]  # in the order of `changes.OPERATIONS`
STEPS: list[Step] = [_mirror, _keep_rectangle, *RESIZINGS, *PHOTOMETRIC * 3]
