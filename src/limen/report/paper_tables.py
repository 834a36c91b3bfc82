"""The papers' tables: models by sets with their mean, and of qualities each recogniser's areas by sets with their mean and rank."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from limen.files import write_json, write_text
from limen.metrics import AUC_LIMIT
from limen.names import visible
from limen.protocols import Interval, Metric, Result
from limen.report.show import groups_of_qualities, metric_text, metric_title
from limen.tables import write_csv

MEAN = "mean over sets; its interval takes the sets for independent (MOVER, Zou and Donner 2008)"
LATEX = str.maketrans({letter: f"\\{letter}" for letter in "&%$#_{}"} | {"\\": r"\textbackslash{}", "~": r"\~{}", "^": r"\^{}"})


@dataclass(frozen=True)
class PaperTable:
    """Rows of a cell for each column, None where there is none.

    title       what it compares: "models", or the recogniser whose errors the qualities foretell
    columns     what each is: "lfw accuracy"
    rows        name and cells; a mean and a rank over sets behind them where there are several
    lower       whether a lower value is the better one
    """

    title: str
    columns: list[str]
    rows: list[tuple[str, list[Metric | None]]]
    lower: bool

    def best(self, column: int) -> set[int]:
        """The rows whose cell is the best of its column, as it is shown."""
        values = {row: cells[column] for row, (_, cells) in enumerate(self.rows)}
        known = {row: cell.value for row, cell in values.items() if cell is not None and cell.value is not None}
        lower = self.lower or self.columns[column] == "rank"
        return {row for row, value in known.items() if value == (min if lower else max)(known.values())} if len(known) > 1 else set()


def paper_tables(results: Sequence[Result]) -> list[PaperTable]:
    """One table of the models, and one of the qualities for each recogniser; none where there would be a single row and column.

    A model's cell is the headline of the set's result. A quality's cells are, at each FMR, the areas that CR-FIQA's tables hold where the
    threshold is found again at every step (up to .95, as they are), else those up to the headline's limit over limit and FNMR.
    """
    models = [result for result in results if result.discarding is None]
    tables = [_of_models(models)] if models else []
    groups = groups_of_qualities(results)
    tables += [_of_qualities(name, [group for group in groups if group[0].model == name]) for name in _distinct(g[0].model for g in groups)]
    return [table for table in tables if len(table.rows) > 1 or len(table.columns) > 1]


def table_lines(table: PaperTable) -> list[str]:
    """The table for a terminal."""
    cells = [["", *table.columns], *([name, *map(cell_text, row)] for name, row in table.rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    aligned = ([row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))] for row in cells)
    return [table.title, *(visible("  " + "  ".join(row)).rstrip() for row in aligned)]


def write_paper_tables(out: Path, tables: Sequence[PaperTable]) -> dict[str, Path]:
    """tables.json with every cell's interval and events, tables.csv and tables.tex (booktabs) in the folder `out`."""
    files = {"tables": out / "tables.json", "tables_csv": out / "tables.csv", "tables_latex": out / "tables.tex"}
    write_json(files["tables"], [asdict(table) | {"mean": MEAN} for table in tables])
    header = ("table", "row", "column", "value", "low", "high", "events")
    write_csv(files["tables_csv"], header, (row for table in tables for row in _csv_rows(table)))
    write_text(files["tables_latex"], "\n".join(map(_latex, tables)))
    return files


def _of_models(results: Sequence[Result]) -> PaperTable:
    sets = _distinct((result.name, result.headline) for result in results)
    by = {(result.model, result.name, result.headline): result.metric(result.headline) for result in results}
    titles = {(r.name, r.headline): f"{r.name} {metric_title(m)}" for r in results if (m := r.metric(r.headline))}
    rows = [(model, [by.get((model, *one)) for one in sets]) for model in _distinct(result.model for result in results)]
    columns = [titles[one] for one in sets]
    keys = {headline for _, headline in sets}
    if len(sets) > 1 and len(keys) == 1:
        columns, rows = [*columns, "mean"], [(name, [*cells, _mean(cells)]) for name, cells in rows]
    return PaperTable("models", columns, rows, lower=False)


def _of_qualities(model: str, groups: Sequence[list[Result]]) -> PaperTable:
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
    return PaperTable(f"qualities, by the errors of {model or 'the model'}", [*columns, "rank"], rows, lower=True)


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


def cell_text(cell: Metric | None) -> str:
    """A cell as it is shown, without its interval."""
    if cell is None:
        return ""
    return f"{cell.value:.2f}" if cell.quantity == "rank" and cell.value is not None else metric_text(cell, unit=False)


def _csv_rows(table: PaperTable) -> list[tuple[Any, ...]]:
    rows: list[tuple[Any, ...]] = []
    for name, cells in table.rows:
        for column, cell in zip(table.columns, cells, strict=True):
            if cell is not None:
                ends = ("", "") if cell.interval is None else (cell.interval.low, cell.interval.high)
                known = ["" if value is None else value for value in (cell.value, *ends, cell.events)]
                rows.append((table.title, name, column, *known))
    return rows


def _latex(table: PaperTable) -> str:
    """A tabular of booktabs, the best of each column in bold."""
    best = [table.best(column) for column in range(len(table.columns))]
    lines = [f"% {visible(table.title)}", rf"\begin{{tabular}}{{l{'r' * len(table.columns)}}}", r"\toprule"]
    lines += [" & ".join(["", *map(_escaped, table.columns)]) + r" \\", r"\midrule"]
    for row, (name, cells) in enumerate(table.rows):
        shown = [
            rf"\textbf{{{_escaped(cell_text(cell))}}}" if row in best[place] else _escaped(cell_text(cell))
            for place, cell in enumerate(cells)
        ]
        lines.append(" & ".join([_escaped(name), *shown]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _escaped(text: str) -> str:
    return visible(text).translate(LATEX)


def _distinct(items: Any) -> list[Any]:
    return list(dict.fromkeys(items))
