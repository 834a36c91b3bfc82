"""The intervals of a protocol's numbers: people drawn again, and where nothing went wrong, how often nothing would."""

import hashlib
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from limen import metrics
from limen.errors import LimenError
from limen.protocols.result import EVENTS, Interval, Metric

CLOPPER_PEARSON = "Clopper-Pearson, people drawn"


def rates_asked(what: str, rates: Iterable[float], highest: Literal["one", "below one"] = "one") -> tuple[float, ...]:
    """The rates, each once, in their order. `what`: the word for them in an error.

    Raises LimenError for one that is not above 0 and up to 1 (or below it), and for two that six digits do not tell apart.
    """
    once = tuple(dict.fromkeys(map(float, rates)))
    if not all(0 < rate < 1 or (rate == 1 and highest == "one") for rate in once):
        raise LimenError(f"{what}: {', '.join(f'{rate:g}' for rate in once)} cannot be asked for; give rates between 0 and 1")
    if len({f"{rate:g}" for rate in once}) < len(once):
        raise LimenError(f"{what}: {', '.join(map(repr, once))}: two are the same to six digits; leave one of them out")
    return once


@dataclass(frozen=True)
class Figure:
    """A number, how it is found again in a bootstrap replicate, and the pairs (P,) bool whose rate it is, of one kind or of each."""

    metric: Metric
    statistic: metrics.Statistic | None = None
    kinds: Sequence[np.ndarray] = ()


@dataclass(frozen=True)
class Bootstrap:
    """How people are drawn again: see `metrics.bootstrap_interval`."""

    replicates: int = 1000
    level: float = 0.95
    seed: int = 0

    def of(self, statistic: metrics.Statistic, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """(K, 2) low and high of the statistic's K numbers; `first`, `second` (P,) are the subjects of each pair."""
        found = metrics.bootstrap_interval(statistic, first, second, self.replicates, self.level, self.seed)
        return np.stack([found.low, found.high], axis=1)

    def figures(self, figures: Sequence[Figure], first: np.ndarray, second: np.ndarray) -> list[Metric]:
        """Their metrics; those that have a statistic with their intervals, the same people drawn for all."""
        statistics = [figure.statistic for figure in figures if figure.statistic]
        if not statistics:  # none of the rates is resolved
            return [figure.metric for figure in figures]
        every: metrics.Statistic = lambda weight: np.concatenate([np.atleast_1d(found(weight)) for found in statistics])  # noqa: E731
        drawn = metrics.bootstrap_interval(every, first, second, self.replicates, self.level, self.seed)
        rows = zip(drawn.low, drawn.high, drawn.replicates.T, strict=True)
        found = []
        for figure in figures:
            metric = figure.metric
            if figure.statistic:
                low, high, replicates = next(rows)
                metric = with_interval(metric, np.array([low, high]), self.level, first, second, figure.kinds).with_replicates(replicates)
            found.append(metric)
        return found

    def draws_sha256(self, names: Iterable[str], *numbers: np.ndarray) -> str:
        """SHA-256 of what is judged, by the `names` of its images or templates and any `numbers` that say what is compared and whose it
        is, and of how people are drawn. Where the images lie makes no difference: of a path its last part counts."""
        digest = hashlib.sha256(repr((self.replicates, self.level, self.seed)).encode())
        for name in names:
            digest.update(os.fsencode(str(name).replace("\\", "/").rpartition("/")[2]) + b"\0")
        for array in numbers:
            digest.update(repr(array.shape).encode() + np.ascontiguousarray(array, "<i8").tobytes())
        return digest.hexdigest()

    @property
    def switches(self) -> dict[str, float]:
        return {"bootstrap replicates": self.replicates, "bootstrap level": self.level, "bootstrap seed": self.seed}


def with_interval(
    metric: Metric,
    ends: np.ndarray,
    level: float,
    first: np.ndarray,
    second: np.ndarray,
    kinds: Sequence[np.ndarray] = (),
) -> Metric:
    """`metric` with the bootstrap's `ends`; without any where they are one, for no replicate can show what did not happen.

    A rate of 0 or 1 is that of each of the `kinds` (P,) bool of pairs: then the interval reaches as far as Clopper and Pearson's does for
    one of them, its pairs as many fewer as their subjects `first`, `second` (P,) go together.
    """
    low, high = (float(end) for end in ends)
    few = has_few_events(metric, [int(kind.sum()) for kind in kinds])
    if metric.value in (0, 1) and kinds:
        for kind in kinds:
            reached = metrics.PeopleOfPairs(first[kind], second[kind]).interval(np.full(kind.sum(), metric.value == 1), level)
            low, high = min(low, reached[0]), max(high, reached[1])
        return replace(metric, interval=Interval(low, high, level, CLOPPER_PEARSON, few))
    return replace(metric, interval=Interval(low, high, level, few_events=few)) if low < high else metric


def with_share_interval(metric: Metric, events: np.ndarray, first: np.ndarray, second: np.ndarray, level: float) -> Metric:
    """`metric`, the share of pairs (P,) of the subjects `first`, `second` that are `events`, with its interval: see PeopleOfPairs."""
    low, high = metrics.PeopleOfPairs(first, second).interval(events, level)
    return replace(metric, interval=Interval(low, high, level, CLOPPER_PEARSON, has_few_events(metric, [len(events)])))


def with_threshold_intervals(
    metrics_: Sequence[Metric],
    told: np.ndarray,
    drawn: metrics.BootstrapInterval,
    thresholds: metrics.Thresholds,
    level: float,
    first: np.ndarray,
    second: np.ndarray,
    kinds: Sequence[np.ndarray],
) -> list[Metric]:
    """`metrics_`, those of the numbers `told` (K,) with the interval of their rate, which `drawn` holds in that order, and of their
    threshold, which `thresholds` has of all. Other arguments as of `with_interval`."""
    found = list(metrics_)
    for place, number in enumerate(told):
        ends = np.array([drawn.low[place], drawn.high[place]])
        metric = with_interval(found[number], ends, level, first, second, kinds).with_replicates(drawn.replicates[:, place])
        low, high = float(thresholds.low[number]), float(thresholds.high[number])
        if np.isfinite([low, high]).all():
            metric.threshold_interval = Interval(low, high, level, CLOPPER_PEARSON, has_few_events(metric))
        found[number] = metric
    return found


def has_few_events(metric: Metric, counts: Sequence[int] = ()) -> bool:
    """Whether fewer than EVENTS impostors were accepted at the metric's threshold, or a rate of each of `counts` pairs has fewer errors."""
    events = [] if metric.events is None else [metric.events]
    if metric.value is not None:
        errors = min(metric.value, 1 - metric.value)
        events += [round(errors * count) for count in counts]
    return min(events, default=EVENTS) < EVENTS
