"""The one place that tells which runner judges a task."""

from collections.abc import Mapping
from typing import Any, Protocol

from limen.data.pairs import PairSet
from limen.errors import LimenError
from limen.inference.table import Progress
from limen.protocols.blufr import Blufr
from limen.protocols.identification import Identification
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
OF_TEMPLATES = ("norms", "weights")  # of `common`, what speaks of templates of several images


def runner_of(
    task: Task,
    common: Mapping[str, Any] = NOTHING,
    of_pairs: Mapping[str, Any] = NOTHING,
    of_searches: Mapping[str, Any] = NOTHING,
    of_distractors: Mapping[str, Any] = NOTHING,
) -> Runner:
    """The runner of this kind of task. `common` are arguments of every runner, the others those of one kind alone."""
    if isinstance(task, PairSet):
        return Verification(task, **common, **of_pairs)
    if isinstance(task, SearchSet):
        return Identification(task, **common, **of_searches)
    plain = {name: value for name, value in common.items() if name not in OF_TEMPLATES}
    if isinstance(task, TrialSet):
        return Blufr(task, **plain, far=of_pairs.get("far"))
    if isinstance(task, DistractorSet):
        return MegaFaceChallenge(task, **plain, far=of_pairs.get("far"), **of_distractors)
    raise LimenError(f"{task.name}: nothing judges a {type(task).__name__}")


def result_names(runner: Runner) -> list[str]:
    """Of the results that it will give; those of several qualities have one name."""
    return runner.names if isinstance(runner, MegaFaceChallenge) else [runner.name]
