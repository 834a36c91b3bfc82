"""Floor 2: face image quality: CR-FIQA's head and target, measures of one interface, and what their scores mean."""

from limen.quality.calibration import Calibration
from limen.quality.certainty import QualityHead, certainty_ratio, quality_loss
from limen.quality.face_size import FaceSize
from limen.quality.measure import QualityMeasure
from limen.quality.model import FeatureNorm, LearnedQuality, MagFaceNorm
from limen.quality.pixels import Exposure, Resolution, Sharpness

__all__ = [
    "Calibration",
    "Exposure",
    "FaceSize",
    "FeatureNorm",
    "LearnedQuality",
    "MagFaceNorm",
    "QualityHead",
    "QualityMeasure",
    "Resolution",
    "Sharpness",
    "certainty_ratio",
    "quality_loss",
]
