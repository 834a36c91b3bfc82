"""Sharded equals dense in loss, gradients, nearest negatives, averages, class margins, updates, queues: 1 to 4 ranks, one empty."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("sharded_head.py")
RANKS = 4
CASES = 15  # margins, and two of them with each class sampler


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sharded")
    command = [sys.executable, str(SCRIPT), str(folder / "rendezvous"), str(folder / "result.json")]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=600)
    assert json.loads(finished.stdout) == [0] * RANKS, finished.stderr
    return json.loads((folder / "result.json").read_text())


@pytest.mark.parametrize("ranks", range(1, RANKS + 1))
def test_sharded_equals_dense(found, ranks):
    cases = [case for case in found if case[1] == ranks]
    assert len(cases) == CASES * ranks * (3 if ranks == RANKS else 1)  # of each rank, in three ways of the pass
    for name, _, classes, implementation, difference, same in cases:
        assert difference < 1e-11, f"{name}, {classes} classes, {implementation}"
        assert same, f"nearest negatives or queues of {name}, {classes} classes, {implementation}"
    met = {(classes, implementation) for _, _, classes, implementation, *_ in cases}
    assert len(met) == (6 if ranks == RANKS else 3)  # with few classes too where that leaves a rank without any
