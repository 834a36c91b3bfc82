"""What a runtime says of a graph that it has loaded, and how it is called: the same for every runtime."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

METADATA = "limen"  # the entry of a file's own metadata that holds the text of its sidecar


@dataclass(frozen=True)
class Port:
    """An input or output. `kind` is in ONNX's words, "tensor(float)"; a dimension is a number where it is fixed."""

    name: str
    kind: str
    shape: list[int | str]

    def __str__(self) -> str:
        return f"{self.name} {self.kind} [{', '.join(map(str, self.shape))}]"


@dataclass(frozen=True)
class Graph:
    """A graph ready to run.

    call       an array for the one input -> the arrays of all outputs
    runtime    the library and its version
    external   SHA-256 of each file beside the model that holds weights of it
    metadata   the text of the sidecar, where the file holds it
    precision  what the network computes in, "float32" or "bf16"
    """

    inputs: list[Port]
    outputs: list[Port]
    call: Callable[[np.ndarray], list[np.ndarray]]
    runtime: str
    external: dict[str, str] = field(default_factory=dict)
    metadata: str | None = None
    precision: str = "float32"


def first_line(error: BaseException) -> str:
    """Of a runtime's message, the first line that says something."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and not line.startswith("Exception from ")]
    return (lines or [type(error).__name__])[0]
