"""What a protocol is."""

from typing import Any, Protocol, TypeVar

from limen.protocols.result import Result

Found = TypeVar("Found", bound=Result | list[Result], covariant=True)


class EvaluationProtocol(Protocol[Found]):
    """Anything that judges an embedder. One of your own needs this method and no more."""

    def run(self, embedder: Any) -> Found:
        """One result, or a list of them where several things are judged at once."""
        ...
