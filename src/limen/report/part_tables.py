"""The tables of the parts of a result, a row a part and a column a rate: groups of people, galleries, smaller galleries within one."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from limen.protocols import Metric, Result
from limen.report.number_tables import Table
from limen.report.show import metric_title, working_point

OF_PARTS = ("fmr", "fnmr", "fmr_ratio", "fnmr_ratio", "identification_rate", "tpir")  # any other has its variant for another reason


def group_tables(results: Sequence[Result]) -> list[Table]:
    """Of each result with groups of people: their pairs and rates, and the largest ratios between two groups."""
    tables = []
    for result in results:
        names = [] if result.kind == "identification" else _parts(result)
        if not names:
            continue
        spread = [m.variant[0] for m in result.metrics if m.variant and m.variant[0].startswith(("mean of groups", "std of groups"))]
        ratios = [metric for metric in result.metrics if _is_ratio(metric)]
        rows = {name: [m for m in result.where(variant=[name]) if not _is_ratio(m)] for name in dict.fromkeys([*spread, *names])}
        told = {"Threshold": "threshold of groups", "Too few pairs to tell (less than one error is expected):": "groups too small to say"}
        text = "\n".join(f"{words} {result.switches[key]}." for words, key in told.items() if result.switches.get(key))
        tables.append(_table(f"groups · {result.label}", {name: own for name, own in rows.items() if own}, text))
        if ratios:
            title = f"largest ratio between two groups · {result.label}"
            tables.append(Table(title, ["ratio"], [(metric_title(one), [one]) for one in ratios], lower=None, intervals=True))
    return tables


def gallery_tables(results: Sequence[Result]) -> list[Table]:
    """Of each search its galleries, where there are several; and where smaller galleries within it were searched, its rates by size."""
    tables = []
    for result in results:
        if result.kind != "identification":
            continue
        if names := _parts(result):
            tables.append(_table(f"galleries · {result.label}", {name: result.where(variant=[name]) for name in names}))
        smaller = [metric for metric in result.where(variant=[]) if "enrolled" in metric.at]
        if smaller:
            sizes = sorted({metric.at["enrolled"] for metric in smaller})
            rows = {f"{size:,.0f}": [metric for metric in smaller if metric.at["enrolled"] == size] for size in sizes}
            quantities = {metric.quantity for metric in smaller}
            whole = [metric for metric in result.where(variant=[]) if "enrolled" not in metric.at and metric.quantity in quantities]
            everybody = result.counts.get("people_enrolled", result.counts.get("gallery_entries", 0))
            tables.append(_table(f"people enrolled · {result.label}", {**rows, f"{everybody:,} (all)": whole}))
    return tables


def _parts(result: Result) -> list[str]:
    told = (metric for metric in result.metrics if metric.variant and metric.quantity in OF_PARTS and result.discarding is None)
    return list(dict.fromkeys(metric.variant[0] for metric in told))


def _is_ratio(metric: Metric) -> bool:
    return metric.quantity.endswith("_ratio")


def _table(title: str, rows: Mapping[str, Sequence[Metric]], text: str = "") -> Table:
    """Columns of one working point stand side by side; behind them its threshold, where that is not the same in all rows."""
    cells: dict[str, dict[str, dict[str, Metric]]] = {}  # of each working point its columns, of each column its rows
    for name, own in rows.items():
        for metric in own:
            point = replace(metric, at={what: value for what, value in metric.at.items() if what != "enrolled"}, variant=[])
            cells.setdefault(working_point(point), {}).setdefault(metric_title(point), {})[name] = metric
    for at, columns in cells.items():
        found = {name: metric for column in columns.values() for name, metric in column.items() if metric.threshold is not None}
        thresholds = {name: _threshold(metric) for name, metric in found.items()}
        if len({metric.value for metric in thresholds.values()}) > 1:
            columns[f"threshold@{at}"] = thresholds
    together = {title: column for columns in cells.values() for title, column in columns.items()}
    return Table(title, [*together], [(name, [column.get(name) for column in together.values()]) for name in rows], None, text, True)


def _threshold(metric: Metric) -> Metric:
    return Metric("threshold", metric.threshold, "similarity", metric.at, interval=metric.threshold_interval, events=metric.events)
