"""Tables of parts: each figure of a group or a gallery once in every form, and no line wider than a terminal."""

import csv
import json
import re

import pytest

from limen.protocols import Interval, Metric, Result
from limen.report import result_lines, result_summary, write_evaluation
from limen.report.number_tables import WIDTH, cell_text, table_lines
from limen.report.part_tables import gallery_tables, group_tables
from limen.report.show import interval_text

GROUPS = ("sex=f", "sex=m", "age=60 and above", "impostors=related people")


def rate(quantity, value, at, variant=(), few=False, **further):
    return Metric(quantity, value, at=at, variant=list(variant), interval=Interval(value / 2, value * 1.5, few_events=few), **further)


def of_groups(model="m", own_thresholds=False):
    metrics = [Metric("tar", 0.9, at={"far": 0.01}, threshold=0.3, events=12)]
    for number, group in enumerate(GROUPS):
        metrics += [Metric(what, 1000 * number + 7, "count", variant=[group]) for what in ("mated", "non_mated")]
        for far in (0.01, 0.001, 0.0001):
            threshold = 0.3 + (0.01 * number if own_thresholds else 0)
            for quantity in ("fmr", "fnmr"):
                value = far * (number + 1.25) + (0.02 if quantity == "fnmr" else 0)
                metrics.append(rate(quantity, value, {"far": far}, [group], few=number > 2, threshold=threshold))
    metrics.append(rate("fmr", 0.004, {"promised_fmr": 0.001}, ["sex=f"]))  # its interval begins at .002
    metrics.append(Metric("fmr_ratio", 1.23456, "number", {"far": 0.01}, variant=["sex: m over f"], interval=Interval(0.5, 3.0)))
    counts = {"mated": 10, "non_mated": 20}
    switches = {"threshold of groups": "global: one for all", "groups too small to say": "FMR at FAR=0.01: sex=f (7)"}
    return Result("own", "verification", "tar@far=0.01", metrics, model, counts=counts, switches=switches)


def of_sizes():
    metrics = []
    for size in (10, 100, None):
        at = {} if size is None else {"enrolled": float(size)}
        share = 0.9 - (size or 1000) / 1e4
        metrics += [rate("identification_rate", share, {"rank": k, **at}) for k in (1.0, 5.0)]
        for fpir in (0.1, 0.01):
            ends = Interval(0.2, 0.5)
            metrics.append(rate("tpir", share - fpir, {"fpir": fpir, **at}, threshold=0.3 + (size or 1000) / 1e4, threshold_interval=ends))
    counts = {"gallery_entries": 2000, "people_enrolled": 1000, "probes": 50, "probes_without_mate": 5}
    return Result("own", "identification", metrics[-4].key, metrics, "m", counts=counts)


@pytest.mark.parametrize("found", [of_groups(), of_groups(own_thresholds=True), of_sizes()], ids=["groups", "own thresholds", "sizes"])
def test_every_figure_of_a_part_stands_in_every_form(tmp_path, found):
    write_evaluation(tmp_path, "made", [found])
    summary = result_summary([found])["results"][0]
    with open(tmp_path / "tables.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    latex, page, text = (tmp_path / "tables.tex").read_text(), (tmp_path / "report.html").read_text(), "\n".join(result_lines([found]))
    parts = [metric for metric in found.metrics if metric.variant or "enrolled" in metric.at]
    assert parts
    for metric in parts:
        told = summary["counts"] if metric.unit == "count" else summary["metrics"]
        assert told[metric.key] == metric.value
        ends = [repr(end) for end in summary["intervals"].get(metric.key, [])] or ["", ""]
        assert any([row["value"], row["low"], row["high"]] == [repr(metric.value), *ends] for row in rows), metric.key
        shown = cell_text(metric, interval=True)
        assert shown in text
        assert shown in latex
        assert f">{cell_text(metric)}" in page
        assert not metric.interval or interval_text(metric) in page
    stored = json.loads((tmp_path / "tables.json").read_text())
    assert sum(cell is not None for table in stored for _, cells in table["rows"] for cell in cells) == len(rows)
    assert "in %" in text
    assert "in %" in page
    assert max(map(len, text.split("\n"))) <= WIDTH


def test_a_cell_says_its_rate_its_interval_and_whether_a_promise_is_kept():
    table, ratio = group_tables([of_groups()])
    told = {name: dict(zip(table.columns, map(lambda cell: cell_text(cell, True), cells), strict=True)) for name, cells in table.rows}
    assert list(told) == list(GROUPS)
    assert told["sex=f"]["FMR@FAR=0.01"] == "1.25 [0.62 to 1.88]"
    assert told["impostors=related people"]["FMR@FAR=0.01"] == "4.25 [2.12 to 6.38]*"
    assert told["sex=f"]["FMR@promised FMR=0.001"] == "0.40 [0.20 to 0.60] more"
    assert told["sex=m"]["FMR@promised FMR=0.001"] == ""
    assert told["age=60 and above"]["non-mated pairs"] == "2,007"
    lines = table_lines(table)
    assert any(line.startswith("  * rests on fewer than 10") for line in lines)
    assert any("more, fewer: false matches than" in line for line in lines)
    assert table_lines(ratio)[-1].split("FMR ratio@FAR=0.01 sex: m over f")[1].strip() == "1.23 [0.5 to 3]"


def test_thresholds_are_columns_where_they_differ():
    one, own = (group_tables([of_groups(own_thresholds=differ)])[0] for differ in (False, True))
    assert not any("threshold" in column for column in one.columns)
    assert [column for column in own.columns if "threshold" in column] == [f"threshold@FAR={far:g}" for far in (0.01, 0.001, 0.0001)]
    (sizes,) = gallery_tables([of_sizes()])
    assert [name for name, _ in sizes.rows] == ["10", "100", "1,000 (all)"]
    place = sizes.columns.index("threshold@FPIR=0.1")
    assert [cell_text(cells[place]) for _, cells in sizes.rows] == ["0.3010", "0.3100", "0.4000"]  # it rises with the people enrolled


def test_columns_of_one_working_point_stay_together():
    (sizes,) = gallery_tables([of_sizes()])
    heads = [line for line in table_lines(sizes) if "@" in line]
    assert len(heads) > 1
    for rate_ in ("0.1", "0.01"):
        (line,) = [line for line in heads if re.search(rf"TPIR@FPIR={rate_}\b(?!\d)", line)]
        assert f"threshold@FPIR={rate_}" in line.split()


def test_a_result_without_parts_has_no_table():
    whole = Result("own", "verification", "tar@far=0.01", [Metric("tar", 0.9, at={"far": 0.01}), Metric("accuracy", 0.1, variant=["std"])])
    assert group_tables([whole]) == gallery_tables([whole]) == []
