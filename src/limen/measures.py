"""Quality measures by name, scores of many images, and the calibration of a model's quality."""

from pathlib import Path

import numpy as np
import torch

from limen.data import ImageSource, PairSet
from limen.embedder import Embedder
from limen.errors import LimenError
from limen.lookup import call, did_you_mean, find
from limen.onnx_embedder import OnnxEmbedder
from limen.protocols.protocol import Progress, readable_blocks
from limen.quality import Calibration, FaceSize, FeatureNorm, LearnedQuality, MagFaceNorm, QualityMeasure
from limen.quality.fit import fit_calibration
from limen.quality.model import ModelMeasure

PIXELS = {
    "sharpness": "limen.quality:Sharpness",
    "resolution": "limen.quality:Resolution",
    "exposure": "limen.quality:Exposure",
    "face_size": "limen.quality:FaceSize",
}
OF_A_MODEL: dict[str, type[ModelMeasure]] = {measure.name: measure for measure in (LearnedQuality, FeatureNorm, MagFaceNorm)}
SPELLINGS = (*PIXELS, "face_size:FILE.csv", *(f"{name}:MODEL" for name in OF_A_MODEL), "MODEL", "package.module:Class")


def create_measure(spec: str, device: str | torch.device = "cpu", embedder: Embedder | OnnxEmbedder | None = None) -> QualityMeasure:
    """The measure that `spec` names.

    sharpness, resolution, exposure                 of the pixels
    face_size:FILE.csv                              of the boxes in a CSV file with the columns file, width, height
    quality:MODEL, norm:MODEL, magface_norm:MODEL   of a model: its quality head, the length of its features; named "norm of MODEL"
    quality, norm, magface_norm                     of `embedder`, where there is one
    MODEL                                           quality:MODEL
    package.module:Class                            one of your own, made without arguments

    Raises LimenError for a name or file that is none of these, and for a model without what is asked of it.
    """
    kind, colon, argument = spec.partition(":")
    if not colon and kind in OF_A_MODEL:
        if embedder is None:
            raise LimenError(f"quality measure: {kind} of which model? Write {kind}:MODEL")
        return _of_model(kind, embedder, kind)
    if kind in OF_A_MODEL and argument:
        return _of_model(kind, Embedder.load(argument, device), f"{kind} of {model_name(argument)}")
    if kind == "face_size" and argument:
        return FaceSize(argument)
    if Path(spec).is_file():
        return _of_model("quality", Embedder.load(spec, device), f"quality of {model_name(spec)}")
    if spec not in PIXELS and not colon:
        raise LimenError(f"quality measure: {spec!r} is neither a measure nor a file; {did_you_mean(spec, SPELLINGS)}")
    return call(f"quality measure {spec}", find("quality measure", spec, PIXELS), {})


def model_name(path: str | Path) -> str:
    """What to call a model file: a run's folder says more than "model"."""
    path = Path(path)
    return path.resolve().parent.name if path.stem == "model" else path.stem


def score_images(measure: QualityMeasure, source: ImageSource, progress: Progress | None = None) -> tuple[np.ndarray, list[str]]:
    """(N,) float64 score of every image of `source`, NaN for failures to acquire; and the file and reason of each of those.

    Raises LimenError where not one image can be read.
    """
    quality = np.full(len(source), np.nan)
    failures: list[str] = []
    for numbers, images in readable_blocks(source, np.arange(len(source)), failures, progress):
        quality[numbers] = measure.score(images, [source.locate(number) for number in numbers])
    _check_any_read(source, failures)
    return quality, failures


def calibrate(
    embedder: Embedder, pairs: PairSet, fmr: float, measure: str = "quality", progress: Progress | None = None
) -> tuple[Calibration, list[str]]:
    """`fit_calibration` of a measure of create_measure on pairs held out from training, and the failures to acquire.

    The images of the pairs are the reference set. Raises LimenError as create_measure and fit_calibration do.
    """
    chosen = create_measure(measure, embedder.device, embedder)
    source = pairs.source
    quality = np.full(len(source), np.nan)
    vectors = np.full((len(source), embedder.bundle.architecture.embedding_size), np.nan)
    failures: list[str] = []
    for numbers, images in readable_blocks(source, np.arange(len(source)), failures, progress):
        found = embedder.embed(images)
        vectors[numbers] = found.vectors
        if isinstance(chosen, ModelMeasure) and chosen.recogniser is embedder:  # embedded already
            quality[numbers] = chosen.of(found)
        else:
            quality[numbers] = chosen.score(images, [source.locate(number) for number in numbers])
    _check_any_read(source, failures)
    cosine = np.einsum("ij,ij->i", vectors[pairs.first], vectors[pairs.second])
    return fit_calibration(measure, pairs.name, quality, pairs.first, pairs.second, cosine, pairs.same, fmr), failures


def _of_model(kind: str, embedder: Embedder | OnnxEmbedder, name: str) -> QualityMeasure:
    if kind == "quality" and getattr(embedder, "quality_head", None) is None:
        raise LimenError(
            f"{name}: the model has no quality head. {LearnedQuality.needs} Or measure norm, sharpness, resolution or exposure"
        )
    return OF_A_MODEL[kind](embedder, name)


def _check_any_read(source: ImageSource, failures: list[str]) -> None:
    if len(failures) == len(source):
        first = failures[0] if failures else "there is none"
        raise LimenError(f"none of the {len(source)} images can be used (first: {first}); check the path of the images")
