"""Sharded equals dense: loss, gradients, nearest negatives, averages, class margins, updates; on 1 to 4 ranks, also with an empty shard."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("sharded_head.py")
RANKS, CLASSES = 4, (5, 13, 40)
MARGINS = 11


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sharded")
    command = [sys.executable, str(SCRIPT)]
    arguments = [str(folder / "rendezvous"), str(folder / "result.json")]
    processes = [subprocess.Popen([*command, str(rank), *arguments], stderr=subprocess.PIPE, text=True) for rank in range(RANKS)]
    errors = [process.communicate(timeout=240)[1] for process in processes]
    assert [process.returncode for process in processes] == [0] * RANKS, "\n".join(errors)
    return json.loads((folder / "result.json").read_text())


@pytest.mark.parametrize("ranks", range(1, RANKS + 1))
def test_sharded_equals_dense(found, ranks):
    cases = [case for case in found if case[1] == ranks]
    assert len(cases) == MARGINS * len(CLASSES) * 2
    for name, _, classes, implementation, difference, same_index in cases:
        assert difference < 1e-11, f"{name}, {classes} classes, {implementation}"
        assert same_index, f"nearest negatives of {name}, {classes} classes, {implementation}"
