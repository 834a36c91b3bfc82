import contextlib
import multiprocessing
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from limen.data import BatchOrder, BatchPlan, BatchReader, create_augmentation, make_loader, normalise
from limen.errors import LimenError, UnreadableImage
from limen.models.preprocessing import Preprocessing


class NumberedFaces:
    """Image i is noise around the level i, except for those named unreadable."""

    class_names = ("even", "odd")

    def __init__(self, count=20, unreadable=()):
        self.labels = np.arange(count) % 2
        self.unreadable = set(unreadable)

    def __len__(self):
        return len(self.labels)

    def image(self, index):
        if index in self.unreadable:
            raise UnreadableImage(f"{self.locate(index)}: is empty")
        return np.random.default_rng(index).integers(10 * index, 10 * index + 5, (112, 112, 3), dtype=np.uint8)

    def locate(self, index):
        return f"face {index}"


class ThreadCounter(NumberedFaces):
    def image(self, index):
        return np.full((112, 112, 3), torch.get_num_threads(), np.uint8)


# ---- BatchReader ----


def plan_of(*chosen, step=0, rank=0):
    return BatchPlan(step, 0, rank, np.array(chosen))


def test_a_batch_holds_the_images_of_its_plan():
    source = NumberedFaces()
    batch = BatchReader(source, None, seed=0)[plan_of(3, 8, 5)]
    assert batch.images.dtype == torch.uint8
    assert np.array_equal(batch.images, [source.image(index) for index in (3, 8, 5)])
    assert (batch.labels.tolist(), batch.labels.dtype) == ([1, 0, 1], torch.int64)
    assert (batch.indices.tolist(), batch.indices.dtype) == ([3, 8, 5], torch.int64)
    assert batch.unreadable == []


def test_the_next_readable_image_stands_in_for_an_unreadable_one():
    source = NumberedFaces(unreadable=[4, 5, 9])
    batch = BatchReader(source, None, seed=0)[plan_of(4, 5, 6, 7, 9)]
    assert batch.indices.tolist() == [6, 6, 6, 7, 6]
    assert batch.labels.tolist() == [0, 0, 0, 1, 0]
    assert np.array_equal(batch.images[4], source.image(6))
    assert batch.unreadable == [(4, "face 4: is empty"), (5, "face 5: is empty"), (9, "face 9: is empty")]


def test_augmentation_depends_on_seed_step_and_rank_alone():
    def images(seed=0, **where):
        return BatchReader(NumberedFaces(), create_augmentation("adaface"), seed)[plan_of(*range(20), **where)].images

    assert torch.equal(images(), images())
    assert not torch.equal(images(), images(seed=1))
    assert not torch.equal(images(), images(step=1))
    assert not torch.equal(images(), images(rank=1))


def test_what_the_device_is_to_change_has_to_be_of_its_size():
    class Large(NumberedFaces):
        def image(self, index):
            return np.zeros((112, 128, 3), np.uint8)

    reader = BatchReader(Large(), create_augmentation("adaface"), 0, on_device=True)
    with pytest.raises(LimenError, match=r"^face 3: is 128x112; data\.augment_on device is for 112x112 pixels, set it to workers$"):
        reader[plan_of(3, 4)]


# ---- make_loader ----


@pytest.mark.parametrize("start", [0, 3])
def test_the_batches_do_not_depend_on_the_number_of_workers_nor_on_an_interruption(start):
    def batches(workers, start):
        order = BatchOrder(20, 4, seed=1, total_steps=6, start_step=start)
        return list(make_loader(NumberedFaces(unreadable=[7]), order, create_augmentation("adaface"), 5, workers))

    expected = batches(workers=0, start=0)[start:]
    read = batches(workers=2, start=start)
    assert len(read) == len(expected) == 6 - start
    for one, other in zip(read, expected, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(one[:3], other[:3], strict=True))
        assert one.unreadable == other.unreadable


def test_a_loader_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    list(make_loader(NumberedFaces(), BatchOrder(20, 4, 1, 2), None, 0, workers=0))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_batch_without_a_readable_image_is_one_line_naming_the_first(workers):
    source = NumberedFaces(unreadable=range(20))
    with pytest.raises(LimenError, match=r"^none of the 4 images of step 0 can be read; the first: face \d+: is empty$"):
        list(make_loader(source, BatchOrder(20, 4, 1, 1), None, 0, workers))


def test_a_process_that_keeps_a_failed_loader_ends():
    """The error's traceback holds the loader, and so its workers, until the interpreter ends them; one deaf to that would be waited for."""
    program = """
import gc
from data.feed.test_loader import *
gc.disable()
try:
    list(make_loader(NumberedFaces(unreadable=range(20)), BatchOrder(20, 4, 1, 1), None, 0, workers=1))
except LimenError as error:
    kept = error
    kept.itself = kept
"""
    subprocess.run([sys.executable, "-c", program], cwd=Path(__file__).parents[2], check=True, timeout=60)


def test_workers_use_one_thread_each():
    (batch,) = make_loader(ThreadCounter(), BatchOrder(20, 4, 1, 1), None, 0, workers=1)
    assert batch.images.unique().tolist() == [1]


def read_for_ever(say):
    batches = iter(make_loader(NumberedFaces(), BatchOrder(20, 4, 1, 10**6), None, 0, workers=1))
    next(batches)
    say.send(multiprocessing.active_children()[0].pid)
    time.sleep(60)


def is_alive(pid):
    status = Path(f"/proc/{pid}/status")
    with contextlib.suppress(OSError):
        return "State:\tZ" not in status.read_text()
    return False


@pytest.mark.skipif(sys.platform != "linux", reason="of Linux")
def test_the_reader_of_a_killed_run_ends_and_says_nothing(capfd):
    fork = multiprocessing.get_context("fork")
    hear, say = fork.Pipe(duplex=False)
    run = fork.Process(target=read_for_ever, args=(say,))
    run.start()
    reader = hear.recv()
    assert is_alive(reader)
    run.kill()
    run.join()
    for _ in range(100):
        if not is_alive(reader):
            break
        time.sleep(0.02)
    assert not is_alive(reader)
    assert capfd.readouterr().err == ""


# ---- normalise ----


def test_normalise_is_its_formula_in_channels_last_memory():
    images = torch.randint(0, 256, (2, 112, 112, 3), dtype=torch.uint8)
    normalised = normalise(images)
    fed = Preprocessing()
    assert (fed.size, fed.mean, fed.std) == (112, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    assert torch.equal(normalised, (images.float().permute(0, 3, 1, 2) / 255 - 0.5) / 0.5)
    assert normalised.is_contiguous(memory_format=torch.channels_last)
    assert (normalised.min(), normalised.max()) == (-1, 1)
