"""Models side by side: the difference of each number, people drawn alike for both, and runs that differ by their seed as one."""

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import takewhile
from typing import Any

import numpy as np
from scipy.special import stdtrit

from limen.errors import LimenError
from limen.files import plain
from limen.metrics.bootstrap import percentile_interval
from limen.protocols.result import Interval, Metric, Result, Training

PAIRED = "bootstrap over subjects, the same drawn for both"
UNPAIRED = "unpaired: the two are taken for independent (MOVER, Zou and Donner 2008)"
OVER_SEEDS = "bootstrap over subjects, and seeds by Student's t (Welch-Satterthwaite)"


@dataclass(frozen=True)
class Contender:
    """One model, or K runs of one recipe that differ by their seed alone.

    name      of the model, or what the names of the runs begin with and their number
    results   of each run those by (set, kind)
    """

    name: str
    results: Sequence[dict[tuple[str, str], Result]]

    def number(self, of: tuple[str, str], key: str) -> "Number | None":
        """Its number `key` on a set; None where one of its runs has none."""
        found = [own[of] for own in self.results if of in own]
        metrics = [metric for result in found if (metric := result.metric(key)) and metric.comparable and metric.value is not None]
        return Number(metrics, [result.draws_sha256 for result in found]) if len(metrics) == len(self.results) else None


@dataclass(frozen=True)
class Number:
    """A number of K runs on one set, and the hashes of what each run was judged on."""

    runs: Sequence[Metric]
    draws: Sequence[str]

    @property
    def values(self) -> list[float]:
        return [metric.value for metric in self.runs if metric.value is not None]

    @property
    def mean(self) -> float:
        return float(np.mean(self.values))

    @property
    def std(self) -> float:
        """Over the seeds, ddof 1; 0 of a single run."""
        return float(np.std(self.values, ddof=1)) if len(self.runs) > 1 else 0.0

    @property
    def level(self) -> float:
        return next((metric.interval.level for metric in self.runs if metric.interval), 0.95)

    @property
    def few_events(self) -> bool:
        return any(metric.interval.few_events for metric in self.runs if metric.interval)

    @cached_property
    def replicates(self) -> np.ndarray | None:
        """(R,) the mean of the runs in each draw of people; None where they were not drawn alike, or nobody kept it."""
        rows = [_replicates(metric) for metric in self.runs]
        alike = self.draws[0] and len({*self.draws}) == 1 and len({len(row) for row in rows}) == 1 and len(rows[0]) > 1
        return np.mean(rows, axis=0, dtype=float) if alike else None

    def interval(self) -> Interval | None:
        """Of the mean: of one run its own, of several with their seeds in it."""
        if len(self.runs) == 1:
            return self.runs[0].interval
        if self.replicates is None:
            return None
        return _over_seeds(self.mean, self.replicates, [self], self.level, (0.0, 1.0))


def contenders(results: Sequence[Result]) -> list[Contender]:
    """The models in the order of `results`. Runs of one recipe with different seeds are one, where the first of them stands."""
    runs: dict[str, list[Result]] = {}
    for result in results:
        if result.discarding is None:
            runs.setdefault(result.model, []).append(result)
    groups: dict[str, list[str]] = {}
    for model, own in runs.items():
        training = own[0].training
        groups.setdefault(training.recipe_sha256 if training else f"model {model}", []).append(model)
    found = []
    for models in groups.values():
        seeds = {training.seed for model in models if (training := runs[model][0].training)}
        if len(models) > 1 and len(seeds) == len(models):
            found.append(Contender(_shared_name(models, runs[models[0]][0]), [_by_set(runs[model]) for model in models]))
        else:
            found += [Contender(model, [_by_set(runs[model])]) for model in models]
    return found


def training_of(facts: Mapping[str, Any]) -> Training | None:
    """How the model was trained whose file says `facts`, see `limen.models.model.Model`; None where it holds no recipe of limen's."""
    recipe = facts.get("recipe")
    if not isinstance(recipe, dict) or not isinstance(seed := recipe.get("seed"), int):
        return None
    alike = {name: value for name, value in recipe.items() if name not in ("seed", "out")} | {"people": facts.get("class_names_sha256")}
    margin = recipe.get("margin")
    name = str(margin.get("name", "")) if isinstance(margin, dict) else ""
    return Training(hashlib.sha256(json.dumps(plain(alike), sort_keys=True).encode()).hexdigest(), seed, name)


def difference(first: Number, second: Number, versus: str) -> Metric:
    """`second - first`, of which `versus` is the name of the first.

    Its interval draws the same people for both where both were judged on the same pairs and people. Where one is of several seeds, it also
    holds what other seeds would change; the seed of a single run is taken as it is. Else the intervals of the two are joined as if they
    had nothing in common, which is too wide where they have.
    """
    value = second.mean - first.mean
    few = first.few_events or second.few_events
    interval = None
    if first.replicates is not None and second.replicates is not None and first.draws[0] == second.draws[0]:
        drawn = second.replicates - first.replicates
        if max(len(first.runs), len(second.runs)) > 1:
            interval = _over_seeds(value, drawn, [first, second], first.level, (-1.0, 1.0))
        else:
            ends = percentile_interval(np.array([value]), drawn[:, None], first.level)
            interval = Interval(float(ends.low[0]), float(ends.high[0]), first.level, PAIRED)
    elif (own := first.interval()) and (other := second.interval()):
        low = value - math.hypot(second.mean - other.low, own.high - first.mean)
        high = value + math.hypot(other.high - second.mean, first.mean - own.low)
        interval = Interval(low, high, own.level, UNPAIRED)
    like = second.runs[0]
    return Metric(like.quantity, value, like.unit, like.at, versus=versus, interval=interval and replace(interval, few_events=few))


def _replicates(metric: Metric) -> np.ndarray:
    """(R,) those of the metric. Raises LimenError where they are damaged, or its interval is not theirs: a file that somebody changed."""
    try:
        drawn = metric.replicates
    except ValueError as error:
        raise LimenError(f"{metric.key}: the replicates kept of it are damaged ({error}); evaluate again") from error
    interval = metric.interval
    if len(drawn) and interval and interval.method == Interval.method:
        ends = percentile_interval(np.zeros(1), drawn[:, None].astype(float), interval.level)
        if not np.allclose([ends.low[0], ends.high[0]], [interval.low, interval.high], atol=1e-5):
            raise LimenError(f"{metric.key}: the replicates kept of it are not those of its interval; evaluate again")
    return drawn


def _over_seeds(value: float, drawn: np.ndarray, numbers: Sequence[Number], level: float, bounds: tuple[float, float]) -> Interval:
    """`value` and Student's t times the root of the variance over people, of the replicates `drawn`, and that over the seeds of each."""
    of_seeds = [(number.std**2 / len(number.runs), len(number.runs) - 1) for number in numbers if len(number.runs) > 1]
    variance = float(np.nanvar(drawn, ddof=1)) + sum(part for part, _ in of_seeds)
    spread = sum(part**2 / freedom for part, freedom in of_seeds)
    half = math.sqrt(variance) * float(stdtrit(variance**2 / spread if spread else np.inf, (1 + level) / 2))
    return Interval(max(value - half, bounds[0]), min(value + half, bounds[1]), level, OVER_SEEDS)


def _by_set(results: Sequence[Result]) -> dict[tuple[str, str], Result]:
    return {(result.name, result.kind): result for result in results}


def _shared_name(models: Sequence[str], result: Result) -> str:
    letters = takewhile(lambda column: len({*column}) == 1, zip(*models, strict=False))
    shared = "".join(column[0] for column in letters).rstrip("-_./ 0123456789").removesuffix("seed").rstrip("-_./ ")
    margin = result.training.margin if result.training else ""
    return f"{shared or margin or models[0]}, {len(models)} seeds"
