"""Protocols: data on disk and an embedder -> a Result. One of your own is any object with `run(embedder)`."""

from os import PathLike
from typing import overload

from limen.data.pairs import PairSet
from limen.inference.measures import random_orders, read_quality_csv
from limen.inference.table import Progress, Table, embed_images
from limen.protocols.discard import ErrorVersusDiscard
from limen.protocols.identification import Identification
from limen.protocols.image_quality import ImageQuality, score_images
from limen.protocols.megaface import MegaFaceChallenge
from limen.protocols.pair_scores import PairScores
from limen.protocols.protocol import EvaluationProtocol, Found
from limen.protocols.result import Curve, Discarding, Interval, Metric, Mistake, Result, load_results, result_schema, save_results
from limen.protocols.runners import runner_of
from limen.protocols.task import DistractorSet, Gallery, SearchSet, Task, TrialSet
from limen.protocols.verification import Verification
from limen.quality import QualityMeasure
from limen.recogniser import Recogniser

__all__ = [
    "Curve",
    "Discarding",
    "DistractorSet",
    "ErrorVersusDiscard",
    "EvaluationProtocol",
    "Gallery",
    "Identification",
    "ImageQuality",
    "Interval",
    "MegaFaceChallenge",
    "Metric",
    "Mistake",
    "PairScores",
    "Progress",
    "QualityMeasure",
    "Recogniser",
    "Result",
    "SearchSet",
    "Table",
    "Verification",
    "embed_images",
    "evaluate",
    "load_results",
    "random_orders",
    "read_quality_csv",
    "result_schema",
    "save_results",
    "score_images",
]


@overload
def evaluate(embedder: Recogniser, protocol: PairSet | SearchSet | TrialSet | str | PathLike[str]) -> Result: ...
@overload
def evaluate(embedder: Recogniser, protocol: DistractorSet) -> list[Result]: ...
@overload
def evaluate(embedder: Recogniser, protocol: EvaluationProtocol[Found]) -> Found: ...
def evaluate(embedder: Recogniser, protocol: EvaluationProtocol | Task | str | PathLike[str]) -> Result | list[Result]:
    """Equals `protocol.run(embedder)`; a task, such as `limen.protocols.layouts.open_benchmark` gives, is judged by its runner, and a path
    is that of pairs.

    It gives what the protocol does: a Result, or a list of them: of ErrorVersusDiscard one for each quality, of MegaFace one of all images
    and one without the noisy ones.

    >>> import limen
    >>> from limen.data import SyntheticFaces, pairs_of
    >>> from limen.models.bundle import Architecture, Bundle
    >>> tensors = {f"backbone.{name}": value for name, value in limen.create_backbone("tiny", 32).state_dict().items()}
    >>> embedder = limen.Embedder(Bundle(Architecture("tiny", 32, {}), tensors))  # or Embedder.load("model.safetensors")
    >>> result = limen.evaluate(embedder, pairs_of(SyntheticFaces(10, 3), count=20, seed=0))
    >>> result.headline, 0 <= result.value(result.headline) <= 1
    ('accuracy', True)
    """
    if isinstance(protocol, str | PathLike):
        return Verification(protocol).run(embedder)
    return runner_of(protocol).run(embedder) if isinstance(protocol, Task) else protocol.run(embedder)
