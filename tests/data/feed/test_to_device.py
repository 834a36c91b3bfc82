"""Batches copied one ahead from a ring of buffers: in order, whole, and none before the device may have it."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from limen.align import SIZE
from limen.data import Batch, BatchOrder, create_augmentation, make_loader
from limen.data.augmentation.on_device import augment_batch
from limen.data.feed.to_device import BUFFERS, copied_ahead, on_device
from limen.errors import LimenError, UnreadableImage


class SlowDevice:
    """A device that copies as late as it may: when the host waits for an event, or at the end. It notes in what order it was asked."""

    def __init__(self):
        self.log, self.left, self.made = [], {}, 0

    def buffer(self, like):
        self.made += 1
        return torch.full_like(like, 77)

    def start(self, buffers):
        event = len([what for what, _ in self.log if what == "start"])
        copies = [torch.full_like(buffer, 99) for buffer in buffers]
        self.left[event] = (buffers, copies)
        self.log.append(("start", event))
        return copies, event

    def wait(self, event):
        self.log.append(("wait", event))
        self.finish(event)

    def hand_over(self, copies, event):
        self.log.append(("hand over", event))

    def finish(self, event):
        for buffer, copy in zip(*self.left.pop(event, ((), ())), strict=True):
            copy.copy_(buffer)


def batches(count, size=4, fails_at=None):
    for number in range(count):
        if number == fails_at:
            raise LimenError(f"batch {number} cannot be read")
        filled = torch.full((size, 2, 2, 3), number, dtype=torch.uint8)
        yield Batch(filled, torch.full((size,), number), torch.arange(size), [(number, "is empty")])


@pytest.mark.parametrize("count", [0, 1, 2, 3, 10])
def test_every_batch_arrives_in_order_though_the_device_copies_late(count):
    """A buffer that were filled again before the end of its copy would give two batches the same content."""
    device = SlowDevice()
    found = list(copied_ahead(batches(count), device))
    for event in list(device.left):
        device.finish(event)
    for batch, wanted in zip(found, batches(count), strict=True):
        assert torch.equal(batch.images, wanted.images)
        assert torch.equal(batch.labels, wanted.labels)
        assert batch.unreadable == wanted.unreadable
    assert device.made <= 2 * BUFFERS


def test_one_copy_is_ahead_and_a_buffer_waits_for_the_end_of_its_last_copy():
    device, seen = SlowDevice(), []
    for number, _ in enumerate(copied_ahead(batches(6), device)):
        started = [event for what, event in device.log if what == "start"]
        assert started[-1] == min(number + 1, 5)  # this one and the next, no further
        seen.append(number)
    assert [event for what, event in device.log if what == "hand over"] == seen == list(range(6))
    order = {entry: place for place, entry in enumerate(device.log)}
    for event in range(6):
        assert order["start", event] < order["hand over", event]
        if event >= BUFFERS:
            assert order["wait", event - BUFFERS] < order["start", event]
    assert [what for what, _ in device.log].count("wait") == 6 - BUFFERS


def test_what_the_reader_raises_comes_after_the_batches_before_it():
    arriving = copied_ahead(batches(5, fails_at=3), SlowDevice())
    assert len([next(arriving) for _ in range(3)]) == 3
    with pytest.raises(LimenError, match="batch 3 cannot be read"):
        next(arriving)


def test_a_batch_of_another_size_gets_buffers_of_its_own():
    device = SlowDevice()
    found = list(copied_ahead((batch for size in (4, 4, 4, 4, 2) for batch in batches(1, size)), device))
    assert [len(batch.images) for batch in found] == [4, 4, 4, 4, 2]


class Noise:
    """Faces of noise, the fourth of which cannot be read."""

    labels, class_names = np.arange(20) % 2, ("even", "odd")

    def image(self, index):
        if index == 3:
            raise UnreadableImage("face 3: is empty")
        return np.random.default_rng(index).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)


def loaded(later, workers=0, start=0):
    order = BatchOrder(20, 5, seed=1, total_steps=8, start_step=start)
    return make_loader(Noise(), order, create_augmentation("adaface"), 3, workers, on_device=later)


def augmented(read):
    return [batch.images if batch.changes is None else augment_batch(batch.images, batch.changes) for batch in read]


@pytest.mark.parametrize(("workers", "start"), [(0, 0), (1, 3)])
def test_augmented_on_the_device_are_the_images_of_the_workers(workers, start):
    wanted = augmented(loaded(later=False))[start:]
    device = SlowDevice()
    found = list(copied_ahead(iter(loaded(True, workers, start)), device))
    for event in list(device.left):
        device.finish(event)
    changed = augmented(found)
    assert len(changed) == len(wanted) == 8 - start
    assert all(torch.equal(one, other) for one, other in zip(changed, wanted, strict=True))
    assert any(not np.array_equal(one, before.images) for one, before in zip(changed, found, strict=True))
    on_cpu = augmented(on_device(iter(loaded(True, 0, start)), torch.device("cpu")))
    assert all(torch.equal(one, other) for one, other in zip(on_cpu, wanted, strict=True))


@pytest.mark.gpu
def test_a_gpu_gets_every_batch_while_it_computes():
    device = torch.device("cuda")
    busy, sums = torch.randn(4096, 4096, device=device), []
    for batch in on_device(batches(50, size=512), device):
        for _ in range(3):
            busy = (busy @ busy).tanh_()
        sums.append(batch.images.long().sum() + batch.labels.sum())
        del batch
    assert [int(value) for value in sums] == [512 * 13 * number for number in range(50)]


@pytest.mark.gpu
def test_handing_over_waits_for_nothing():
    arriving = on_device(batches(10), torch.device("cuda"))
    for _ in range(BUFFERS + 1):
        next(arriving)
    torch.cuda.set_sync_debug_mode("error")
    try:
        assert all(one.labels.is_cuda and two.labels.is_cuda for one, two in pairwise(arriving))
    finally:
        torch.cuda.set_sync_debug_mode("default")
