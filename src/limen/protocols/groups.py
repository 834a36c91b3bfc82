"""The figures of groups of people: accuracy in folds, FMR and FNMR at one threshold or each at its own, and how far groups lie apart."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from limen import metrics
from limen.data.pairs.groups import ACROSS, NOWHERE, OTHERS
from limen.protocols.accuracy import VAL_FAR
from limen.protocols.at_threshold import WorkingPoint, error_rates
from limen.protocols.intervals import Bootstrap, Figure, with_interval
from limen.protocols.result import PROMISED, Metric

GroupThreshold = Literal["global", "per_group"]
GROUP_THRESHOLDS = {
    "global": "global: one threshold for all groups, of the pairs of all of them",
    "per_group": "per_group: each group has its own, as in RFW's tables; no system can be set so",
}

RATES = {"far": "FAR", PROMISED: "promised FMR", "threshold": "threshold"}


@dataclass(frozen=True)
class GroupedPairs:
    """P pairs that are judged: score and squared distance, of which minus infinity and infinity are failures, the fold of each where there
    are folds, and the subjects of either image."""

    score: np.ndarray
    distance: np.ndarray
    same: np.ndarray
    fold: np.ndarray | None
    first: np.ndarray
    second: np.ndarray


def group_accuracies(groups: Mapping[str, np.ndarray], pairs: GroupedPairs, threshold: GroupThreshold) -> list[Figure]:
    """The accuracy of each group (P,) of each grouping in the folds; nothing where there are none.

    With them RFW's numbers: mean and standard deviation (ddof 1) of the groups' accuracies, and the ratio of the highest to the lowest
    error rate.
    """
    if pairs.fold is None:
        return []
    figures: list[Figure] = []
    for grouping, group in groups.items():
        if OTHERS in group:  # of impostors alone
            continue
        correct, accuracies = metrics.kfold_verification(pairs.distance, pairs.same, pairs.fold, VAL_FAR).correct, []
        for name in _names(group):
            own = group == name
            if threshold == "per_group":
                renumbered = np.unique(pairs.fold[own], return_inverse=True)[1]
                correct[own] = metrics.kfold_verification(pairs.distance[own], pairs.same[own], renumbered, VAL_FAR).correct
            accuracy = Metric("accuracy", float(correct[own].mean()), variant=[_label(grouping, name)])
            accuracies += [accuracy.value] if name not in (ACROSS, NOWHERE) else []
            figures.append(Figure(accuracy, metrics.weighted_mean(correct, own), [own]))
        figures += _spread(grouping, np.array(accuracies, float)) if accuracies else []
    return figures


def group_rates(
    groups: Mapping[str, np.ndarray],
    pairs: GroupedPairs,
    far: Sequence[float],
    threshold: GroupThreshold,
    bootstrap: Bootstrap,
    given: Sequence[WorkingPoint] = (),
) -> tuple[list[Metric], list[str]]:
    """Of each group its pairs, and its FMR and FNMR where the FMR of all pairs, or its own, is each of `far`, and at the thresholds
    `given`; then the largest ratio between two groups. Rates at a threshold that the impostors cannot resolve are left out.

    An interval is over the people of the group. That of a ratio is of the two groups that lie furthest apart, each with people of its own.
    Also, in words, which groups are too small: with the rate of all pairs they would have less than one error.
    """
    found: list[Metric] = []
    small: list[str] = []
    of_all = _points(pairs.score[~pairs.same], far)
    for grouping, group in groups.items():
        names = _names(group)
        drawn: dict[tuple[str, str, float], dict[str, metrics.BootstrapInterval]] = {}
        for number, name in enumerate(names):
            own, label = group == name, _label(grouping, name)
            for what, kind in (("mated", pairs.same), ("non_mated", ~pairs.same)):
                found.append(Metric(what, int((own & kind).sum()), "count", variant=[label]))
            points = [*(of_all if threshold == "global" else _points(pairs.score[own & ~pairs.same], far)), *given]
            # Groups draw people apart: with one seed two groups of one size would draw alike.
            seed = bootstrap.seed + 7919 * (number + 1)
            whole = pairs.score, pairs.same, pairs.first, pairs.second
            for metric, interval in error_rates(points, *whole, bootstrap, own, [label], seed):
                found.append(metric)
                ((rate, value),) = metric.at.items()
                drawn.setdefault((metric.quantity, rate, value), {})[name] = interval
        for (quantity, rate, value), of_groups in drawn.items():
            kind = pairs.same if quantity == "fnmr" else ~pairs.same
            sizes = {name: int(((group == name) & kind).sum()) for name in names if name not in (ACROSS, NOWHERE, "")}
            expected = sum(interval.value[0] * (kind & (group == name)).sum() for name, interval in of_groups.items()) / max(1, kind.sum())
            few = [name for name, size in sizes.items() if size * expected < 1]
            said = ", ".join(f"{_label(grouping, name)} ({sizes[name]:,})" for name in few)
            small += [f"{quantity.upper()} at {RATES[rate]}={value:g}: {said}"] if few else []
            told = {name: interval for name, interval in of_groups.items() if name in sizes and name not in few}
            found += _ratio(grouping, quantity, {rate: value}, told, bootstrap)
    return found, small


def _points(impostor: np.ndarray, far: Sequence[float]) -> list[WorkingPoint]:
    """The thresholds at the rates that the scores (I,) resolve."""
    if not len(impostor):
        return []
    found = metrics.threshold_at_fmr(impostor, far)
    return [WorkingPoint({"far": far[k]}, float(found.threshold[k])) for k in np.flatnonzero(found.resolved)]


def _names(group: np.ndarray) -> list[str]:
    """Of the groups in the order of their names, those across groups and in none last."""
    names = [str(name) for name in np.unique(group).tolist() if name != ""]
    return sorted(names, key=lambda name: (name in (ACROSS, NOWHERE), name))


def _label(grouping: str, name: str) -> str:
    return f"{grouping}={name}" if grouping else name


def _spread(grouping: str, accuracies: np.ndarray) -> Iterator[Figure]:
    of = f"groups of {grouping}" if grouping else "groups"
    yield Figure(Metric("accuracy", accuracies.mean(), variant=[f"mean of {of}"]))
    if len(accuracies) > 1:
        yield Figure(Metric("accuracy", accuracies.std(ddof=1), variant=[f"std of {of}"]))
        least = 1 - accuracies.max()
        ratio = (1 - accuracies.min()) / least if least else None
        yield Figure(Metric("error_ratio", ratio, "number", variant=[grouping] if grouping else []))


def _ratio(
    grouping: str, quantity: str, at: dict[str, float], of_groups: Mapping[str, metrics.BootstrapInterval], bootstrap: Bootstrap
) -> Iterator[Metric]:
    """The largest ratio between two groups; unresolved where one of them has no error."""
    if len(of_groups) < 2:
        return
    ordered = sorted(of_groups, key=lambda name: float(of_groups[name].value[0]))
    low, high = of_groups[ordered[0]], of_groups[ordered[-1]]
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio, replicates = high.value / low.value, high.replicates / low.replicates
    name = f"{ordered[-1]} over {ordered[0]}"
    metric = Metric(f"{quantity}_ratio", float(ratio[0]), "number", at, variant=[f"{grouping}: {name}" if grouping else name])
    interval = metrics.percentile_interval(ratio, replicates, bootstrap.level)
    yield with_interval(metric, np.array([interval.low[0], interval.high[0]]), bootstrap.level, np.empty(0), np.empty(0))
