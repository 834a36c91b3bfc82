"""The numbers and curves of error versus discard at one FMR, for several qualities of the same pairs."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from limen import metrics

LIMITS = (0.2, 0.3, metrics.AUC_LIMIT)
GRID = np.arange(191) / 200  # discards from 0 to 0.95 at which the curves of all qualities are stored


@dataclass
class DiscardFigures:
    """What a Result holds of one quality."""

    numbers: dict[str, float] = field(default_factory=dict)
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    events: dict[str, int] = field(default_factory=dict)
    left: dict[str, int] = field(default_factory=dict)
    curves: dict[str, dict[str, list[float]]] = field(default_factory=dict)


def area_name(limit: float, fmr: float, normalised: bool = False) -> str:
    return f"{'auc' if limit == metrics.AUC_LIMIT else 'pauc'}({limit:g})@fmr={fmr:g}" + ("_normalised" if normalised else "")


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


def add_unresolved(figures: Mapping[str, DiscardFigures], fmr: float) -> None:
    """NaN for an FMR that allows less than one impostor of all."""
    for found in figures.values():
        found.numbers[f"fnmr@fmr={fmr:g}"] = math.nan
        found.numbers |= {area_name(limit, fmr, normalised): math.nan for normalised in (False, True) for limit in LIMITS}


def add_figures(
    figures: Mapping[str, DiscardFigures],
    score: np.ndarray,
    mated: np.ndarray,
    qualities: Mapping[str, np.ndarray],
    fmr: float,
    threshold: Literal["fixed", "per_step"],
    interval: metrics.Interval | None,
) -> None:
    """Adds to the figures of each quality its areas, those less the first's, its curves and the mated pairs left.

    `interval` is that of `paired_areas`, or None where the threshold is found again at every step. With one threshold there is also the
    normalised area of the best order possible, which discards the pair of lowest score first.
    """
    names = [area_name(limit, fmr, normalised) for normalised in (False, True) for limit in LIMITS]
    fnmr, refused = f"fnmr@fmr={fmr:g}", f"false_non_matches@fmr={fmr:g}"
    first, first_areas = next(iter(qualities)), np.zeros(len(names))
    differences = [f"{area}_minus_{first}" for area in names]
    ends, best, fnmr_ends = None, {}, [math.nan, math.nan]
    if interval is not None:
        *areas_ends, fnmr_ends = np.stack([interval.low, interval.high], -1).tolist()
        ends = np.reshape(areas_ends, (2, len(qualities), len(names), 2)).tolist()
        perfect = metrics.error_vs_discard(score, mated, score, fmr)
        best = {f"{area_name(limit, fmr, True)}_best": perfect.partial_auc(limit, True) for limit in LIMITS}
    for number, (name, orders) in enumerate(qualities.items()):
        found = figures[name]
        curves = [metrics.error_vs_discard(score, mated, order, fmr, threshold) for order in orders]
        areas = np.mean([[curve.partial_auc(limit, n) for n in (False, True) for limit in LIMITS] for curve in curves], axis=0)
        found.numbers[fnmr] = float(curves[0].fnmr[0])
        found.numbers |= dict(zip(names, areas.tolist(), strict=True)) | best
        found.events |= dict.fromkeys([fnmr, *names], curves[0].events)
        if number == 0:
            first_areas = areas
        else:
            found.numbers |= dict(zip(differences, (areas - first_areas).tolist(), strict=True))
        if ends is not None:
            found.intervals[fnmr] = (fnmr_ends[0], fnmr_ends[1])
            found.intervals |= {area: (low, high) for area, (low, high) in zip(names, ends[0][number], strict=True)}
            if number:
                found.intervals |= {area: (low, high) for area, (low, high) in zip(differences, ends[1][number], strict=True)}
            false_matches = [metrics.false_match_vs_discard(score, mated, order, fmr) for order in orders]
            found.curves[f"fm-edc@fmr={fmr:g}"] = _stored(false_matches, "fmr", "non_mated_left")
        curve = found.curves[f"edc@fmr={fmr:g}"] = _stored(curves, "fnmr", "mated_left")
        at = np.searchsorted(curve["discard"], LIMITS, side="right") - 1
        found.left |= {refused: round(curves[0].fnmr[0] * curves[0].left[0])}
        found.left |= {f"mated_left_at_discard_{limit:g}": round(curve["mated_left"][k]) for limit, k in zip(LIMITS, at, strict=True)}


def _stored(curves: Sequence[metrics.DiscardCurve], error: str, left: str) -> dict[str, list[float]]:
    """The mean of curves: staircases on GRID, those of a threshold for every step as they are."""
    grid = GRID if np.isscalar(curves[0].threshold) else curves[0].discard
    at = [np.searchsorted(curve.discard, grid, side="right") - 1 for curve in curves]
    errors = np.mean([curve.error[index] for curve, index in zip(curves, at, strict=True)], axis=0)
    pairs = np.mean([curve.left[index] for curve, index in zip(curves, at, strict=True)], axis=0)
    return {"discard": grid.tolist(), error: errors.tolist(), left: pairs.tolist()}
