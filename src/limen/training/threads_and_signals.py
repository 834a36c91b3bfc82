"""What a run takes of its process, and gives back: threads, torch's random state, Ctrl-C."""

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from limen.devices import computing_on, training_device
from limen.training.recipe import Recipe

SAME_REQUEST = 1.0  # seconds: torchrun passes a Ctrl-C on that a process may have had already
ENDED = 130  # the exit status of a program that Ctrl-C ends


@contextmanager
def own_settings(recipe: Recipe) -> Iterator[None]:
    """Until the block is left torch computes on `recipe.threads`, and draws from a random state that the caller's own survives."""
    device = training_device(recipe.device)
    devices = [torch.device(device)] if device.startswith("cuda") and torch.cuda.is_available() else []
    with computing_on(recipe.threads), torch.random.fork_rng(devices):
        yield


@contextmanager
def stop_requests() -> Iterator[list[int]]:
    """A list that fills when the process is asked to end (Ctrl-C, SIGTERM): the step in progress is finished and saved first.

    A second request, where that takes too long or never ends, ends the process at once: a thread sees to it, for the main thread may hang
    where Python runs no handler.
    """
    requests: list[int] = []
    if threading.current_thread() is not threading.main_thread():  # it alone may handle signals
        yield requests
        return
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    kinds = (signal.SIGINT, signal.SIGTERM)
    previous = {kind: signal.signal(kind, lambda number, _: requests.append(number)) for kind in kinds}
    previous_descriptor = signal.set_wakeup_fd(writing)
    watcher = threading.Thread(target=_watch, args=(reading,), daemon=True)
    watcher.start()
    try:
        yield requests
    finally:
        for kind, handler in previous.items():
            signal.signal(kind, handler)
        signal.set_wakeup_fd(previous_descriptor)
        os.write(writing, b"\0")  # no signal: the thread ends
        watcher.join()
        os.close(writing)
        os.close(reading)


def _watch(reading: int) -> None:
    asked: float | None = None
    while (number := os.read(reading, 1)) != b"\0":
        if number[0] not in (signal.SIGINT, signal.SIGTERM):
            continue
        if asked is not None and time.monotonic() - asked >= SAME_REQUEST:
            print("limen: ended at once, the step in progress is lost; go on with --resume auto", file=sys.stderr, flush=True)
            for child in multiprocessing.active_children():
                child.kill()
            os._exit(ENDED)
        asked = time.monotonic() if asked is None else asked
