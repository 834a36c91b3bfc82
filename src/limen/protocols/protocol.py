"""What a protocol is, what it asks of an embedder, and the way it gets its vectors."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np

from limen.data.source import ImageSource
from limen.errors import LimenError, UnreadableImage
from limen.protocols.result import Result
from limen.recogniser import Recogniser

Found = TypeVar("Found", bound=Result | list[Result], covariant=True)
Progress = Callable[[int, int], None]
"""Called with (images done, images in all)."""


class EvaluationProtocol(Protocol[Found]):
    """Anything that judges an embedder. One of your own needs this method and no more."""

    def run(self, embedder: Any) -> Found:
        """One result, or a list of them where several things are judged at once."""
        ...


@dataclass(frozen=True)
class Embedded:
    """Vectors of the images a protocol asked for; those of all other images, and of failures to acquire, are NaN."""

    vectors: np.ndarray  # (len(source), D) float32
    failures: dict[int, str]  # number -> file and reason of every image that could not be read


def embed_images(
    embedder: Recogniser,
    source: ImageSource,
    indices: Sequence[int] | np.ndarray,
    flip: bool | None = None,
    progress: Progress | None = None,
    block: int = 256,
) -> Embedded:
    """Embeds each of the images `indices` of `source` once, `block` images in memory at a time.

    Raises:
        LimenError: not one of the images can be read.
    """
    vectors = np.empty((len(source), 0), np.float32)
    failures: dict[int, str] = {}
    for read, images in readable_blocks(source, np.unique(indices), failures, progress, block):
        found = embedder.embed(images, flip=flip).vectors
        if not vectors.size:
            vectors = np.full((len(source), found.shape[1]), np.nan, np.float32)
        vectors[read] = found
    return Embedded(vectors, failures)


def readable_blocks(
    source: ImageSource, indices: np.ndarray, failures: dict[int, str], progress: Progress | None = None, block: int = 256
) -> Iterator[tuple[list[int], np.ndarray]]:
    """Yields (numbers, images) of those of `indices` that can be read, at most `block` at a time.

    `failures` gets the file and reason of each of the others, by its number. Raises LimenError at the end where they are all of them.
    """
    for start in range(0, len(indices), block):
        read, images = [], []
        for index in indices[start : start + block].tolist():
            try:
                images.append(source.image(index))
                read.append(index)
            except UnreadableImage as error:
                failures[index] = str(error)
        if images:
            yield read, np.stack(images)
        if progress:
            progress(min(start + block, len(indices)), len(indices))
    if len(failures) == len(indices):
        first = next(iter(failures.values()), "none was asked for")
        raise LimenError(f"none of the {len(indices)} images can be used (first: {first}); check the path of the images")
