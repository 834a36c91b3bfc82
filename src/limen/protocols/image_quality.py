"""Qualities of the images of a source by measures, one number each. NaN is a failure to acquire."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

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
