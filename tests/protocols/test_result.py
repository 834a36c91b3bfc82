"""Result: what is saved is what is loaded, in JSON that any reader takes."""

import json
import math

import numpy as np
import pytest

from limen.errors import LimenError
from limen.protocols import Result


def result(**changes):
    fields = {
        "name": "pairs",
        "kind": "verification",
        "headline": "accuracy",
        "metrics": {"accuracy": 0.99, "tar@far=1e-06": math.nan},
        "intervals": {"accuracy": (0.98, 0.995)},
        "events": {"accuracy": 3},
        "counts": {"pairs": 600},
        "switches": {"flip": True, "sha256": "ab", "size": (112, 112), "folds": np.int64(10)},
        "curves": {"roc": {"far": [0.0, 1.0], "tar": [0.5, 1.0]}},
        "failures": ["a/b.jpg: is empty"],
    }
    return Result(**(fields | changes))


def test_loaded_equals_saved(tmp_path):
    saved = result()
    saved.save(tmp_path / "result.json")
    loaded = Result.load(tmp_path / "result.json")
    assert math.isnan(loaded.metrics.pop("tar@far=1e-06"))
    saved.metrics.pop("tar@far=1e-06")
    saved.switches |= {"size": [112, 112], "folds": 10}
    assert loaded == saved


def test_the_file_is_strict_json(tmp_path):
    result(curves={"roc": {"far": np.array([0.0, np.inf]), "tar": []}}).save(tmp_path / "result.json")

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    stored = json.loads((tmp_path / "result.json").read_text(), parse_constant=refuse)
    assert stored["metrics"]["tar@far=1e-06"] is None
    assert stored["curves"]["roc"]["far"] == [0.0, None]


@pytest.mark.parametrize("content", ["not json", "[]", '{"name": "x"}', '{"nome": 1}', '{"name":1,"kind":2,"headline":3,"metrics":4}'])
def test_another_file_is_refused_in_one_line(tmp_path, content):
    (tmp_path / "other.json").write_text(content)
    with pytest.raises(LimenError, match=r"other\.json: not a result") as refused:
        Result.load(tmp_path / "other.json")
    assert "\n" not in str(refused.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(LimenError, match=r"gone\.json: cannot be read"):
        Result.load(tmp_path / "gone.json")
