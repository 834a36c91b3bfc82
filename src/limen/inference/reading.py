"""Reading images ahead of the network, in threads: OpenCV decodes without Python's lock, and nothing is copied between processes."""

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from limen.data.source import ImageSource
from limen.devices import cores
from limen.errors import LimenError, UnreadableImage

WORKERS = min(4, cores())
BLOCK = 256  # images in memory at a time, for each worker and one more


@dataclass(frozen=True)
class Block:
    """`images` (len(numbers), H, W, 3) of the images `numbers`; `failures` names those of the block that cannot be read, by number."""

    numbers: list[int]
    images: np.ndarray
    failures: dict[int, str]


def read_blocks(source: ImageSource, indices: np.ndarray, block: int = BLOCK, workers: int | None = None) -> Iterator[Block]:
    """The images `indices` of `source` in their order, `block` at a time, each read once.

    `workers` threads call `source.image`, at most `workers` blocks ahead; 0 reads in the calling thread when a block is asked for.
    """
    workers = WORKERS if workers is None else workers
    if workers < 0 or block < 1:
        raise LimenError(f"workers {workers}, batch size {block}: 0 or more threads and 1 image or more are needed")
    parts = (indices[start : start + block].tolist() for start in range(0, len(indices), block))
    if not workers:
        yield from (_read(source, part) for part in parts)
        return
    pool, reading = ThreadPoolExecutor(workers, "limen-reading"), deque[Future[Block]]()
    try:
        for part in parts:
            reading.append(pool.submit(_read, source, part))
            if len(reading) > workers:
                yield reading.popleft().result()
        while reading:
            yield reading.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _read(source: ImageSource, indices: list[int]) -> Block:
    numbers, images, failures = [], [], {}
    for index in indices:
        try:
            images.append(source.image(index))
            numbers.append(index)
        except UnreadableImage as error:
            failures[index] = str(error)
    return Block(numbers, np.stack(images) if images else np.empty(0, np.uint8), failures)
