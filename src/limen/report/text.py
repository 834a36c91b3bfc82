"""Results as lines of text for a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from limen.names import visible
from limen.protocols import Metric, Result
from limen.report.comparison_tables import comparison_tables, tables_of
from limen.report.number_tables import COLUMNS, table_lines, table_rows
from limen.report.searches import mistake_lines
from limen.report.show import (
    groups_of_qualities,
    interval_text,
    metric_text,
    metric_title,
    name_of,
    remark_of,
    threshold_text,
    working_point,
)


def result_summary(results: Sequence[Result]) -> dict[str, Any]:
    """What a command says of results: their numbers by key, for programs, and the lines of `result_lines`."""
    found = [
        {
            "name": result.label,
            "counts": result.counts | {metric.key: metric.value for metric in result.where(unit="count")},
            "metrics": {metric.key: metric.value for metric in result.metrics if metric.unit != "count"},
            "intervals": {metric.key: [metric.interval.low, metric.interval.high] for metric in result.metrics if metric.interval},
        }
        for result in results
    ]
    rows = [dict(zip(COLUMNS, row, strict=True)) for table in comparison_tables(results) for row in table_rows(table)]
    return {"results": found, "text": result_lines(results)} | ({"comparison": rows} if rows else {})


def result_lines(results: Sequence[Result]) -> list[str]:
    """A block for each verification or identification; those that judge qualities of the same pairs and model share one, see
    `discard_lines`. Behind them the tables of `tables_of`."""
    lines = []
    groups = groups_of_qualities(results)
    for result in results:
        group = next((group for group in groups if any(result is one for one in group)), None)
        if group is None:
            lines += _lines(result)
        elif result is group[0]:
            lines += discard_lines(group)
        if result.switches.get("collapsed") and (group is None or result is group[0]):
            lines.append("  this model collapsed in training: its features turned away from all class centres")
    return [*map(visible, lines), *all_table_lines(results)]


def all_table_lines(results: Sequence[Result]) -> list[str]:
    """The lines of all tables of the results, an empty one before each."""
    return [line for table in tables_of(results) for line in ("", *table_lines(table))]


def _lines(result: Result) -> list[str]:
    counts = result.counts
    lines = [f"{result.label}: {_asked(counts)}, {counts.get('failures_to_acquire', 0)} failures"]
    if counts.get("pairs_left_out"):
        lines.append(f"  without {counts['pairs_left_out']} pairs of images that cannot be used")
    shown = [metric for metric in result.where(variant=[]) if "enrolled" not in metric.at]
    shown = [metric for metric in shown if metric.value is not None or metric.at]
    width = max((len(metric_title(metric)) for metric in shown), default=0)
    for metric in shown:
        rests_on = ["", *filter(None, (threshold_text(metric), _events(metric), remark_of(metric), _needs(result, metric)))]
        lines.append(f"  {metric_title(metric):{width}s} {_cell(metric, 12)}{'   '.join(rests_on)}")
    return [*lines, *mistake_lines(result)]


def _asked(counts: Mapping[str, int]) -> str:
    asked = [f"{counts['trials']} trials"] if "trials" in counts else []
    if "non_mated" in counts:
        asked.append(f"{counts['mated']:,} mated, {counts['non_mated']:,} non-mated pairs")
    if "gallery_entries" in counts:
        strangers = f", {counts['probes_without_mate']:,} of them without a mate" if counts["probes_without_mate"] else ""
        asked.append(f"{counts['gallery_entries']:,} gallery entries, {counts['probes']:,} probes{strangers}")
    if asked:
        return "; ".join(asked)
    return ", ".join(f"{count:,} {what}" for what, count in counts.items() if what != "failures_to_acquire") or "judged"


def _events(metric: Metric) -> str:
    return "" if metric.events is None else f"{metric.events:,} {'false positives' if 'fpir' in metric.at else 'impostors'}"


def _needs(result: Result, metric: Metric) -> str:
    """What an unresolved number takes: its rate may accept less than one impostor."""
    if metric.value is not None or not metric.needed:
        return ""
    if "non_mated" in result.counts and "fpir" not in metric.at:
        return f"needs {metric.needed:,} non-mated pairs, and there are {result.counts['non_mated']:,}"
    return f"needs {metric.needed:,} probes without a mate"


def discard_lines(results: Sequence[Result]) -> list[str]:
    """Of results of the same pairs and model, one for each quality: their areas over limit and FNMR, or as they are where the threshold
    is found again at every step, as the papers' tables have them; and how much less or more than the first's the headline is."""
    first = results[0]
    counts, names, threshold = first.counts, _qualities(results), first.discarding.threshold if first.discarding else ""
    where = " · ".join(filter(None, (first.name, first.model)))
    lines = [f"{where}: {counts['mated']} mated, {counts['non_mated']} non-mated pairs, threshold {threshold}"]
    if counts["pairs_left_out"]:
        missing = ", ".join(f"{name} {result.counts['failures_to_acquire']}" for name, result in zip(names, results, strict=True))
        lines.append(f"  without {counts['pairs_left_out']} pairs of images without a quality or unreadable: {missing}")
    left = ", ".join(f"{metric.at['discard']:g} {metric.value}" for metric in first.where(quantity="mated_left"))
    lines += [f"  mated pairs left at a discard of: {left}"] if left else []
    rates = first.where(quantity="fnmr")
    for fnmr in rates:
        if fnmr.value is None:
            lines += ["", f"unresolved: FNMR at {working_point(fnmr)} {_needs(first, fnmr)}"]
        else:
            lines += ["", *_table(results, fnmr, ["normalised"] if threshold == "fixed" else [])]
    resolved = any(fnmr.value is not None for fnmr in rates)
    return lines + ["", "areas divided by limit and FNMR: 1 is random, lower is better"] * (threshold == "fixed" and resolved)


def _table(results: Sequence[Result], fnmr: Metric, variant: list[str]) -> list[str]:
    first, names = results[0], _qualities(results)
    areas = {"unit": "area", "at": fnmr.at}
    limits = [metric.limit for metric in first.where(**areas, variant=variant)]
    headline = first.metric(first.headline)
    limit = headline.limit if headline else None
    titles = [f"{name_of(metric.quantity)}({metric.limit:g})" for metric in first.where(**areas, variant=variant)]
    rows = [["", *titles, f"{titles[limits.index(limit)]} less the first's"]]
    for name, result in zip(names, results, strict=True):
        own = result.where(**areas, variant=variant, versus="")
        less = result.where(**areas, variant=variant, versus=names[0], limit=limit)
        rows.append([name, *map(_cell, own), *map(_cell, less)])
    if best := first.where(**areas, variant=[*variant, "best"]):
        rows.append(["oracle", *map(metric_text, best)])
    widths = [max(len(row[column]) for row in rows if column < len(row)) for column in range(len(rows[0]))]
    refused = first.where(quantity="false_non_matches", at=fnmr.at)[0].value
    head = f"FNMR {_cell(fnmr)} at {working_point(fnmr)}: {fnmr.events} impostors accepted, {refused} mated pairs refused"
    return [head, *("  " + "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)).rstrip() for row in rows)]


def _qualities(results: Sequence[Result]) -> list[str]:
    return [result.discarding.quality if result.discarding else "" for result in results]


def _cell(metric: Metric, width: int = 0) -> str:
    """ "0.631 [0.478 to 0.817]"."""
    interval = interval_text(metric)
    return f"{metric_text(metric):>{width}s}" + (f"{'   ' if width else ' '}[{interval}]" if interval else "")
