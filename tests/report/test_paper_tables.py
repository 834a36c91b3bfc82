"""The papers' tables: means and ranks equal the plain formulas, every cell keeps its interval, and the files open elsewhere."""

import csv
import json

import numpy as np
import pytest
from scipy.stats import norm, rankdata

from limen.protocols import Discarding, Interval, Metric, Result
from limen.report.html import write_report
from limen.report.number_tables import table_lines, write_tables
from limen.report.paper_tables import paper_tables


def verification(model, name, accuracy, half=0.01):
    interval = Interval(accuracy - half, accuracy + half)
    return Result(name, "verification", "accuracy", [Metric("accuracy", accuracy, interval=interval, events=7)], model)


def discarding(model, name, quality, areas, threshold="fixed"):
    normalised = ["normalised"]
    metrics = [Metric("pauc", 0.1, "area", {"fmr": 0.01}, 0.3)]
    for rate, value in areas.items():
        metrics.append(Metric("pauc", value, "area", {"fmr": rate}, 0.3, normalised))
        metrics.append(Metric("auc", None if value is None else value / 10, "area", {"fmr": rate}, 0.95))
    return Result(name, "error versus discard", metrics[0].key, metrics, model, Discarding(quality, threshold))


MODELS = [verification(m, s, a) for m, s, a in (("A", "lfw", 0.98), ("A", "cfp", 0.9), ("B", "lfw", 0.97), ("B", "cfp", 0.95))]


def test_models_by_sets_with_their_mean():
    (table,) = paper_tables(MODELS)
    assert table.columns == ["lfw Accuracy", "cfp Accuracy", "mean"]
    assert [(name, [cell.value for cell in cells]) for name, cells in table.rows] == [
        ("A", [0.98, 0.9, pytest.approx(0.94)]),
        ("B", [0.97, 0.95, pytest.approx(0.96)]),
    ]
    mean = table.rows[0][1][2].interval
    assert (mean.low, mean.high) == pytest.approx((0.94 - np.hypot(0.01, 0.01) / 2, 0.94 + np.hypot(0.01, 0.01) / 2))
    assert [table.best(column) for column in range(3)] == [{0}, {1}, {1}]
    assert table_lines(table)[2].split() == ["A", "98.00", "90.00", "94.00"]


def test_the_means_interval_holds_the_truth_as_often_as_it_says():
    random, z = np.random.default_rng(0), norm.ppf(0.975)
    truth, spread = np.array([0.8, 0.6, 0.7]), np.array([0.02, 0.05, 0.01])
    inside = 0
    for _ in range(1000):
        found = random.normal(truth, spread)
        results = [verification("A", str(k), value, z * s) for k, (value, s) in enumerate(zip(found, spread, strict=True))]
        interval = paper_tables(results)[0].rows[0][1][-1].interval
        inside += interval.low <= truth.mean() <= interval.high
    assert 0.93 <= inside / 1000 <= 0.97


def test_a_mean_over_fewer_sets_is_none():
    (table,) = paper_tables(MODELS[:3])
    assert table.rows[1][1][1] is None
    assert table.rows[1][1][2] is None


@pytest.mark.parametrize("threshold", ["fixed", "per_step"])
def test_qualities_by_sets_with_mean_and_rank(threshold):
    areas = {"norm": [0.5, 0.6, 0.3, 0.2], "crfiqa": [0.4, 0.7, 0.2, 0.2], "sharpness": [0.9, 0.8, None, 0.1]}
    results = [
        discarding("R", name, quality, dict(zip((0.01, 0.001), values[2 * place : 2 * place + 2], strict=True)), threshold)
        for place, name in enumerate(("lfw", "cfp"))
        for quality, values in areas.items()
    ]
    (table,) = paper_tables(results)
    factor = 1 if threshold == "fixed" else 0.1
    columns = ["lfw FMR=0.01", "cfp FMR=0.01", "lfw FMR=0.001", "cfp FMR=0.001"]
    assert table.columns == [*columns, "mean FMR=0.01", "mean FMR=0.001", "rank"]
    rows = dict(table.rows)
    assert [cell.value for cell in rows["norm"][:6]] == pytest.approx(factor * np.array([0.5, 0.3, 0.6, 0.2, 0.4, 0.4]))
    assert rows["sharpness"][4] is None
    whole = np.array([[0.5, 0.6, 0.2], [0.4, 0.7, 0.2], [0.9, 0.8, 0.1]])  # the columns that all have
    ranks = np.mean([rankdata(column) for column in whole.T], axis=0)
    assert [row[6].value for row in rows.values()] == pytest.approx(ranks)
    assert table.best(0) == {1}
    assert table.best(6) == set(np.flatnonzero(ranks == ranks.min()).tolist())


def test_nothing_to_compare_makes_no_table():
    assert paper_tables(MODELS[:1]) == []
    assert paper_tables([]) == []


def test_the_files(tmp_path):
    results = [verification("a_b & 50%", name, value) for name, value in (("lfw", 0.98), ("c$\x1b", 0.9))]
    tables = paper_tables([*results, verification("=1+1", "lfw", 0.5)])
    files = write_tables(tmp_path, tables)
    stored = json.loads(files["tables"].read_text())
    name, cells = stored[0]["rows"][0]
    assert (name, cells[0]["value"], cells[0]["interval"]["low"], cells[0]["events"]) == ("a_b & 50%", 0.98, 0.97, 7)
    rows = list(csv.DictReader(files["tables_csv"].open()))
    assert (rows[0]["column"], rows[0]["value"], rows[0]["low"], rows[0]["high"]) == ("lfw Accuracy", "0.98", "0.97", "0.99")
    assert {row["row"] for row in rows} == {"a_b & 50%", "'=1+1"}
    latex = files["tables_latex"].read_text()
    assert r"a\_b \& 50\% & \textbf{98.00}" in latex
    assert "\x1b" not in latex
    assert latex.count(r"\\") == 3


def test_the_page_shows_them(tmp_path):
    write_report(tmp_path / "report.html", "two models", MODELS)
    page = (tmp_path / "report.html").read_text()
    assert "<th>lfw Accuracy</th><th>cfp Accuracy</th><th>mean</th>" in page
    assert '<b>98.00</b><span class="aside">97.00 to 99.00</span>' in page
