"""Protocols: data on disk and an embedder -> a Result. One of your own is any object with `run(embedder) -> Result`."""

from os import PathLike

from limen.protocols.discard import ErrorVersusDiscard
from limen.protocols.image_quality import Measure, random_orders, read_quality_csv
from limen.protocols.protocol import Embedded, EmbedderLike, EvaluationProtocol, Progress, embed_images
from limen.protocols.result import Result, save_json
from limen.protocols.verification import PairScores, Verification

__all__ = [
    "Embedded",
    "EmbedderLike",
    "ErrorVersusDiscard",
    "EvaluationProtocol",
    "Measure",
    "PairScores",
    "Progress",
    "Result",
    "Verification",
    "embed_images",
    "evaluate",
    "random_orders",
    "read_quality_csv",
    "save_json",
]


def evaluate(embedder: EmbedderLike, protocol: EvaluationProtocol | str | PathLike[str]) -> Result:
    """Equals `protocol.run(embedder)`; a path is that of pairs, judged by `Verification`."""
    if isinstance(protocol, str | PathLike):
        protocol = Verification(protocol)
    return protocol.run(embedder)
