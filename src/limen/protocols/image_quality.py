"""Qualities of the images of a source, one number each: from measures, from a CSV file, or at random. NaN is a failure to acquire."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from typing import Any

import numpy as np

from limen.data.image_table import ImageTable
from limen.data.source import ImageSource
from limen.inference.table import Progress, embed_images, without_quality
from limen.quality import QualityMeasure


@dataclass(frozen=True)
class ImageQuality:
    """One quality of the images of a source."""

    values: np.ndarray  # (S, N): S orders, of which all but a random one has one; NaN where an image has none
    failures: dict[int, str]  # number -> file and reason of each image that was asked for and has none


def score_images(
    measures: Sequence[QualityMeasure],
    source: ImageSource,
    indices: np.ndarray | None = None,
    progress: Progress | None = None,
    **inference: Any,
) -> list[ImageQuality]:
    """The quality by each of `measures` of the images `indices` of `source`: `embed_images` without an embedder, one quality at a time."""
    table = embed_images(None, source, indices, progress=progress, measures=measures, **inference)
    wanted = np.arange(len(source)) if indices is None else np.unique(indices)
    return [
        ImageQuality(values[None], without_quality(values, measure.name, source, wanted) | table.failures)
        for values, measure in zip(table.qualities, measures, strict=True)
    ]


def random_orders(count: int, orders: int = 10, seed: int = 0) -> np.ndarray:
    """(orders, count) qualities that know nothing: the baseline whose areas are averaged over `orders`."""
    return np.random.default_rng(seed).random((orders, count))


def _quality(text: str) -> float:
    value = float("nan" if text == "" else text)
    if math.isinf(value):
        raise ValueError(f"{text} is not finite")
    return value


def read_quality_csv(path: str | PathLike[str], source: ImageSource) -> np.ndarray:
    """(len(source),) float64 qualities of the images of `source`, from a CSV file with the columns file and quality.

    A file is named as `source.locate` names it, or as ImageTable says; other rows are passed over. An empty quality and "nan" say that
    the image has none: it is a failure to acquire.

    Raises:
        LimenError: no such CSV, a column or an image of `source` that it lacks, a quality that is no number.
    """
    return ImageTable(path, ("quality",), _quality).of(source)
