"""Quality measures by name, and the calibration of a model's quality."""

import hashlib
import json
from pathlib import Path
from typing import Any

from limen.errors import LimenError
from limen.lookup import call, did_you_mean, find
from limen.models.model import Model, open_model
from limen.quality import FaceSize, FeatureNorm, LearnedQuality, MagFaceNorm, QualityMeasure
from limen.quality.model import ModelMeasure

PIXELS = {
    "sharpness": "limen.quality:Sharpness",
    "resolution": "limen.quality:Resolution",
    "exposure": "limen.quality:Exposure",
    "face_size": "limen.quality:FaceSize",
}
OF_A_MODEL: dict[str, type[ModelMeasure]] = {measure.name: measure for measure in (LearnedQuality, FeatureNorm, MagFaceNorm)}
SPELLINGS = (*PIXELS, "face_size:FILE.csv", *(f"{name}:MODEL" for name in OF_A_MODEL), "MODEL", "package.module:Class")


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
    """
    kind, colon, argument = spec.partition(":")
    if not colon and kind in OF_A_MODEL:
        if embedder is None:
            raise LimenError(f"quality measure: {kind} of which model? Write {kind}:MODEL")
        return OF_A_MODEL[kind](embedder, kind)
    if kind in OF_A_MODEL and argument:
        return OF_A_MODEL[kind](open_model(argument, device, **opening), f"{kind} of {model_name(argument)}")
    if kind == "face_size" and argument:
        return FaceSize(argument)
    if spec not in PIXELS and Path(spec).is_file():
        return LearnedQuality(open_model(spec, device, **opening), f"quality of {model_name(spec)}")
    if spec not in PIXELS and not colon:
        raise LimenError(f"quality measure: {spec!r} is neither a measure nor a file; {did_you_mean(spec, SPELLINGS)}")
    return call(f"quality measure {spec}", find("quality measure", spec, PIXELS, QualityMeasure), {})


def file_of(spec: str) -> Path | None:
    """The file that a spec of `create_measure`, or of a CSV of scores, names."""
    kind, colon, argument = spec.partition(":")
    path = Path(argument if colon and kind in (*OF_A_MODEL, "face_size") else spec)
    return path if spec not in PIXELS and path.is_file() else None


def model_name(path: str | Path) -> str:
    """What to call a model file: a run's folder says more than "model"."""
    path = Path(path)
    return path.resolve().parent.name if path.stem == "model" else path.stem


def measure_identity(spec: str, measure: QualityMeasure, embedder: Model) -> str:
    """What a calibration knows the measure of `spec` by, wherever its file lies: its name, and whose weights give it where `embedder`
    does not."""
    if not isinstance(measure, ModelMeasure) or measure.recogniser is embedder:
        return spec
    other: Any = measure.recogniser
    identity = json.dumps(other.identity, sort_keys=True)
    return f"{type(measure).name} of the model {hashlib.sha256(identity.encode()).hexdigest()[:16]}"
