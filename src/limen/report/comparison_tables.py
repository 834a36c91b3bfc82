"""The tables of models judged on the same sets: differences from the first, and runs that differ by their seed alone as one."""

from collections.abc import Sequence

from limen.protocols import Metric, Result
from limen.protocols.differences import OVER_SEEDS, UNPAIRED, Contender, Number, contenders, difference
from limen.report.number_tables import Table
from limen.report.paper_tables import paper_tables
from limen.report.part_tables import gallery_tables, group_tables
from limen.report.show import distinct, metric_title

OF_SEEDS = (
    "Mean over the runs that differ by their seed alone, and their standard deviation (ddof 1). The interval is that of the mean: the same "
    "people are drawn again for all runs, and Student's t says what other seeds would change."
)
PEOPLE = "The same people are drawn again for both models."
APART = (
    "Unpaired: judged on other pairs or people, or by a limen that kept no replicates. Its interval takes the two for independent, which "
    "is too wide where they have people in common."
)
SEEDS = "Where seeds are grouped, the interval also holds what other seeds would change; the seed of a single run is taken as it is."
Titles = dict[tuple[tuple[str, str], str], str]


def tables_of(results: Sequence[Result]) -> list[Table]:
    """All tables of a report: those of parts, the papers', and those of `comparison_tables`."""
    return [*group_tables(results), *gallery_tables(results), *paper_tables(results), *comparison_tables(results)]


def comparison_tables(results: Sequence[Result]) -> list[Table]:
    """Of every rate of the whole that several models have: a table of the seeds where there are any, and one of the differences."""
    models = contenders(results)
    if not models:
        return []
    names = distinct([model.name for model in models])
    titles: Titles = {}
    for result in results:
        if result.discarding is None:
            for metric in filter(lambda one: one.comparable, result.metrics):
                titles.setdefault(((result.name, result.kind), metric.key), f"{result.name} {metric_title(metric)}")
    return [*_seeds(models, names, titles), *_differences(models, names, titles)]


def _seeds(models: Sequence[Contender], names: Sequence[str], titles: Titles) -> list[Table]:
    several = [(name, model) for name, model in zip(names, models, strict=True) if len(model.results) > 1]
    rows: list[tuple[str, list[Metric | None]]] = []
    for (of, key), title in titles.items():
        cells = [cell for _, model in several for cell in _mean_and_std(model.number(of, key))]
        if any(cells):
            rows.append((title, cells))
    columns = [column for name, _ in several for column in (name, "std")]
    return [Table("seeds", columns, rows, lower=None, text=OF_SEEDS, intervals=True)] if rows else []


def _mean_and_std(found: Number | None) -> tuple[Metric | None, Metric | None]:
    if found is None:
        return None, None
    like = found.runs[0]
    mean = Metric(like.quantity, found.mean, like.unit, like.at, variant=["mean of seeds"], interval=found.interval())
    return mean, Metric(like.quantity, found.std, like.unit, like.at, variant=["std of seeds"])


def _differences(models: Sequence[Contender], names: Sequence[str], titles: Titles) -> list[Table]:
    rows: list[tuple[str, list[Metric | None]]] = []
    for (of, key), title in titles.items():
        first, *others = (model.number(of, key) for model in models)
        if first and any(others):
            rows.append((title, [difference(first, other, names[0]) if other else None for other in others]))
    if not rows:
        return []
    methods = {cell.interval.method for _, cells in rows for cell in cells if cell and cell.interval}
    told = {PEOPLE: methods - {UNPAIRED}, APART: UNPAIRED in methods, SEEDS: OVER_SEEDS in methods}
    text = " ".join(text for text, holds in told.items() if holds)
    told_of = [place for place in range(len(names) - 1) if any(cells[place] for _, cells in rows)]  # not of models of other sets alone
    rows = [(title, [cells[place] for place in told_of]) for title, cells in rows]
    columns = [names[1 + place] for place in told_of]
    return [Table(f"differences from {names[0]}", columns, rows, lower=None, text=text, intervals=True)]
