"""What a benchmark asks of a model, whatever it looks like on disk: pairs to compare, or galleries to search."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

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
        merged: the closed-set rates are those of all galleries as one; the open set always searches each apart.
        strangers: whose false positives the open set counts: those of the "others", probes without a mate; or those of "everyone", each
            probe searching the gallery without its own person, where there are no others.
        nested: smaller galleries within the only one, smallest first, each with its probes: how rates and thresholds change with size.
        people: names of the people, by id; empty where they have none, and templates are named in their place.
        unit: templates are means of unit vectors, as enrolment makes them, whatever a runner's `norms`.
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
    merged: bool = False
    strangers: Literal["others", "everyone"] = "others"
    nested: Sequence[Gallery] = ()
    people: Sequence[str] = ()
    unit: bool = False
    counts: Mapping[str, int] = field(default_factory=dict)
    switches: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Trial:
    """One trial of BLUFR: (N,) int64 numbers of images. All pairs of `test` are compared; `probe` searches `gallery`."""

    test: np.ndarray
    gallery: np.ndarray
    probe: np.ndarray


@dataclass(frozen=True)
class TrialSet:
    """Trials over one set of images, judged by `Blufr`.

    Attributes:
        name: what to call the set in a report.
        source: the images.
        person: (N,) int64 the person in each image.
        trials: two at least, for a standard deviation over them.
        switches: how it was read, for people.
    """

    name: str
    source: ImageSource
    person: np.ndarray
    trials: Sequence[Trial]
    switches: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class DistractorSet:
    """Probes whose mates are looked for among distractors, as in MegaFace; judged by `MegaFaceChallenge`.

    Attributes:
        name: what to call the set in a report.
        source: the images.
        probe: (P,) int64 numbers of images. person: (P,) int64 the person in each.
        distractor: (N,) int64 numbers of images.
        noisy_probe, noisy_distractor: (P,) and (N,) bool, those that noise lists name; None where there are no lists.
        switches: how it was read, for people.
    """

    name: str
    source: ImageSource
    probe: np.ndarray
    person: np.ndarray
    distractor: np.ndarray
    noisy_probe: np.ndarray | None = None
    noisy_distractor: np.ndarray | None = None
    switches: Mapping[str, Any] = field(default_factory=dict)


Task = PairSet | SearchSet | TrialSet | DistractorSet


def task_counts(task: Task) -> dict[str, int]:
    """What a task holds, by the words of `Layout.expected`: "images", "people" where they are named, "templates"; of pairs "pairs" and
    "mated"; of searches "galleries", and "entries NAME" and "probes NAME" of each gallery; "trials"; with distractors "probes"
    and "distractors"."""
    counts = {"images": len(task.source)}
    if isinstance(task, TrialSet):
        return counts | {"people": len(np.unique(task.person)), "trials": len(task.trials)}
    if isinstance(task, DistractorSet):
        return counts | {"people": len(np.unique(task.person)), "probes": len(task.probe), "distractors": len(task.distractor)}
    if isinstance(task, PairSet):
        people = task.subject if task.people == "named" else None
        counts |= {"pairs": len(task), "mated": int(task.same.sum())}
    else:
        people = task.templates.person
        counts["galleries"] = len(task.galleries)
        for gallery in task.galleries:
            counts |= {f"entries {gallery.name}".rstrip(): len(gallery.gallery), f"probes {gallery.name}".rstrip(): len(gallery.probe)}
    if people is not None:
        counts["people"] = len(np.unique(people[people >= 0])) + int((people < 0).sum())
    if task.templates is not None:
        counts["templates"] = len(task.templates)
    return counts | (dict(task.counts) if isinstance(task, SearchSet) else {})
