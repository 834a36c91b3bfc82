"""What every part of a training run that is chosen by name answers: margin, class sampler and order of images.

The training loop asks; it does not look at types.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

Tables = dict[str, Callable[[Path], None]]  # name of a file -> what writes it


class People(Protocol):
    """Of `limen.data.FaceSource`: the people and images that are trained on."""

    labels: np.ndarray
    class_names: Sequence[str]

    def locate(self, index: int) -> str: ...


class Surroundings(NamedTuple):
    """What a part may want to know of the run it is in."""

    people: People
    class_sizes: np.ndarray  # (C,) images of each person
    first_class: int  # the first of the classes that this process holds
    gather: Callable[[np.ndarray], np.ndarray]  # every process's array, one behind the other in the order of ranks; all have to call it


class Part:
    """The answers of a part that has nothing to say. Every process asks each of them at the same step."""

    def log_values(self, around: Surroundings) -> dict[str, Any]:
        """Plain values for log.jsonl: of a margin and a class sampler at every logged step, of an order of images at every checkpoint."""
        return {}

    def announce(self, step: int, around: Surroundings) -> list[str]:
        """Lines for whoever looks on, said before the step after the first `step` ones."""
        return []

    def artifacts(self, around: Surroundings) -> Tables:
        """The tables that stay in the run's folder at its end. One process calls what writes them."""
        return {}
