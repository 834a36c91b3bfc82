"""What a benchmark asks of a model, whatever it looks like on disk: pairs to compare, or galleries to search."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from limen.data.pairs import PairSet
from limen.data.source import ImageSource
from limen.data.templates import Templates


@dataclass(frozen=True)
class Gallery:
    """One gallery and the probes that search it.

    Attributes:
        name: "G1"; of the only one "".
        gallery: (G,) int64 templates.
        probe: (P,) int64 templates.
    """

    name: str
    gallery: np.ndarray
    probe: np.ndarray


@dataclass(frozen=True)
class SearchSet:
    """Galleries to search, judged by `Identification`; the rates of several are averaged.

    Attributes:
        name: what to call the set in a report.
        source: the images.
        templates: what is searched and found.
        galleries: each searched apart.
        ranks: of the closed-set rates, those that the benchmark's tables print.
        fpir: of the open-set rates; empty where every probe has a mate.
        open_rank: within how many entries the mate of a probe counts in the open set.
        counts: what the benchmark counts besides: {"templates without images": 3}.
        switches: how it was read, for people.
    """

    name: str
    source: ImageSource
    templates: Templates
    galleries: Sequence[Gallery]
    ranks: tuple[int, ...] = (1, 5, 10)
    fpir: tuple[float, ...] = ()
    open_rank: int = 1
    counts: Mapping[str, int] = field(default_factory=dict)
    switches: Mapping[str, Any] = field(default_factory=dict)


Task = PairSet | SearchSet
