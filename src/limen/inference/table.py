"""The one way from images to vectors, norms and qualities."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np

from limen.data.source import ImageSource
from limen.errors import LimenError
from limen.inference.cache import EmbeddingCache
from limen.inference.reading import BLOCK, read_blocks
from limen.quality import QualityMeasure
from limen.quality.model import ModelMeasure
from limen.recogniser import Embeddings, NoDirection, Recogniser

Progress = Callable[[int, int], None]
"""Called with (images done, images in all)."""


@dataclass(frozen=True)
class Table:
    """What became of the images of a source, in its order. NaN stands for an image that was not asked for or is a failure to acquire.

    vectors    (N, D) float32, unit length; D is 0 where there is no embedder
    norms      (N,) float32, see Embeddings
    qualities  (M, N) float64, by each of the measures
    failures   number -> file and reason of each image that cannot be read or whose feature has no direction
    """

    vectors: np.ndarray
    norms: np.ndarray
    qualities: np.ndarray
    failures: dict[int, str]


def embed_images(
    embedder: Recogniser | None,
    source: ImageSource,
    indices: Sequence[int] | np.ndarray | None = None,
    flip: bool | None = None,
    progress: Progress | None = None,
    *,
    measures: Sequence[QualityMeasure] = (),
    batch_size: int | None = None,
    workers: int | None = None,
    cache: str | PathLike[str] | None = None,
) -> Table:
    """Embeds and measures each of the images `indices` of `source` once; all of them where it is None.

    Equals `embedder.embed(images, flip)` and `measure.score(images, files)` of all images at once, but holds a few blocks in memory and
    reads ahead of the network. A network that several measures look at, or that is `embedder` too, sees each image once.

    Args:
        embedder: None measures only.
        flip: of `embedder`, see Recogniser.embed; another model of a measure has its own rule.
        batch_size: images that a network takes at a time; None leaves that to the network.
        workers: threads that read images, 0 for none; the result is the same. None is one for each core, four at most.
        cache: a folder that keeps embeddings between runs, see EmbeddingCache.

    Raises:
        LimenError: none of the images can be used.
    """
    wanted = np.arange(len(source)) if indices is None else np.unique(indices)
    seen = {id(measure.recogniser): measure.recogniser for measure in measures if isinstance(measure, ModelMeasure)}
    seen |= {} if embedder is None else {id(embedder): embedder}
    networks = {key: _network(one, flip if one is embedder else None, batch_size, cache) for key, one in seen.items()}
    vectors, norms = np.empty((len(source), 0), np.float32), np.full(len(source), np.nan, np.float32)
    qualities, failures, done = np.full((len(measures), len(source)), np.nan), dict[int, str](), 0
    for block in read_blocks(source, wanted, BLOCK if batch_size is None else batch_size, workers):
        failures |= block.failures
        done += len(block.numbers) + len(block.failures)
        if block.numbers:
            files = [source.locate(number) for number in block.numbers]
            found = {key: network(block.images) for key, network in networks.items()}
            if embedder is not None:
                own, reasons = found[id(embedder)]
                if not vectors.size:
                    vectors = np.full((len(source), own.vectors.shape[1]), np.nan, np.float32)
                vectors[block.numbers], norms[block.numbers] = own.vectors, own.norms
                failures |= {block.numbers[row]: f"{files[row]}: {reason}" for row, reason in reasons.items()}
            for row, measure in zip(qualities, measures, strict=True):
                if isinstance(measure, ModelMeasure):
                    row[block.numbers] = measure.of(found[id(measure.recogniser)][0])
                else:
                    row[block.numbers] = measure.score(block.images, files)
        if progress:
            progress(done, len(wanted))
    if len(failures) == len(wanted):
        first = failures[min(failures)] if failures else "none was asked for"
        raise LimenError(f"none of the {len(wanted)} images can be used (first: {first}); check the path of the images")
    qualities[:, list(failures)] = np.nan
    return Table(vectors, norms, qualities, dict(sorted(failures.items())))


def without_quality(values: np.ndarray, name: str, source: ImageSource, indices: np.ndarray) -> dict[int, str]:
    """The failures of those images `indices` to which `values` (..., N) give no quality: one that is not finite."""
    missing = ~np.isfinite(values).reshape(-1, len(source)).all(0)
    return {number: f"{source.locate(number)}: has no {name}" for number in indices[missing[indices]].tolist()}


def _network(
    recogniser: Recogniser, flip: bool | None, batch_size: int | None, cache: str | PathLike[str] | None
) -> Callable[[np.ndarray], tuple[Embeddings, dict[int, str]]]:
    """A function from images to their embeddings, with NaN for those without direction, and what is wrong with these, by row."""
    options: dict[str, Any] = {"flip": flip} if batch_size is None else {"flip": flip, "batch_size": batch_size}

    def embed(images: np.ndarray) -> tuple[Embeddings, dict[int, str]]:
        try:
            return recogniser.embed(images, **options), {}
        except NoDirection as error:
            return error.embeddings, error.reasons

    return embed if cache is None else EmbeddingCache(cache, recogniser, flip).around(embed)
