"""Batches on the training device: on CUDA each is copied while the one before it is used."""

from collections import deque
from collections.abc import Iterator
from typing import Any, Protocol

import torch
from torch import Tensor

from limen.data.feed.loader import Batch

BUFFERS = 3  # of the host, for each tensor of a batch: the one that is copied, the one before it, and one to fill


def on_device(batches: Iterator[Batch], device: torch.device) -> Iterator[Batch]:
    """The batches, their images, labels and changes on `device`; indices stay on the host."""
    if device.type == "cuda":
        return copied_ahead(batches, CudaCopies(device))
    return (_with(batch, [tensor.to(device) for tensor in _tensors(batch)]) for batch in batches)


class Copies(Protocol):
    """What `copied_ahead` asks of a device."""

    def buffer(self, like: Tensor) -> Tensor:
        """Memory of the host from which the device copies by itself."""

    def start(self, buffers: list[Tensor]) -> tuple[list[Tensor], Any]:
        """Their copies on the device, made beside what it computes, and an event that marks their end. It does not wait."""

    def wait(self, event: Any) -> None:
        """The host waits for `event`."""

    def hand_over(self, copies: list[Tensor], event: Any) -> None:
        """What the device computes from now on waits for `event`, and may use `copies`. The host does not wait."""


class CudaCopies:
    """Copies on a stream of their own, from pinned memory."""

    def __init__(self, device: torch.device):
        self.device, self.stream = device, torch.cuda.Stream(device)

    def buffer(self, like: Tensor) -> Tensor:
        return torch.empty_like(like, pin_memory=True)

    def start(self, buffers: list[Tensor]) -> tuple[list[Tensor], torch.cuda.Event]:
        with torch.cuda.stream(self.stream):
            copies = [buffer.to(self.device, non_blocking=True) for buffer in buffers]
        return copies, self.stream.record_event()

    def wait(self, event: torch.cuda.Event) -> None:
        event.synchronize()

    def hand_over(self, copies: list[Tensor], event: torch.cuda.Event) -> None:
        computing = torch.cuda.current_stream(self.device)
        computing.wait_event(event)
        for copy in copies:
            copy.record_stream(computing)  # its memory came from the other stream, which must not have it back before


def copied_ahead(batches: Iterator[Batch], device: Copies) -> Iterator[Batch]:
    """The batches on the device, in their order: when one is handed over, the copy of the next has begun.

    Whatever `batches` raises is raised after the last batch before it.
    """
    ring: deque[tuple[list[Tensor], Any]] = deque(maxlen=BUFFERS)  # buffers, and the event at the end of their last copy
    ahead: tuple[Batch, list[Tensor], Any] | None = None
    failure: Exception | None = None
    while True:
        try:
            batch = next(batches, None)
        except Exception as error:
            batch, failure = None, error
        before, ahead = ahead, None if batch is None else (batch, *_started(batch, ring, device))
        if before is not None:
            batch, copies, event = before
            device.hand_over(copies, event)
            yield _with(batch, copies)
        elif ahead is None:
            break
    if failure is not None:
        raise failure


def _started(batch: Batch, ring: deque[tuple[list[Tensor], Any]], device: Copies) -> tuple[list[Tensor], Any]:
    """The batch's tensors as the device will have them, and the event at the end of their copy."""
    tensors = _tensors(batch)
    buffers: list[Tensor] = []
    if len(ring) == BUFFERS:
        buffers, event = ring.popleft()
        device.wait(event)
    if [buffer.shape for buffer in buffers] != [tensor.shape for tensor in tensors]:
        buffers = [device.buffer(tensor) for tensor in tensors]
    for buffer, tensor in zip(buffers, tensors, strict=True):
        buffer.copy_(tensor)
    copies, event = device.start(buffers)
    ring.append((buffers, event))
    return copies, event


def _tensors(batch: Batch) -> list[Tensor]:
    """What the device needs of a batch."""
    changes = [] if batch.changes is None else [batch.changes.numbers, batch.changes.places]
    return [batch.images, batch.labels, *changes]


def _with(batch: Batch, tensors: list[Tensor]) -> Batch:
    """`batch` with the tensors of `_tensors` in place of its own."""
    images, labels, *changes = tensors
    moved = None if batch.changes is None else batch.changes._replace(numbers=changes[0], places=changes[1])
    return batch._replace(images=images, labels=labels, changes=moved)
