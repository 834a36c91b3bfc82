"""Result: what is saved is what is loaded, in JSON that any reader takes and of the schema that is published."""

import json
from pathlib import Path

import numpy as np
import pytest

import limen
from limen.errors import LimenError
from limen.protocols import Curve, Discarding, Interval, Metric, Result, load_results, result_schema, save_results

SCHEMA = Path(__file__).parents[2] / "docs" / "schema" / "result.json"


def result(**changes):
    fields = {
        "name": "pairs",
        "kind": "verification",
        "headline": "accuracy",
        "metrics": [
            Metric("accuracy", 0.99, interval=Interval(0.98, 0.995), events=3),
            Metric("tar", None, at={"far": 1e-6}),
            Metric("pauc", 0.25, "area", {"fmr": 0.1}, limit=0.3, variant=["normalised"], versus="sharpness"),
        ],
        "model": "ada",
        "discarding": Discarding("norm", "per_step", 10),
        "counts": {"pairs": 600},
        "switches": {"flip": True, "sha256": "ab", "size": (112, 112), "folds": np.int64(10)},
        "curves": [Curve("roc", {"far": [0.0, 1.0], "tar": [0.5, 1.0]}), Curve("edc", {"fnmr": [0, None]}, {"fmr": 0.01})],
        "failures": ["a/b.jpg: is empty", "caf\udce9.jpg: is no image"],
    }
    return Result(**(fields | changes))


def test_loaded_equals_saved(tmp_path):
    saved = result()
    saved.save(tmp_path / "result.json")
    saved.switches |= {"size": [112, 112], "folds": 10}
    assert Result.load(tmp_path / "result.json") == saved
    assert saved.limen == limen.__version__


def test_several_results_are_a_list_and_one_is_asked_for_in_vain(tmp_path):
    save_results([result(switches={}), result(switches={}, model="arc")], tmp_path / "result.json")
    assert load_results(tmp_path / "result.json") == [result(switches={}), result(switches={}, model="arc")]
    with pytest.raises(LimenError, match=r"holds 2 results; read them with limen\.protocols\.load_results"):
        Result.load(tmp_path / "result.json")


def test_the_published_schema_is_that_of_the_dataclasses():
    """Written anew by: python -c "import json, limen.protocols as p; print(json.dumps(p.result_schema(), indent=2))"."""
    assert json.loads(SCHEMA.read_text(encoding="utf-8")) == result_schema()


def test_a_metric_names_itself():
    keys = [metric.key for metric in result().metrics]
    assert keys == ["accuracy", "tar@far=1e-06", "pauc(0.3)@fmr=0.1_normalised_minus_sharpness"]
    assert Metric("accuracy", 0.1, variant=["with failures as errors"]).key == "accuracy_with_failures_as_errors"
    assert result().where(at={"far": 1e-6}) == [result().metrics[1]]
    assert result().value("accuracy") == 0.99
    with pytest.raises(KeyError, match="gone"):
        result().value("gone")


@pytest.mark.parametrize("value", [np.nan, np.inf, None, np.float32("nan")])
def test_what_is_not_finite_is_unresolved_and_has_no_interval(value):
    metric = Metric("tar", value, interval=Interval(0, 1))
    assert (metric.value, metric.interval) == (None, None)
    assert Metric("tar", 0.5, interval=Interval(np.nan, 1)).interval is None


def test_a_headline_that_is_none_of_the_metrics_or_a_key_twice_is_refused():
    for changes in ({"headline": "eer"}, {"metrics": [Metric("accuracy", 0.1), Metric("accuracy", 0.2)]}):
        with pytest.raises(ValueError, match="headline"):
            result(**changes)


def test_the_file_is_strict_json(tmp_path):
    result(curves=[Curve("roc", {"far": np.array([0.0, np.inf]), "tar": []})]).save(tmp_path / "result.json")

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    stored = json.loads((tmp_path / "result.json").read_text(), parse_constant=refuse)
    assert stored["results"][0]["metrics"][1]["value"] is None
    assert stored["results"][0]["curves"][0]["points"]["far"] == [0.0, None]


DAMAGED = [
    "not json",
    "[]",
    '{"name": "x"}',
    '{"nome": 1}',
    '{"name":1,"kind":2,"headline":3,"metrics":4}',
    '{"results": {"a": 1}}',
    '{"name": "x", "kind": "y", "headline": "eer", "metrics": {"eer": 0.1}, "intervals": {"eer": [0.1]}}',
    '{"format": 2, "format": 2, "results": []}',
    '{"format": 2, "results": [{"name": "x", "kind": "y", "headline": "z", "metrics": []}]}',
    '{"format": 2, "results": [{"name": "x", "kind": "y", "headline": "z", "metrics": [{"quantity": "z", "value": "1"}]}]}',
    '{"format": 2, "results": [{"name": "x", "kind": "y", "headline": "z", "metrics": [{"quantity": "z", "value": NaN}]}]}',
    '{"format": "2", "results": []}',
    "[" * 100_000,
    '{"format": 2, "results": ' + "9" * 5000 + "}",
]


@pytest.mark.parametrize("content", DAMAGED, ids=range(len(DAMAGED)))
def test_another_file_is_refused_in_one_line(tmp_path, content):
    (tmp_path / "other.json").write_text(content)
    with pytest.raises(LimenError, match=r"other\.json: (not a result|is not JSON)") as refused:
        Result.load(tmp_path / "other.json")
    assert "\n" not in str(refused.value)


def test_a_file_of_a_newer_format_asks_for_a_newer_limen(tmp_path):
    (tmp_path / "result.json").write_text('{"format": 3, "results": []}')
    with pytest.raises(LimenError, match=r"format 3.*update limen"):
        load_results(tmp_path / "result.json")


def test_a_missing_file_or_a_folder_is_named(tmp_path):
    with pytest.raises(LimenError, match=r"gone\.json: no such file or folder"):
        Result.load(tmp_path / "gone.json")
    with pytest.raises(LimenError, match="is a folder"):
        Result.load(tmp_path)
