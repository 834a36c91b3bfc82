"""Qualities by name: measures of images, scores from a file, random ones; and what a calibration knows a measure by."""

import hashlib
import inspect
import json
import math
from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from limen.data.image_table import ImageTable
from limen.data.source import ImageSource
from limen.errors import LimenError
from limen.lookup import call, did_you_mean, find
from limen.models.model import Model, model_name, open_model
from limen.quality import Exposure, FaceSize, FeatureNorm, LearnedQuality, MagFaceNorm, QualityMeasure, Resolution, Sharpness
from limen.quality.model import ModelMeasure

BUILT_IN: dict[str, type[QualityMeasure]] = {measure.name: measure for measure in (Sharpness, Resolution, Exposure, FaceSize)}
TAKING_A_FILE: dict[str, Callable[..., QualityMeasure]] = {  # which they need not be given
    name: measure for name, measure in BUILT_IN.items() if inspect.signature(measure).parameters
}
OF_A_MODEL: dict[str, type[ModelMeasure]] = {measure.name: measure for measure in (LearnedQuality, FeatureNorm, MagFaceNorm)}
WITH_FILES = (*(f"{name}:FILE.csv" for name in TAKING_A_FILE), *(f"{name}:MODEL" for name in OF_A_MODEL), "MODEL")
SPELLINGS = (*BUILT_IN, *WITH_FILES, "package.module:Class")
RANDOM = "random"


def create_measure(spec: str, device: Any = "cpu", embedder: Model | None = None, **opening: Any) -> QualityMeasure:
    """The measure that `spec` names.

    sharpness, resolution, exposure                 of the pixels
    face_size:FILE.csv                              of the boxes in a CSV file with the columns file, width, height
    quality:MODEL, norm:MODEL, magface_norm:MODEL   of a model: its quality head, the length of its features; named "norm of MODEL"
    quality, norm, magface_norm                     of `embedder`, where there is one
    MODEL                                           quality:MODEL
    package.module:Class                            one of your own, made without arguments

    MODEL is a bundle; for norm also an ONNX file beside its sidecar, which has no quality head and says nothing of its margin. It is
    opened with `device` and `opening`, as by `open_model`.
    Raises LimenError for a name or file that is none of these, and for a model without what is asked of it.

    >>> import numpy as np
    >>> import limen
    >>> limen.create_measure("sharpness").score(np.zeros((1, 112, 112, 3), np.uint8))
    array([0.])
    """
    kind, _, file = spec.partition(":")
    if spec in OF_A_MODEL:
        if embedder is None:
            raise LimenError(f"quality measure: {spec} of which model? Write {spec}:MODEL")
        return OF_A_MODEL[spec](embedder, spec)
    if spec in BUILT_IN:
        return BUILT_IN[spec]()
    if kind in OF_A_MODEL and file:
        return OF_A_MODEL[kind](open_model(file, device, **opening), f"{kind} of {model_name(file)}")
    if kind in TAKING_A_FILE and file:
        return TAKING_A_FILE[kind](file)
    if Path(spec).is_file():
        return LearnedQuality(open_model(spec, device, **opening), f"quality of {model_name(spec)}")
    if ":" not in spec:
        raise LimenError(f"quality measure: {spec!r} is neither a measure nor a file; {did_you_mean(spec, SPELLINGS)}")
    return call(f"quality measure {spec}", find("quality measure", spec, {}, QualityMeasure), {})


def create_qualities(
    spec: str, sources: Sequence[ImageSource], seed: int = 0, **opening: Any
) -> tuple[str, Sequence[QualityMeasure | np.ndarray]]:
    """What to call the quality that `spec` names, and what gives it of the images of each source: a measure, or the qualities themselves.

    random      `random_orders` of each source
    FILE.csv    `read_quality_csv` for each source
    others      the measure of `create_measure`, one for all sources
    """
    if spec == RANDOM:
        return "random order", [random_orders(len(source), seed=seed) for source in sources]
    if _is_csv(spec):
        return Path(spec).stem, [read_quality_csv(spec, source) for source in sources]
    measure = create_measure(spec, **opening)
    return measure.name, [measure] * len(sources)


def file_of(spec: str) -> Path | None:
    """The file that a spec of `create_qualities` names."""
    kind, _, file = spec.partition(":")
    path = Path(file if kind in (*OF_A_MODEL, *TAKING_A_FILE) and file else spec)
    return path if spec not in (RANDOM, *BUILT_IN) and path.is_file() else None


def _is_csv(spec: str) -> bool:
    return spec.lower().endswith(".csv") and spec.partition(":")[0] not in TAKING_A_FILE


def random_orders(count: int, orders: int = 10, seed: int = 0) -> np.ndarray:
    """(orders, count) random qualities: the baseline whose areas are averaged over `orders`."""
    return np.random.default_rng(seed).random((orders, count))


def read_quality_csv(path: str | PathLike[str], source: ImageSource) -> np.ndarray:
    """(len(source),) float64 qualities of the images of `source`, from a CSV file with the columns file and quality.

    A file is named as `source.locate` names it, or as ImageTable says; other rows are passed over. An empty quality and "nan" say that
    the image has none: it is a failure to acquire.

    Raises:
        LimenError: no such CSV, a column or an image of `source` that it lacks, a quality that is no number.
    """
    return ImageTable(path, ("quality",), _quality).of(source)


def _quality(text: str) -> float:
    value = float("nan" if text == "" else text)
    if math.isinf(value):
        raise ValueError(f"{text} is not finite")
    return value


def measure_identity(spec: str, measure: QualityMeasure, embedder: Model) -> str:
    """What a calibration knows the measure of `spec` by, wherever its file lies: its name, and whose weights give it where `embedder`
    does not."""
    if not isinstance(measure, ModelMeasure) or measure.recogniser is embedder:
        return spec
    other: Any = measure.recogniser
    identity = json.dumps(other.identity, sort_keys=True)
    return f"{type(measure).name} of the model {hashlib.sha256(identity.encode()).hexdigest()[:16]}"
