"""Protocols: data on disk and an embedder -> a Result. One of your own is any object with `run(embedder)`."""

from os import PathLike
from typing import overload

from limen.protocols.discard import ErrorVersusDiscard
from limen.protocols.image_quality import ImageQuality, Measure, random_orders, read_quality_csv, score_images
from limen.protocols.protocol import Embedded, EvaluationProtocol, Found, Progress, embed_images, readable_blocks
from limen.protocols.result import Result, save_json
from limen.protocols.verification import PairScores, Verification
from limen.recogniser import Recogniser

__all__ = [
    "Embedded",
    "ErrorVersusDiscard",
    "EvaluationProtocol",
    "ImageQuality",
    "Measure",
    "PairScores",
    "Progress",
    "Recogniser",
    "Result",
    "Verification",
    "embed_images",
    "evaluate",
    "random_orders",
    "read_quality_csv",
    "readable_blocks",
    "save_json",
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
