"""Error versus discard as text: for each FMR a table with a line for each quality."""

import math
from collections.abc import Sequence

from limen.protocols import Result
from limen.report.html import interval_text, metric_name, metric_text

LEFT = "mated_left_at_discard_"


def discard_lines(results: Sequence[Result]) -> list[str]:
    """Of results of the same pairs and model, one for each quality: their areas over limit and FNMR, or as they are where the threshold
    is found again at every step, as the papers' tables have them; and how much less or more than the first's the headline is."""
    first = results[0]
    counts, per_step = first.counts, str(first.switches["edc threshold"]).startswith("per_step")
    where = " · ".join(filter(None, (first.name, str(first.switches.get("model", "")))))
    lines = [f"{where}: {counts['mated']} mated, {counts['non_mated']} non-mated pairs, threshold {'per_step' if per_step else 'fixed'}"]
    if counts["pairs_left_out"]:
        missing = ", ".join(f"{result.switches['quality']} {result.counts['failures_to_acquire']}" for result in results)
        lines.append(f"  without {counts['pairs_left_out']} pairs of images without a quality or unreadable: {missing}")
    left = ", ".join(f"{name.removeprefix(LEFT)} {count}" for name, count in counts.items() if name.startswith(LEFT))
    lines.append(f"  mated pairs left at a discard of: {left}")
    rates = [name for name in first.metrics if name.startswith("fnmr@")]
    for name in rates:
        if not math.isnan(first.metrics[name]):
            lines += ["", *_table(results, name, "" if per_step else "_normalised")]
    if not per_step:
        lines += ["", "areas over limit and FNMR: 1 is of no use, lower is better"]
    if unresolved := [metric_name(name.partition("@")[2]) for name in rates if math.isnan(first.metrics[name])]:
        lines.append(f"unresolved, as less than one of {counts['non_mated']} non-mated pairs may be accepted: {', '.join(unresolved)}")
    return lines


def _table(results: Sequence[Result], fnmr: str, kind: str) -> list[str]:
    first, rate = results[0], fnmr.partition("@")[2]
    interval = interval_text(first, fnmr)
    areas = [name for name in first.metrics if name.endswith(f")@{rate}{kind}")]
    headline = first.headline.partition("@")[0]
    versus = f"{headline}@{rate}{kind}_minus_{first.switches['quality']}"
    rows = [["", *(metric_name(area.partition("@")[0]) for area in areas), f"{metric_name(headline)} less the first's"]]
    rows += [[str(result.switches["quality"]), *(_cell(result, name) for name in (*areas, versus))] for result in results]
    if f"{areas[0]}_best" in first.metrics:
        rows.append(["best possible", *(metric_text(area, first.metrics[f"{area}_best"]) for area in areas), ""])
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    said = f"FNMR {metric_text(fnmr, first.metrics[fnmr])}{f' [{interval}]' if interval else ''} at {metric_name(rate)}"
    refused = first.counts[fnmr.replace("fnmr", "false_non_matches")]
    head = f"{said}: {first.events[fnmr]} impostors accepted, {refused} mated pairs refused"
    return [head, *("  " + "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows)]


def _cell(result: Result, name: str) -> str:
    """ "0.631 [0.478 to 0.817]", or nothing where the result has no such number."""
    if name not in result.metrics:
        return ""
    interval = interval_text(result, name)
    return metric_text(name, result.metrics[name]) + (f" [{interval}]" if interval else "")
