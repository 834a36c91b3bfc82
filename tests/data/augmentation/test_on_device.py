"""Changes on the training device give the pixels of OpenCV, to the bit, and ask the device for no value."""

import itertools

import cv2
import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from limen.align import SIZE
from limen.data.augmentation.changes import INTERPOLATIONS, LEAST_SHARE, Changes, draw_adaface, draw_photometric, draw_rectangle
from limen.data.augmentation.on_cpu import apply
from limen.data.augmentation.on_device import STEPS, BatchChanges, augment_batch, batch_changes

BATCH = 30
SIDES = range(int(LEAST_SHARE * SIZE), SIZE)


def pictures(count, rng):
    """In turn: noise, what a camera would see, black and white with edges everywhere, one level with one pixel that differs."""
    images = rng.integers(0, 256, (count, SIZE, SIZE, 3), dtype=np.uint8)
    for place, image in enumerate(images):
        if place % 4 == 1:
            images[place] = cv2.GaussianBlur(image, (0, 0), 1.5)
        elif place % 4 == 2:
            images[place] = np.where(image > 127, 255, 0)
        elif place % 4 == 3:
            images[place] = image[0, 0]
            images[place, 40, 50] = 255 - image[0, 0]
    return images


def largest_difference(images, changes, device="cpu"):
    largest = 0
    for first in range(0, len(images), BATCH):
        drawn = batch_changes(changes[first : first + BATCH])
        found = augment_batch(torch.from_numpy(images[first : first + BATCH]).to(device), moved(drawn, device)).cpu()
        wanted = [apply(image, change) for image, change in zip(images[first:], changes[first : first + BATCH], strict=False)]
        largest = max(largest, np.abs(found.numpy().astype(int) - np.stack(wanted)).max())
    return largest


def moved(changes, device):
    return changes._replace(numbers=changes.numbers.to(device), places=changes.places.to(device))


def test_every_side_and_interpolation_is_opencv_s():
    """All that low resolution can draw: each of 90 sides by each of five interpolations, down and up."""
    rng, kinds = np.random.default_rng(0), range(len(INTERPOLATIONS))
    for down in kinds:
        changes = [Changes(reduced=(side, side, down, (down + side) % len(kinds))) for side in SIDES]
        assert largest_difference(pictures(len(changes), rng), changes) == 0


def all_changed(rng):
    """Every change at once, in every order of the photometric ones; a level that the first gets wrong, the others would raise."""
    orders = itertools.cycle(itertools.permutations(range(3)))
    for side, order in zip(SIDES, orders, strict=False):
        factors = {operation: factor for operation, factor in draw_photometric(rng)}
        reduced = (side, side, *(int(kind) for kind in rng.integers(len(INTERPOLATIONS), size=2)))
        yield Changes(bool(side % 2), draw_rectangle(SIZE, SIZE, rng), reduced, tuple((k, factors[k]) for k in order))


def test_all_changes_one_after_another_are_opencv_s():
    rng = np.random.default_rng(1)
    changes = list(all_changed(rng))
    assert largest_difference(pictures(len(changes), rng), changes) == 0


def test_adaface_s_augmentation_is_opencv_s():
    rng = np.random.default_rng(5)
    changes = [draw_adaface(SIZE, SIZE, rng) for _ in range(600)]
    assert largest_difference(pictures(len(changes), rng), changes) == 0


def test_factors_at_their_ends():
    rng = np.random.default_rng(6)
    changes = [Changes(photometric=((operation, factor),)) for operation in range(3) for factor in (0.5, 1.0, 1.0 + 2**-30, 1.5)]
    assert largest_difference(pictures(len(changes), rng), changes) == 0


def test_it_leaves_its_input_alone_and_nothing_is_nothing():
    images = torch.from_numpy(pictures(8, np.random.default_rng(7)))
    before = images.clone()
    assert torch.equal(augment_batch(images, batch_changes([Changes()] * 8)), before)
    augment_batch(images, batch_changes(list(all_changed(np.random.default_rng(7)))[:8]))
    assert torch.equal(images, before)


def test_it_asks_for_no_value():
    """Fake tensors have no values, and raise at every transfer to the host."""
    of_all = list(all_changed(np.random.default_rng(8)))
    drawn = batch_changes(of_all[:3] + of_all[33:45])
    images = torch.zeros(15, SIZE, SIZE, 3, dtype=torch.uint8)
    augment_batch(images, drawn)  # makes the tables
    assert all(drawn.counts)
    with FakeTensorMode(allow_non_fake_inputs=True) as fake:
        drawn = BatchChanges(fake.from_tensor(drawn.numbers), fake.from_tensor(drawn.places), drawn.counts)
        assert augment_batch(fake.from_tensor(images), drawn).shape == images.shape
    assert len(STEPS) == len(drawn.counts)


@pytest.mark.gpu
def test_a_gpu_gives_the_same_pixels_and_waits_for_nothing():
    rng = np.random.default_rng(9)
    changes = list(all_changed(rng)) + [draw_adaface(SIZE, SIZE, rng) for _ in range(1000)]
    images = pictures(len(changes), rng)
    assert largest_difference(images, changes, "cuda") == 0
    drawn, images = batch_changes(changes), torch.from_numpy(images).cuda()
    drawn = moved(drawn, "cuda")
    torch.cuda.set_sync_debug_mode("error")
    try:
        augment_batch(images, drawn)
    finally:
        torch.cuda.set_sync_debug_mode("default")
