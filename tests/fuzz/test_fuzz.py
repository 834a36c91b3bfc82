"""Whatever a file from outside holds, it is read or refused: a few mutated inputs of each kind; benchmarks/fuzz.py tries thousands."""

import os
import signal
import subprocess
import sys
import time

import pytest

from fuzz.inputs import KINDS, fuzz
from fuzz.trial import Opener
from limen.errors import LimenError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="a process is forked for the inputs")
COUNT = 40
SLOW = {"published weights": 8, "checkpoints": 15, "checkpoints, sums made right": 15, "recipes": 15}
NEEDS = {"ONNX and sidecars": ["onnxruntime"], "tables of images": ["pyarrow", "lmdb"]}


@pytest.mark.parametrize("name", KINDS)
def test_mutated_inputs_are_read_or_refused(tmp_path, name):
    for package in NEEDS.get(name, ()):
        pytest.importorskip(package)
    count = SLOW.get(name, COUNT)
    found, faults = fuzz(KINDS[name](tmp_path), count, 1, tmp_path)
    assert not faults, "\n\n".join(faults)
    assert sum(found.values()) == count
    assert found["refused"] > 0


def refuse(folder):
    raise LimenError("no")


TOLD = {
    "refused": refuse,
    "traceback": lambda folder: 1 / 0,
    "hung": lambda folder: time.sleep(60),
    "memory": lambda folder: str(len(b"x" * (3 << 29))),
    "code": lambda folder: str(subprocess.run(["true"])),
    "signal": lambda folder: os.kill(os.getpid(), signal.SIGSEGV),
    "same": lambda folder: "as before",
    "damage": lambda folder: "otherwise",
}


@pytest.mark.parametrize("outcome", TOLD)
def test_every_outcome_is_told_and_the_next_input_is_opened(tmp_path, outcome):
    """Else a fuzz without faults would say nothing."""
    (tmp_path / "good").mkdir()
    seconds = 3 if outcome == "hung" else 60  # a busy machine takes its time over gigabytes
    with Opener(lambda folder: "as before" if folder.name == "good" else TOLD[outcome](folder), seconds=seconds) as opener:
        assert opener.open(tmp_path, "as before").outcome == outcome
        assert opener.open(tmp_path / "good", "as before").outcome == "same"


@pytest.mark.parametrize("way", ["written", "imported"])
def test_a_file_that_code_leaves_is_told(tmp_path, way):
    def run(folder):
        if way == "written":
            os.close(os.open("ran", os.O_CREAT))  # past Python's `open`, as a command that the file names would
        else:
            __import__("canary")
        return "as before"

    with Opener(run) as opener:
        assert opener.open(tmp_path, "as before").outcome == "code"
