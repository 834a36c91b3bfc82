"""A table of numbers: its lines for a terminal, and as JSON, CSV and LaTeX."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from itertools import groupby
from pathlib import Path
from textwrap import wrap
from typing import Any

from limen.files import write_json, write_text
from limen.names import visible
from limen.protocols import Metric
from limen.protocols.result import EVENTS
from limen.report.show import interval_text, metric_text
from limen.tables import write_csv

MEAN = "mean over sets; its interval takes the sets for independent (MOVER, Zou and Donner 2008)"
WIDTH = 100  # letters of a line in a terminal; a wider table stands in several stacks of columns
FEW_NOTE = f"* rests on fewer than {EVENTS} errors or accepted impostors."
MARKS = {"below": " more", "above": " fewer"}
PROMISE_NOTE = "more, fewer: false matches than the FMR that was promised, which the interval does not hold."
COLUMNS = ("table", "row", "column", "value", "low", "high", "events", "method")
LATEX = str.maketrans({letter: f"\\{letter}" for letter in "&%$#_{}"} | {"\\": r"\textbackslash{}", "~": r"\~{}", "^": r"\^{}"})


@dataclass(frozen=True)
class Table:
    """Rows of a cell for each column, None where there is none.

    title       what it compares: "models", or the recogniser whose errors the qualities foretell
    columns     what each is: "lfw accuracy"
    rows        name and cells; a mean and a rank over sets behind them where there are several
    lower       whether a lower value is the better one; None where no column has a best
    text        what a reader must know of it
    intervals   whether the interval of a cell stands beside its value in lines and in LaTeX too
    """

    title: str
    columns: list[str]
    rows: list[tuple[str, list[Metric | None]]]
    lower: bool | None
    text: str = ""
    intervals: bool = False

    @property
    def cells(self) -> list[Metric]:
        return [cell for _, row in self.rows for cell in row if cell is not None]

    @property
    def in_percent(self) -> bool:
        return any(cell.unit == "rate" for cell in self.cells)

    @property
    def caption(self) -> str:
        return self.title + ", rates in %" * self.in_percent

    def notes(self, intervals: bool = False) -> list[str]:
        """What the marks of `cell_text(cell, intervals)` mean, of those that stand in its cells."""
        few = intervals and any(cell.interval and cell.interval.few_events for cell in self.cells)
        return [FEW_NOTE] * few + [PROMISE_NOTE] * any(MARKS.get(cell.promised) for cell in self.cells)

    def best(self, column: int) -> set[int]:
        """The rows whose cell is the best of its column, as it is shown."""
        if self.lower is None:
            return set()
        values = {row: cells[column] for row, (_, cells) in enumerate(self.rows)}
        known = {row: cell.value for row, cell in values.items() if cell is not None and cell.value is not None}
        lower = self.lower or self.columns[column] == "rank"
        return {row for row, value in known.items() if value == (min if lower else max)(known.values())} if len(known) > 1 else set()


def table_lines(table: Table) -> list[str]:
    """The table for a terminal."""
    cells = [["", *table.columns], *([name, *(cell_text(cell, table.intervals) for cell in row)] for name, row in table.rows)]
    cells = [[visible(cell) for cell in row] for row in cells]
    widths = [max(len(row[column]) for row in cells) for column in range(len(cells[0]))]
    lines = [visible(table.caption)]
    for columns in _in_width(table.columns, widths):
        aligned = ([row[0].ljust(widths[0]), *(row[column].rjust(widths[column]) for column in columns)] for row in cells)
        lines += [*[""] * (len(lines) > 1), *(("  " + "  ".join(row)).rstrip() for row in aligned)]
    told = [*(table.text.splitlines() if table.intervals else []), *table.notes(table.intervals)]
    return lines + [f"  {line}" for text in told for line in wrap(visible(text), WIDTH - 2, break_long_words=False, break_on_hyphens=False)]


def _in_width(columns: Sequence[str], widths: Sequence[int]) -> list[list[int]]:
    """The numbers of the columns, those behind 0, of each stack of a table that is wider than WIDTH. Columns of one working point, the
    "@FAR=0.01" of their names, stay in one."""
    stacks: list[list[int]] = []
    for _, group in groupby(range(1, len(widths)), lambda column: columns[column - 1].partition("@")[2] or column):
        own = list(group)
        wide = sum(2 + widths[column] for column in [0, *(stacks[-1] if stacks else []), *own])
        if stacks and wide <= WIDTH:
            stacks[-1] += own
        else:
            stacks.append(own)
    return stacks


def write_tables(out: Path, tables: Sequence[Table]) -> dict[str, Path]:
    """tables.json with every cell's interval and events, tables.csv and tables.tex (booktabs) in the folder `out`."""
    files = {"tables": out / "tables.json", "tables_csv": out / "tables.csv", "tables_latex": out / "tables.tex"}
    write_json(files["tables"], [_plain(table) | {"mean": MEAN} for table in tables])
    write_csv(files["tables_csv"], COLUMNS, (row for table in tables for row in table_rows(table)))
    write_text(files["tables_latex"], "\n".join(map(_latex, tables)))
    return files


def cell_text(cell: Metric | None, interval: bool = False) -> str:
    """A cell as it is shown: a difference with its sign; with `interval` also where it lies."""
    if cell is None:
        return ""
    text = metric_text(cell, unit=False)
    sign = "+" if cell.versus and cell.value is not None and not text.startswith("-") else ""
    between = interval_text(cell, few=False) if interval else ""
    few = "*" if interval and cell.interval and cell.interval.few_events else ""
    return sign + text + (f" [{between}]{few}" if between else "") + MARKS.get(cell.promised, "")


def _plain(table: Table) -> dict[str, Any]:
    """For JSON, without the replicates of its cells, which stand in result.json."""
    rows = [(name, [cell and replace(cell, drawn="") for cell in cells]) for name, cells in table.rows]
    return asdict(replace(table, rows=rows))


def table_rows(table: Table) -> list[tuple[Any, ...]]:
    """Of each cell that there is what COLUMNS names; empty text for what it has not."""
    rows: list[tuple[Any, ...]] = []
    for name, cells in table.rows:
        for column, cell in zip(table.columns, cells, strict=True):
            if cell is not None:
                ends = ("", "") if cell.interval is None else (cell.interval.low, cell.interval.high)
                method = cell.interval.method if cell.interval else ""
                known = ["" if value is None else value for value in (cell.value, *ends, cell.events, method)]
                rows.append((table.title, name, column, *known))
    return rows


def _latex(table: Table) -> str:
    """A tabular of booktabs, the best of each column in bold."""
    best = [table.best(column) for column in range(len(table.columns))]
    lines = [
        *(f"% {visible(text)}" for text in (table.caption, *table.notes(table.intervals))),
        rf"\begin{{tabular}}{{l{'r' * len(table.columns)}}}",
        r"\toprule",
    ]
    lines += [" & ".join(["", *map(_escaped, table.columns)]) + r" \\", r"\midrule"]
    for row, (name, cells) in enumerate(table.rows):
        texts = [_escaped(cell_text(cell, table.intervals)) for cell in cells]
        shown = [rf"\textbf{{{text}}}" if row in best[place] else text for place, text in enumerate(texts)]
        lines.append(" & ".join([_escaped(name), *shown]) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _escaped(text: str) -> str:
    return visible(text).translate(LATEX)
