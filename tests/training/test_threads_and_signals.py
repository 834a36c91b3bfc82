"""What a run takes of its process it gives back, and what is asked to end ends."""

import dataclasses
import signal
import subprocess
import sys
import time

import pytest
import torch
import yaml

from limen import LimenError
from limen.training import Recipe, train
from limen.training.recipe import Backbone, Data


def recipe(out, **changes):
    data = Data("synthetic", None, {"identities": 4, "images_per_identity": 8}, workers=0)
    return dataclasses.replace(
        Recipe(out=str(out), epochs=1, batch_size=16, device="cpu", threads=1, data=data, backbone=Backbone("tiny", 16)), **changes
    )


@pytest.mark.parametrize("fails", [False, True])
def test_threads_random_state_and_handlers_are_as_they_were(tmp_path, fails):
    threads, handlers = torch.get_num_threads(), [signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM)]
    torch.set_num_threads(2)
    state = torch.get_rng_state()
    try:
        if fails:
            with pytest.raises(LimenError):
                train(recipe(tmp_path / "run", backbone=Backbone("nothing")), quiet=True)
        else:
            train(recipe(tmp_path / "run"), quiet=True)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(torch.get_rng_state(), state)
    assert [signal.getsignal(kind) for kind in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert signal.set_wakeup_fd(-1) == -1


HANGING = """
import time
from limen.data import SyntheticFaces

class Hanging(SyntheticFaces):
    def image(self, index):
        print("hangs", flush=True)
        time.sleep(1000)
"""


@pytest.mark.parametrize("workers", [0, 1])
def test_a_second_ctrl_c_ends_a_hang(tmp_path, workers):
    (tmp_path / "hanging.py").write_text(HANGING)
    config = tmp_path / "recipe.yaml"
    data = Data("hanging:Hanging", None, {"identities": 4, "images_per_identity": 8}, workers=workers)
    config.write_text(yaml.safe_dump(dataclasses.asdict(recipe(tmp_path / "run", data=data))))
    command = [sys.executable, "-m", "limen", "train", "--config", str(config), "--allow-code"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path)
    assert process.stdout.readline() == "hangs\n"
    while not (tmp_path / "run" / "log.jsonl").exists():  # a reading process begins before
        time.sleep(0.1)
    time.sleep(2)
    process.send_signal(signal.SIGINT)
    time.sleep(1.5)
    assert process.poll() is None  # the step in progress would be finished
    process.send_signal(signal.SIGINT)
    assert "ended at once, the step in progress is lost; go on with --resume auto" in process.communicate(timeout=20)[1]
    assert process.returncode == 130


@pytest.mark.parametrize("there", [False, True])
def test_a_failed_start_leaves_the_folder_as_it_was(tmp_path, there):
    out = tmp_path / "runs" / "first"
    if there:
        out.mkdir(parents=True)
    with pytest.raises(LimenError):
        train(recipe(out, data=Data(path=str(tmp_path / "nowhere"))), quiet=True)
    assert out.exists() == (tmp_path / "runs").exists() == there
    assert not there or not list(out.iterdir())


def test_a_run_that_runs_out_of_memory_names_limen_plan(tmp_path, monkeypatch):
    from limen.training import step

    def fails(*_):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes.")

    monkeypatch.setattr(step, "normalise", fails)
    with pytest.raises(LimenError, match=r"memory ran out \(.*99 bytes.*\); `limen plan` says what a run needs"):
        train(recipe(tmp_path / "run"), quiet=True)
