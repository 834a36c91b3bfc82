"""Protocols: data on disk and an embedder -> a Result. One of your own is any object with `run(embedder)`."""

from os import PathLike
from typing import overload

from limen.inference.measures import random_orders, read_quality_csv
from limen.inference.table import Progress, Table, embed_images
from limen.protocols.discard import ErrorVersusDiscard
from limen.protocols.image_quality import ImageQuality, score_images
from limen.protocols.pair_scores import PairScores
from limen.protocols.protocol import EvaluationProtocol, Found
from limen.protocols.result import Curve, Discarding, Interval, Metric, Result, load_results, result_schema, save_results
from limen.protocols.verification import Verification
from limen.quality import QualityMeasure
from limen.recogniser import Recogniser

__all__ = [
    "Curve",
    "Discarding",
    "ErrorVersusDiscard",
    "EvaluationProtocol",
    "ImageQuality",
    "Interval",
    "Metric",
    "PairScores",
    "Progress",
    "QualityMeasure",
    "Recogniser",
    "Result",
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
def evaluate(embedder: Recogniser, protocol: str | PathLike[str]) -> Result: ...
@overload
def evaluate(embedder: Recogniser, protocol: EvaluationProtocol[Found]) -> Found: ...
def evaluate(embedder: Recogniser, protocol: EvaluationProtocol | str | PathLike[str]) -> Result | list[Result]:
    """Equals `protocol.run(embedder)`; a path is that of pairs, judged by `Verification`.

    It gives what the protocol does: a Result, or of ErrorVersusDiscard a list of them, one for each quality.
    """
    if isinstance(protocol, str | PathLike):
        protocol = Verification(protocol)
    return protocol.run(embedder)
