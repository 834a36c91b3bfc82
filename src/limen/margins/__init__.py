"""Floor 1: margins, one file per paper. A new one subclasses `Margin` and needs no more than `forward`."""

import inspect
import json
from typing import Any

from limen.lookup import call, find
from limen.margins.adaface import AdaFace
from limen.margins.adam_softmax import AdaMSoftmax
from limen.margins.arcface import ArcFace
from limen.margins.base import Margin, margined
from limen.margins.cosface import CosFace
from limen.margins.curricularface import CurricularFace
from limen.margins.elastic import ElasticArcFace, ElasticCosFace
from limen.margins.magface import MagFace
from limen.margins.normface import NormFace
from limen.margins.sphereface import SphereFace

MARGINS = {
    margin.__name__: f"{margin.__module__}:{margin.__name__}"
    for margin in (
        AdaFace,
        AdaMSoftmax,
        ArcFace,
        CosFace,
        CurricularFace,
        ElasticArcFace,
        ElasticCosFace,
        MagFace,
        NormFace,
        SphereFace,
    )
}

__all__ = [
    "MARGINS",
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
    "create_margin",
    "margined",
    "training_options",
]


def training_options(name: str, options: dict[str, Any], begun: dict[str, Any] | None = None) -> dict[str, Any]:
    """The options of a training run: the margin's `in_training`, and `options` before them.

    The classes themselves default to their papers' equations. The exact gradient of an angular margin lets features gather, or turn away
    from all centres (docs/explanation/collapse.md), so most train with gradient="straight_through". A run that goes on, with the options
    `begun`, keeps what was chosen when it began: earlier releases chose past_peak="keep", the first nothing.

    >>> from limen.margins import training_options
    >>> training_options("ArcFace", {"m": 0.3})
    {'gradient': 'straight_through', 'm': 0.3}
    """
    margin = find("margin.name", name, MARGINS, Margin)
    defaults = {key: parameter.default for key, parameter in inspect.signature(margin).parameters.items()}
    chosen = {key: value for key, value in margin.in_training.items() if key in defaults} | options
    if begun is None:
        return chosen
    same = [defaults | json.loads(json.dumps(one)) for one in (chosen, {"past_peak": "keep"} | options, options)]
    return begun if defaults | begun in same else chosen


def create_margin(name: str, num_classes: int, **options: Any) -> Margin:
    """The margin `name` of MARGINS, or "package.module:Class" of one's own; one that takes `num_classes` is told.

    Raises LimenError for a name or an option that is not known, naming the nearest, and for a value that cannot be meant.

    >>> from limen.margins import create_margin
    >>> create_margin("ArcFace", num_classes=10, m=0.3).m
    0.3
    """
    build = find("margin.name", name, MARGINS, Margin)
    if "num_classes" in inspect.signature(build).parameters:
        options.setdefault("num_classes", num_classes)
    return call(f"margin {name}", build, options)
