"""The one place that tells which runner judges a task."""

from collections.abc import Callable, Collection, Mapping
from typing import Any, Protocol

import numpy as np

from limen.data.pairs import PairSet
from limen.data.templates import Templates
from limen.errors import LimenError
from limen.inference.table import Progress
from limen.protocols.at_far import LOOKUPS
from limen.protocols.blufr import Blufr
from limen.protocols.identification import SEARCH_LOOKUPS, Identification
from limen.protocols.megaface import MegaFaceChallenge
from limen.protocols.result import Result
from limen.protocols.task import DistractorSet, SearchSet, Task, TrialSet
from limen.protocols.verification import Verification
from limen.recogniser import Recogniser


class Runner(Protocol):
    """A task and how it is judged."""

    @property
    def name(self) -> str: ...

    def run(self, embedder: Recogniser, model: str = "", progress: Progress | None = None, **inference: Any) -> Result | list[Result]: ...


NOTHING: Mapping[str, Any] = {}
# Arguments of some runners alone: of which task, and which of their values.
OF_SOME: dict[str, Callable[[Task, Any], bool]] = {
    "far": lambda task, far: not isinstance(task, SearchSet),
    "fpir": lambda task, fpir: isinstance(task, SearchSet),
    "lookup": lambda task, lookup: lookup in _lookups(task),
    "threshold": lambda task, threshold: isinstance(task, PairSet) and bool(task.groups),
    "at_threshold": lambda task, at_threshold: isinstance(task, PairSet | SearchSet),
    "refined": lambda task, refined: isinstance(task, DistractorSet) and task.noisy_probe is not None,
    "norms": lambda task, norms: isinstance(task, PairSet | SearchSet) and _pools(task.templates) and not getattr(task, "unit", False),
    "weights": lambda task, weights: isinstance(task, PairSet | SearchSet) and _pools(task.templates, weighed=True),
}


def _lookups(task: Task) -> Collection[str]:
    return LOOKUPS if isinstance(task, PairSet) else SEARCH_LOOKUPS if isinstance(task, SearchSet) else ()


def _pools(templates: Templates | None, weighed: bool = False) -> bool:
    """Whether any of the templates is of several images; `weighed`: which have weights."""
    if templates is None or (weighed and templates.weight is None):
        return False
    return len(np.unique(templates.template)) < len(templates.template)


def concerns(task: Task, name: str, value: Any) -> bool:
    """Whether the argument `name` of this value changes anything of how the task is judged."""
    return name not in OF_SOME or OF_SOME[name](task, value)


def runner_of(task: Task, arguments: Mapping[str, Any] = NOTHING) -> Runner:
    """The runner of this kind of task, with those of the arguments that concern it."""
    taken = {name: value for name, value in arguments.items() if concerns(task, name, value)}
    if isinstance(task, PairSet):
        return Verification(task, **taken)
    if isinstance(task, SearchSet):
        return Identification(task, **taken)
    if isinstance(task, TrialSet):
        return Blufr(task, **taken)
    if isinstance(task, DistractorSet):
        return MegaFaceChallenge(task, **taken)
    raise LimenError(f"{task.name}: nothing judges a {type(task).__name__}")


def result_names(runner: Runner) -> list[str]:
    """Of the results that it will give; those of several qualities have one name."""
    return runner.names if isinstance(runner, MegaFaceChallenge) else [runner.name]
