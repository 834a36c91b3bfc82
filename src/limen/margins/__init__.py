"""Floor 1: margins, one file per paper. A new one subclasses `Margin` and needs no more than `forward`."""

from limen.margins.adaface import AdaFace
from limen.margins.adam_softmax import AdaMSoftmax
from limen.margins.arcface import ArcFace
from limen.margins.base import Margin
from limen.margins.cosface import CosFace
from limen.margins.curricularface import CurricularFace
from limen.margins.elastic import ElasticArcFace, ElasticCosFace
from limen.margins.magface import MagFace
from limen.margins.normface import NormFace
from limen.margins.sphereface import SphereFace

__all__ = [
    "AdaFace",
    "AdaMSoftmax",
    "ArcFace",
    "CosFace",
    "CurricularFace",
    "ElasticArcFace",
    "ElasticCosFace",
    "MagFace",
    "Margin",
    "NormFace",
    "SphereFace",
]
