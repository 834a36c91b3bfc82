"""Reading batches, ahead of the training step."""

import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from limen.align import SIZE
from limen.data.augmentation import Augmentation
from limen.data.augmentation.changes import Changes
from limen.data.augmentation.on_device import BatchChanges, batch_changes
from limen.data.feed.order import AUGMENTATION, BatchOrder, BatchPlan
from limen.data.images import MEAN, STD
from limen.data.source import FaceSource
from limen.errors import LimenError, UnreadableImage

BATCHES_AHEAD = 4
PR_SET_PDEATHSIG = 1  # of <sys/prctl.h>: the signal that a process gets when its parent dies


class Batch(NamedTuple):
    """One rank's share of a batch: images (B, H, W, 3) uint8 RGB, labels (B,) int64, indices (B,) int64 into the source, and
    (index, reason) of each image in the plan that could not be read, in whose place another one of the batch stands."""

    images: torch.Tensor
    labels: torch.Tensor
    indices: torch.Tensor
    unreadable: list[tuple[int, str]]
    changes: BatchChanges | None = None  # what the training device still has to do to the images


class BatchReader(Dataset[Batch]):
    """reader[plan] is the Batch of a BatchPlan, augmented by default_rng((AUGMENTATION, seed, step, rank)), whichever worker reads it.

    With `on_device` the same changes are drawn and stand in the batch, whose images are as they were read.

    In place of an image that cannot be read stands a copy of the next of the batch that can, with its label and index.

    Raises:
        LimenError: no image of a batch can be read; with `on_device`, one is not of SIZE x SIZE pixels.
    """

    def __init__(self, source: FaceSource, augment: Augmentation | None, seed: int, on_device: bool = False) -> None:
        self.source = source
        self.augment = augment
        self.seed = seed
        self.on_device = on_device and augment is not None

    def __getitem__(self, plan: BatchPlan) -> Batch:
        rng = np.random.default_rng((AUGMENTATION, self.seed, plan.step, plan.rank))
        batch = np.empty((0, 0, 0, 3), np.uint8)
        unreadable: dict[int, str] = {}  # by place in the batch
        changes = [Changes()] * len(plan.indices)
        for place, index in enumerate(plan.indices.tolist()):
            try:
                image, changes[place] = self._read(index, rng)
            except UnreadableImage as error:
                unreadable[place] = str(error)
                continue
            if not len(batch):
                batch = np.empty((len(plan.indices), *image.shape), np.uint8)
            batch[place] = image  # at once, while it is in the cache
        if not len(batch):
            raise LimenError(f"none of the {len(unreadable)} images of step {plan.step} can be read; the first: {unreadable[0]}")
        indices = plan.indices.copy()
        readable = np.setdiff1d(np.arange(len(indices)), list(unreadable))
        for place in unreadable:
            stand_in = readable[np.searchsorted(readable, place) % len(readable)]
            indices[place] = indices[stand_in]
            batch[place], changes[place] = self._read(int(indices[place]), rng)
        reasons = [(int(plan.indices[place]), reason) for place, reason in unreadable.items()]
        images, labels = torch.from_numpy(batch), torch.from_numpy(self.source.labels[indices])
        return Batch(images, labels, torch.from_numpy(indices), reasons, batch_changes(changes) if self.on_device else None)

    def _read(self, index: int, rng: np.random.Generator) -> tuple[np.ndarray, Changes]:
        """An image, and what is left to be done to it."""
        image = self.source.image(index)
        if self.augment is None:
            return image, Changes()
        if not self.on_device:
            return self.augment(image, rng), Changes()
        height, width = image.shape[:2]
        if (height, width) != (SIZE, SIZE):
            raise LimenError(
                f"{self.source.locate(index)}: is {width}x{height}; data.augment_on device is for {SIZE}x{SIZE} pixels, set it to workers"
            )
        return image, self.augment.draw(height, width, rng)


class BatchLoader(DataLoader[Batch]):
    """A DataLoader whose worker processes report a LimenError in its one line, as the main process does. They start with `iter`."""

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        return self._reported(super().__iter__())

    @staticmethod
    def _reported(batches: Iterator[Batch]) -> Iterator[Batch]:
        try:
            yield from batches
        except LimenError as error:
            # What a worker raises arrives as its whole traceback, whose last line is `limen.errors.LimenError: text`.
            raise LimenError(str(error).splitlines()[-1].removeprefix("limen.errors.LimenError: ")) from error


@contextmanager
def readers_alive() -> Iterator[None]:
    """Raises LimenError where a process that reads images is killed: PyTorch's error of that comes at any place of the main process."""
    try:
        yield
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise LimenError(
            "a process that reads images was ended from outside, for want of memory perhaps; "
            "resume from the last checkpoint (--resume auto), with fewer data.workers"
        ) from error


def make_loader(
    source: FaceSource, order: BatchOrder, augment: Augmentation | None, seed: int, workers: int, on_device: bool = False
) -> BatchLoader:
    """The batches of `order`, read by `workers` processes ahead of time, or by this one where that is 0; the same ones either way.

    With `on_device` they are augmented later, on the training device: see `BatchReader`.
    """
    return BatchLoader(
        BatchReader(source, augment, seed, on_device),
        sampler=order,
        batch_size=None,
        num_workers=workers,
        prefetch_factor=BATCHES_AHEAD if workers else None,
        worker_init_fn=_start_worker,
        collate_fn=_unchanged,
        # DataLoader draws a seed at its start; from the global generator that would shift the margins' draws on resuming.
        generator=torch.Generator(),
    )


def normalise(images: torch.Tensor) -> torch.Tensor:
    """(x / 255 - MEAN) / STD of (B, H, W, 3) uint8: (B, 3, H, W) float32 in [-1, 1], in channels-last memory.

    >>> import torch
    >>> from limen.data import normalise
    >>> normalise(torch.tensor([[[[0, 255, 255]]]], dtype=torch.uint8)).flatten()
    tensor([-1.,  1.,  1.])
    """
    return images.permute(0, 3, 1, 2).float().div_(255).sub_(MEAN).div_(STD)


def _start_worker(worker: int) -> None:
    """Workers share the cores already; threads of theirs would only fight over them.

    Ctrl-C and torchrun signal the whole group of the training process, which finishes its step first: workers leave that group. They must
    not be deaf instead, for Python ends what is left of them by SIGTERM and waits. Where the training process is killed, Linux ends them
    too, before they print errors of their own.
    """
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    if hasattr(os, "setpgid"):  # Windows has no process groups of this kind
        os.setpgid(0, 0)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


def _unchanged(batch: Any) -> Any:
    """In place of DataLoader's own conversion, which would turn the tuples of `unreadable` into lists."""
    return batch
