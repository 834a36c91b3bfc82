"""The papers' tables: models by sets with their mean, and of qualities each recogniser's areas by sets with their mean and rank."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from limen.metrics import AUC_LIMIT
from limen.protocols import Interval, Metric, Result
from limen.report.number_tables import MEAN, Table
from limen.report.show import groups_of_qualities, metric_title

BEST = "The best of each column is bold."
LOWER = f"{BEST} Lower is better."


def paper_tables(results: Sequence[Result]) -> list[Table]:
    """One table of the models, and one of the qualities for each recogniser; none where there would be a single row and column.

    A model's cell is the headline of the set's result. A quality's cells are, at each FMR, the areas that CR-FIQA's tables hold where the
    threshold is found again at every step (up to .95, as they are), else those up to the headline's limit over limit and FNMR.
    """
    models = [result for result in results if result.discarding is None]
    tables = [_of_models(models)] if models else []
    groups = groups_of_qualities(results)
    tables += [_of_qualities(name, [group for group in groups if group[0].model == name]) for name in _distinct(g[0].model for g in groups)]
    return [table for table in tables if len(table.rows) > 1 or len(table.columns) > 1]


def _of_models(results: Sequence[Result]) -> Table:
    sets = _distinct((result.name, result.headline) for result in results)
    by = {(result.model, result.name, result.headline): result.metric(result.headline) for result in results}
    titles = {(r.name, r.headline): f"{r.name} {metric_title(m)}" for r in results if (m := r.metric(r.headline))}
    rows = [(model, [by.get((model, *one)) for one in sets]) for model in _distinct(result.model for result in results)]
    columns = [titles[one] for one in sets]
    keys = {headline for _, headline in sets}
    if len(sets) > 1 and len(keys) == 1:
        columns, rows = [*columns, "mean"], [(name, [*cells, _mean(cells)]) for name, cells in rows]
    return Table("models", columns, rows, lower=False, text=BEST)


def _of_qualities(model: str, groups: Sequence[list[Result]]) -> Table:
    sets = _distinct(group[0].name for group in groups)
    qualities = _distinct(result.discarding.quality for group in groups for result in group if result.discarding)
    by = {(r.discarding.quality, r.name): {m.at["fmr"]: m for m in _areas(r)} for group in groups for r in group if r.discarding}
    rates = _distinct(rate for found in by.values() for rate in found)
    columns = [f"{name} FMR={rate:g}" for rate in rates for name in sets]
    cells = {quality: [by.get((quality, name), {}).get(rate) for rate in rates for name in sets] for quality in qualities}
    ranks = _ranks([cells[quality] for quality in qualities])
    if len(sets) > 1:
        columns += [f"mean FMR={rate:g}" for rate in rates]
        for quality in qualities:
            own = cells[quality]
            cells[quality] = [*own, *(_mean(own[start : start + len(sets)]) for start in range(0, len(own), len(sets)))]
    rows = [(quality, [*cells[quality], rank]) for quality, rank in zip(qualities, ranks, strict=True)]
    return Table(f"qualities, by the errors of {model or 'the model'}", [*columns, "rank"], rows, lower=True, text=LOWER)


def _areas(result: Result) -> list[Metric]:
    per_step = result.discarding is not None and result.discarding.threshold == "per_step"
    headline = result.metric(result.headline)
    limit = AUC_LIMIT if per_step or headline is None else headline.limit
    return result.where(unit="area", limit=limit, versus="", variant=[] if per_step else ["normalised"])


def _mean(cells: Sequence[Metric | None]) -> Metric | None:
    """The mean of all cells; None where one is missing or unresolved, for a mean over other sets would be compared with it."""
    found = [cell for cell in cells if cell is not None and cell.value is not None]
    if not found or len(found) < len(cells):
        return None
    value, ends = float(np.mean([cell.value for cell in found])), [cell.interval for cell in found if cell.interval]
    interval = None
    if len(ends) == len(found):
        below = [float(cell.value or 0) - end.low for cell, end in zip(found, ends, strict=True)]
        above = [end.high - float(cell.value or 0) for cell, end in zip(found, ends, strict=True)]
        interval = Interval(value - math.hypot(*below) / len(found), value + math.hypot(*above) / len(found), ends[0].level, MEAN)
    return Metric("mean", value, found[0].unit, found[0].at, found[0].limit, found[0].variant, interval=interval)


def _ranks(rows: Sequence[Sequence[Metric | None]]) -> list[Metric]:
    """The mean rank of each row over the columns that all rows have; 1 is the lowest value, equal values share the mean of their ranks."""
    values = np.array([[np.nan if cell is None or cell.value is None else cell.value for cell in row] for row in rows], float)
    values = values[:, np.isfinite(values).all(0)]
    below, equal = ((compare(values[:, None], values[None]).sum(0)) for compare in (np.less, np.equal))
    ranks = below + (equal + 1) / 2
    return [Metric("rank", row.mean() if len(row) else None, "number") for row in ranks]


def _distinct(items: Any) -> list[Any]:
    return list(dict.fromkeys(items))
