"""The numbers and curves of error versus discard at one FMR, for several qualities of the same pairs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from limen import metrics
from limen.metrics.rates import trials_needed
from limen.protocols.intervals import with_interval
from limen.protocols.result import Curve, Metric

LIMITS = (0.2, 0.3, metrics.AUC_LIMIT)
KINDS = [(normalised, limit) for normalised in (False, True) for limit in LIMITS]  # of the areas, in the order of `paired_areas`
GRID = np.arange(191) / 200  # discards from 0 to 0.95 at which the curves of all qualities are stored


@dataclass
class DiscardFigures:
    """What a Result holds of one quality."""

    metrics: list[Metric] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)


def area(value: float | None, fmr: float, limit: float, normalised: bool = False, best: bool = False, **fields: str | int) -> Metric:
    """The area up to a discard of `limit`; `best` is that of an order that discards every error first."""
    quantity = "auc" if limit == metrics.AUC_LIMIT else "pauc"
    return Metric(quantity, value, "area", {"fmr": fmr}, limit, ["normalised"] * normalised + ["best"] * best, **fields)  # type: ignore[arg-type]


def paired_areas(score: np.ndarray, mated: np.ndarray, qualities: Mapping[str, np.ndarray], fmr: float) -> metrics.Statistic:
    """Statistic that gives a flat (2, Q, 2, L), the areas of each quality, raw and normalised, and those less the first quality's; and
    behind it the FNMR while nothing is discarded.

    `qualities` are name -> (S, P) orders of the pairs, whose areas are averaged.
    """
    areas = metrics.weighted_discard_areas(score, mated, np.concatenate(list(qualities.values())), [fmr], LIMITS)
    starts = np.cumsum([0, *(len(orders) for orders in qualities.values())])[:-1]
    orders = np.array([len(orders) for orders in qualities.values()])
    tar = metrics.weighted_tar_at_far(score, mated, [fmr])

    def statistic(weight: np.ndarray) -> np.ndarray:
        mean = np.add.reduceat(areas(weight).reshape(-1, 2 * len(LIMITS)), starts) / orders[:, None]
        return np.append(np.stack([mean, mean - mean[0]]), 1 - tar(weight))

    return statistic


def unresolved(fmr: float) -> list[Metric]:
    """The metrics at an FMR that allows less than one impostor of all."""
    return [
        Metric("fnmr", None, at={"fmr": fmr}, needed=trials_needed(fmr)),
        *(area(None, fmr, limit, normalised) for normalised, limit in KINDS),
    ]


def add_figures(
    figures: Mapping[str, DiscardFigures],
    score: np.ndarray,
    mated: np.ndarray,
    qualities: Mapping[str, np.ndarray],
    fmr: float,
    threshold: Literal["fixed", "per_step"],
    first: np.ndarray,
    second: np.ndarray,
    level: float,
    ends: np.ndarray | None,
) -> None:
    """Adds to the figures of each quality its FNMR, its areas, those less the first quality's, and its curves.

    `ends` (K, 2) are those of the bootstrap of `paired_areas`, `first` and `second` the subjects of the pairs; None where the threshold
    is found again at every step. With one threshold there is also the normalised area of the oracle, which discards the pair
    of lowest score first.
    """
    name_of_first, first_areas = next(iter(qualities)), np.zeros(len(KINDS))
    best = []
    if ends is not None:
        perfect = metrics.error_vs_discard(score, mated, score, fmr)
        best = [area(perfect.partial_auc(limit, True), fmr, limit, True, True) for limit in LIMITS]
        area_ends = ends[:-1].reshape(2, len(qualities), len(KINDS), 2)

    def told(metric: Metric, its_ends: np.ndarray, kinds: Sequence[np.ndarray] = ()) -> Metric:
        return with_interval(metric, its_ends, level, first, second, kinds)

    for number, (name, orders) in enumerate(qualities.items()):
        curves = [metrics.error_vs_discard(score, mated, order, fmr, threshold) for order in orders]
        areas = np.mean([[curve.partial_auc(limit, normalised) for normalised, limit in KINDS] for curve in curves], axis=0)
        events, refused = curves[0].events, round(curves[0].fnmr[0] * curves[0].left[0])
        fnmr = Metric("fnmr", curves[0].fnmr[0], at={"fmr": fmr}, events=events)
        found = [area(value, fmr, limit, normalised, events=events) for value, (normalised, limit) in zip(areas, KINDS, strict=True)]
        less: list[Metric] = []
        if number == 0:
            first_areas = areas
        else:
            pairs = zip(areas - first_areas, KINDS, strict=True)
            less = [area(value, fmr, limit, normalised, versus=name_of_first) for value, (normalised, limit) in pairs]
        if ends is not None:
            fnmr = told(fnmr, ends[-1], [mated])
            found = [told(metric, its) for metric, its in zip(found, area_ends[0, number], strict=True)]
            less = [told(metric, its) for metric, its in zip(less, area_ends[1, number][: len(less)], strict=True)]
            false_matches = [metrics.false_match_vs_discard(score, mated, order, fmr) for order in orders]
            figures[name].curves.append(Curve("fm-edc", _mean(false_matches, "fmr", "non_mated_left"), {"fmr": fmr}))
        figures[name].curves.append(Curve("edc", _mean(curves, "fnmr", "mated_left"), {"fmr": fmr}))
        figures[name].metrics += [fnmr, *found, *best, *less, Metric("false_non_matches", refused, "count", {"fmr": fmr})]


def mated_left(curves: Sequence[Curve]) -> list[Metric]:
    """The mated pairs left at a discard of each of LIMITS, which are those of any FMR."""
    points = next((curve.points for curve in curves if curve.kind == "edc"), None)
    if points is None:
        return []
    at = np.searchsorted(np.array(points["discard"], float), LIMITS, side="right") - 1
    left = np.array(points["mated_left"], float)[at]
    return [Metric("mated_left", round(count), "count", {"discard": limit}) for limit, count in zip(LIMITS, left, strict=True)]


def _mean(curves: Sequence[metrics.DiscardCurve], error: str, left: str) -> dict[str, list[float | int | None]]:
    """The mean of curves: staircases on GRID, those of a threshold for every step as they are."""
    grid = GRID if np.isscalar(curves[0].threshold) else curves[0].discard
    at = [np.searchsorted(curve.discard, grid, side="right") - 1 for curve in curves]
    errors = np.mean([curve.error[index] for curve, index in zip(curves, at, strict=True)], axis=0)
    pairs = np.mean([curve.left[index] for curve, index in zip(curves, at, strict=True)], axis=0)
    return {"discard": grid.tolist(), error: errors.tolist(), left: pairs.tolist()}
