"""A run on several processes equals the run on one; it goes on with another number of them, and ends as one when any of them must.

All runs are trained by one set of four processes; each test looks at some of them.
"""

import dataclasses
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from limen.backbones import BACKBONES
from limen.data.source import READERS
from limen.training import Recipe, read_log, train
from limen.training.checkpoint.folder import checkpoints
from limen.training.checkpoint.load import read_values
from limen.training.recipe import Backbone, Data, Margin, Optimiser, Quality, Sampling
from saved_runs import assert_equal_runs

SCRIPT = Path(__file__).with_name("training_worker.py")
PROCESSES, PEOPLE, IMAGES = 4, 5, 24  # the last of four processes has none of 5 people's centres
ADAMW = ["--optimiser.name", "AdamW", "--optimiser.center_lr", "0.02", "--optimiser.center_weight_decay", "0.0005"]
MARGINS = ("AdaMSoftmax", "ElasticArcFace")  # sharded parameters; draws that all processes share


def recipe(margin, **data):
    adaptive = Sampling("adaptive", {"period": 2, "start_accuracy": 0.0})
    return Recipe(
        epochs=1,
        batch_size=24,
        device="cpu",
        log_every=1,
        checkpoint_every=2,
        data=Data("patterns", None, {"people": PEOPLE, "images_each": IMAGES, **data}, "none", workers=0, sampling=adaptive),
        backbone=Backbone("plain", 16),
        margin=Margin(margin),
        quality=Quality(10.0),
        optimiser=Optimiser(lr=0.02, schedule="constant", ema=0.9, clip_norm=5.0),
    )


class Jobs:
    """What the processes shall do, in order."""

    def __init__(self, folder):
        self.folder, self.jobs = folder, []

    def add(self, out, processes, margin="AdaMSoftmax", epochs=1, data=(), **job):
        """`epochs` has 5 steps each."""
        config = self.folder / f"{len(self.jobs)}.yaml"
        chosen = recipe(margin, **dict(data))
        chosen.out, chosen.epochs, chosen.data.max_unreadable = str(self.folder / out), epochs, 0.05
        if data:
            chosen.data.sampling = Sampling()
        config.write_text(yaml.safe_dump(dataclasses.asdict(chosen)))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.jobs.append({"out": out, "processes": processes, "port": port, "config": str(config), **job})


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """(folder of the runs, outcome of each run by its folder's name and process)."""
    folder = tmp_path_factory.mktemp("runs")
    jobs = Jobs(folder)
    for margin in MARGINS:
        jobs.add(f"{margin}-1", 1, margin)
        jobs.add(f"{margin}-4", 4, margin)
    for out, processes, epochs in (("moved", 4, 0.4), ("moved", 1, 0.6), ("moved", 3, 1), ("again", 3, 1)):
        jobs.add(out, processes, epochs=epochs, resume="auto")
    jobs.add("parts", 4, settings=["--accumulate", "3"])
    jobs.add("disagreeing", 3, settings_of={2: ["--optimiser.lr", "0.5", "--data.workers", "1"]})
    jobs.add("sync", 2, settings=["--backbone.sync_batch_norm", "true"])
    jobs.add("adamw", 3, settings=ADAMW, epochs=0.4)
    jobs.add("adamw", 3, settings=ADAMW, resume="auto")
    jobs.add("adamw-1", 1, settings=ADAMW)
    jobs.add("stopped", 3, at_step=3, does="stop", rank=2)
    jobs.add("stopped", 3, resume="auto")
    jobs.add("unreadable", 3, data={"damaged": [3, 50, 77]})
    jobs.add("too many", 3, data={"damaged": list(range(7))})
    jobs.add("broken", 3, data={"damaged": list(range(PEOPLE * IMAGES))})
    jobs.add("failed", 4, at_step=3, does="fail", rank=3)  # its last job: its process ends
    jobs.add("killed", 3, at_step=3, does="kill", rank=2)
    jobs.add("killed", 1, resume="auto")
    (folder / "jobs.json").write_text(json.dumps(jobs.jobs))
    outcomes = [folder / f"outcomes-{rank}.json" for rank in range(PROCESSES)]
    command = [sys.executable, str(SCRIPT), str(PROCESSES), str(folder / "jobs.json"), str(folder / "outcomes")]
    finished = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=600)
    assert json.loads(finished.stdout) == [0, 0, -signal.SIGKILL, 0], finished.stderr
    found = {}
    for rank, path in enumerate(outcomes):
        mine = [job for job in jobs.jobs if rank < job["processes"]]
        for job, outcome in zip(mine, json.loads(path.read_text()), strict=rank != 2):  # the one that is killed says nothing
            found.setdefault((job["out"], rank), []).append(outcome)
    return folder, found


@pytest.mark.parametrize("margin", MARGINS)
def test_four_processes_equal_one(runs, margin):
    """Weights, moving averages, class margins, all momenta and what sampling has learnt after five steps; losses of every step."""
    folder, _ = runs
    assert_equal_runs(folder / f"{margin}-1", folder / f"{margin}-4", rtol=1e-3, atol=1e-5)
    one, four = ([row for row in read_log(folder / f"{margin}-{n}" / "log.jsonl") if "loss" in row] for n in (1, 4))
    assert [row["step"] for row in four] == list(range(1, 6))
    for name in ("loss", "target_cosine", "nearest_negative", "feature_norm", "gradient_norm", "quality_loss"):
        assert [row[name] for row in four] == pytest.approx([row[name] for row in one], rel=1e-3), name


def test_four_processes_in_parts_equal_one(runs):
    """Each computes its 6 images in 3 parts; the quality head too learns from all."""
    folder, _ = runs
    assert_equal_runs(folder / "parts", folder / "AdaMSoftmax-1", rtol=1e-3, atol=1e-5)


def test_adamw_on_three_processes_resumed_equals_one(runs):
    """What AdamW keeps of sharded margins is sharded too."""
    folder, found = runs
    assert found["adamw", 0] == ["done", "done"]
    assert_equal_runs(folder / "adamw", folder / "adamw-1", rtol=1e-2, atol=1e-4)


def test_processes_that_disagree_on_the_recipe_end_in_one_line(runs):
    folder, found = runs
    (said,) = found["disagreeing", 0]
    assert said == "process 2 of 3 was started with optimiser.lr 0.5, not 0.02 of process 0; start all with the same"
    assert found["disagreeing", 1] == found["disagreeing", 2] == ["1"]
    assert not (folder / "disagreeing").exists()


def test_sync_batch_norm_is_refused_on_a_cpu(runs):
    _, found = runs
    assert found["sync", 0] == ["backbone.sync_batch_norm: PyTorch has it for GPUs alone; leave it out on CPUs"]


def test_a_checkpoint_moves_between_numbers_of_processes(runs):
    folder, found = runs
    assert found["moved", 0] == ["done"] * 3
    assert read_values(checkpoints(folder / "moved")[-1])["processes"] == 3
    assert_equal_runs(folder / "moved", folder / "AdaMSoftmax-1", rtol=1e-3, atol=1e-5)


def test_a_stop_request_to_one_process_ends_all_and_the_run_goes_on_to_the_bit(runs):
    folder, found = runs
    said, went_on = found["stopped", 0]
    assert said.startswith("stopped at step 4 of 5, saved in ")
    assert went_on == "done"
    assert found["stopped", 1] == found["stopped", 2] == ["1", "done"]  # they end, and leave it to the first to speak
    assert_equal_runs(folder / "stopped", folder / "again")


def test_a_killed_process_ends_the_run_with_a_remedy_and_the_run_goes_on(runs):
    folder, found = runs
    for rank in (0, 1):
        assert found["killed", rank][0] == (
            f"process {rank} of 3: another process of the run has ended, its own message or torchrun's report says why; "
            "go on with --resume auto"
        )
    assert found["killed", 0][1] == "done"
    assert_equal_runs(folder / "killed", folder / "AdaMSoftmax-1", rtol=1e-3, atol=1e-5)


def test_a_process_that_runs_out_of_memory_ends_the_run_in_one_line(runs):
    _, found = runs
    (said,) = found["failed", 3]
    assert said.startswith("process 3 of 4 failed (OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 GiB), and with it the run")
    assert "`limen plan` says what a run needs" in said
    assert "\n" not in said
    for rank in (0, 1, 2):
        assert found["failed", rank][0].startswith(f"process {rank} of 4: another process of the run has ended")


def test_unreadable_images_are_counted_over_all_processes(runs):
    folder, found = runs
    assert read_values(checkpoints(folder / "unreadable")[-1])["unreadable"] != []
    assert sorted(index for index, _ in read_values(checkpoints(folder / "unreadable")[-1])["unreadable"]) == [3, 50, 77]
    assert found["too many", 0][0].startswith("7 of 120 images cannot be read, more than data.max_unreadable 0.05")
    assert found["broken", 0][0].startswith("none of the 8 images of step 0 can be read")
    assert found["too many", 1] == found["broken", 2] == ["1"]


def test_torchrun(tmp_path):
    """The real thing, with reading processes, ended by SIGTERM and gone on with."""
    config = tmp_path / "recipe.yaml"
    chosen = recipe("AdaFace")
    chosen.data = Data("synthetic", None, {"identities": PEOPLE, "images_per_identity": IMAGES}, workers=1)
    chosen.out, chosen.epochs, chosen.checkpoint_every = str(tmp_path / "run"), 1000, 10_000
    chosen.backbone = Backbone("tiny", 16)
    config.write_text(yaml.safe_dump(dataclasses.asdict(chosen)))
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "-m", "limen", "train", "--config", str(config)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and len(read_log(tmp_path / "run" / "log.jsonl")) < 2:
        time.sleep(0.05)
    process.terminate()
    said = process.communicate(timeout=100)[1]
    assert "find_unused_parameters" not in said  # PyTorch's warning, of each process
    lines = [line for line in said.splitlines() if line.startswith("limen: ")]
    assert len(lines) == 1
    assert lines[0].startswith("limen: stopped at step")
    assert len(checkpoints(tmp_path / "run")) == 1


def test_two_agents_of_torchrun_equal_one_process(tmp_path, monkeypatch):
    """As on two machines: an agent each, which meet on a port, with reading processes. SIGTERM to the second agent ends both."""
    config, chosen = tmp_path / "recipe.yaml", recipe("AdaFace")
    chosen.data.workers, chosen.out, chosen.epochs, chosen.checkpoint_every = 1, str(tmp_path / "two"), 1000, 10_000
    chosen.data.sampling = Sampling()  # periods of two steps end before what a reading process reads ahead
    config.write_text(yaml.safe_dump(dataclasses.asdict(chosen)))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        meeting = f"127.0.0.1:{probe.getsockname()[1]}"
    command = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1", "--rdzv-backend", "c10d"]
    command += [
        "--rdzv-id",
        "limen",
        "--rdzv-endpoint",
        meeting,
        "--local-addr",
        "127.0.0.1",
        str(SCRIPT.with_name("agent.py")),
        str(config),
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    agents = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) for _ in range(2)]
    while all(agent.poll() is None for agent in agents) and len(read_log(tmp_path / "two" / "log.jsonl")) < 2:
        time.sleep(0.05)
    agents[1].terminate()
    said = "".join(agent.communicate(timeout=100)[1] for agent in agents)
    lines = [line for line in said.splitlines() if line.startswith("limen: ")]
    assert len(lines) == 1, said
    assert lines[0].startswith("limen: stopped at step")
    (saved,) = checkpoints(tmp_path / "two")
    steps = read_values(saved)["step"]
    monkeypatch.syspath_prepend(SCRIPT.parent)
    import training_worker

    monkeypatch.setitem(BACKBONES, "plain", training_worker.Plain)
    monkeypatch.setitem(READERS, "patterns", "training_worker:Patterns")
    chosen.data.workers, chosen.out, chosen.epochs = 0, str(tmp_path / "one"), steps / 5
    train(chosen, quiet=True)
    assert_equal_runs(tmp_path / "two", tmp_path / "one", rtol=1e-3, atol=1e-5)
