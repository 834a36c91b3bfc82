"""Training runs, whole: what they leave behind, resuming to the bit, and every way they may fail."""

import dataclasses
import errno
import json
import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
import types

import cv2
import numpy as np
import pytest
import torch
import yaml
from torch.distributed.checkpoint import HuggingFaceStorageReader, load

from limen import Embedder, LimenError
from limen.data.synthetic import SyntheticFaces, save_folder
from limen.models.bundle import load_bundle
from limen.protocols import Result
from limen.training import Recipe, evaluation, load_recipe, monitor, read_log, step, train
from limen.training import run as training_run
from limen.training.checkpoint.folder import checkpoints
from limen.training.checkpoint.load import read_values
from limen.training.recipe import Backbone, Data, Evaluation, Margin, Optimiser, Quality
from saved_runs import assert_equal_runs, saved_tensors


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    """8 people, 4 images each."""
    return save_folder(SyntheticFaces(8, 4, difficulty=0.5), tmp_path_factory.mktemp("train") / "faces")


@pytest.fixture(scope="module")
def people(faces, tmp_path_factory):
    """32 pairs of them, in ten folds."""
    images = [(faces / f"synthetic-{person:05d}" / f"{k:04d}.png").read_bytes() for person in range(8) for k in (1, 2)]
    mated, non_mated = [(2 * p, 2 * p + 1) for p in range(8)], [(2 * p, (2 * p + 3) % 16) for p in range(8)]
    chosen = [pair for both in zip(mated, non_mated, strict=True) for pair in both] * 2
    path = tmp_path_factory.mktemp("pairs") / "people.bin"
    path.write_bytes(pickle.dumps(([images[k] for pair in chosen for k in pair], [True, False] * 16)))
    return path


def recipe(faces, out, **changes):
    plain = Recipe(
        out=str(out),
        epochs=2,
        batch_size=8,
        device="cpu",
        threads=1,
        log_every=1,
        checkpoint_every=3,
        data=Data(path=str(faces), workers=0, augment="adaface"),
        backbone=Backbone("tiny", 16),
        margin=Margin("ElasticArcFace", {}),
        optimiser=Optimiser(lr=0.05, schedule="milestones", milestones=[1.5], clip_norm=5.0),
    )
    return dataclasses.replace(plain, **changes)


def test_a_run_leaves_a_bundle_a_log_and_checkpoints(faces, tmp_path):
    bundle = train(recipe(faces, tmp_path / "run"), quiet=True)
    rows = read_log(bundle.parent / "log.jsonl")
    assert [row["step"] for row in rows] == list(range(1, 9))
    assert {"loss", "lr", "images_per_second", "target_cosine", "unreadable"} <= rows[0].keys()
    assert rows[-1]["lr"] == pytest.approx(0.005)
    assert [path.name for path in checkpoints(bundle.parent)] == ["checkpoint-00000006", "checkpoint-00000008"]
    embedder = Embedder.load(bundle)
    assert embedder.bundle.training["steps"] == 8
    assert embedder.bundle.recipe["margin"]["name"] == "ElasticArcFace"
    vectors = embedder.embed(np.stack([SyntheticFaces(2, 1).image(k) for k in range(2)])).vectors
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)


@pytest.mark.parametrize("given", [{}, {"gradient": "exact"}])
def test_training_takes_a_straight_through_gradient_unless_told(faces, tmp_path, given):
    start = recipe(faces, tmp_path / "run", epochs=1, margin=Margin("ElasticArcFace", dict(given)))
    bundle = train(start, quiet=True)
    assert load_bundle(bundle).recipe["margin"]["options"] == {"gradient": "straight_through"} | given
    assert start.margin.options == given
    other = {"gradient": "exact"} if not given else {"gradient": "straight_through"}
    with pytest.raises(LimenError, match=r"margin.options.gradient .* not .*; use its settings"):
        train(dataclasses.replace(start, margin=Margin("ElasticArcFace", other)), resume="auto", quiet=True)


def test_a_killed_and_resumed_run_is_bit_identical(faces, people, tmp_path):
    """SIGKILL, whenever it falls, with random margins, augmentation, worker processes, a moving average of the weights and evaluations.

    benchmarks/kills.py does so twenty times."""
    ema, evaluation = Optimiser(lr=0.05, schedule="cosine", ema=0.9), Evaluation([str(people)], every=3, best="people")
    whole = recipe(faces, tmp_path / "whole", epochs=3, optimiser=ema, checkpoint_every=2, evaluation=evaluation)
    train(whole, quiet=True)
    killed = tmp_path / "killed"
    config = tmp_path / "recipe.yaml"
    config.write_text(yaml.safe_dump(dataclasses.asdict(dataclasses.replace(whole, out=str(killed)))))
    command = [sys.executable, "-m", "limen", "train", "--config", str(config), "--resume", "auto", "--data.workers", "1"]
    for after_step in (3, 7):
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while process.poll() is None and time.monotonic() < deadline:
            rows = read_log(killed / "log.jsonl")
            if rows and rows[-1]["step"] >= after_step:
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.005)
        assert process.wait() == -signal.SIGKILL
    train(load_recipe(config), resume="auto", quiet=True)
    assert_equal_runs(tmp_path / "whole", killed)
    assert len({load_bundle(run / "model.safetensors").weights_sha256 for run in (tmp_path / "whole", killed)}) == 1
    rows, expected = (
        [row | {"images_per_second": 0, "seconds_left": 0} for row in read_log(run / "log.jsonl")] for run in (killed, tmp_path / "whole")
    )
    assert rows == expected
    assert [row["step"] for row in rows if "evaluation" in row] == [3, 6, 9, 12]
    assert load_bundle(killed / "best.safetensors").weights_sha256 == load_bundle(tmp_path / "whole" / "best.safetensors").weights_sha256
    assert (killed / "evaluation-people.json").read_bytes() == (tmp_path / "whole" / "evaluation-people.json").read_bytes()


def test_sigterm_saves_and_says_how_to_go_on(faces, tmp_path):
    config = tmp_path / "recipe.yaml"
    config.write_text(yaml.safe_dump(dataclasses.asdict(recipe(faces, tmp_path / "run", epochs=500, checkpoint_every=10_000))))
    command = [sys.executable, "-m", "limen", "train", "--config", str(config)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    while process.poll() is None and len(read_log(tmp_path / "run" / "log.jsonl")) < 2:
        time.sleep(0.01)
    process.terminate()
    error = process.communicate(timeout=60)[1].splitlines()[-1]
    assert process.returncode == 1
    assert error.startswith("limen: stopped at step")
    assert "--resume auto" in error
    assert len(checkpoints(tmp_path / "run")) == 1


def test_a_folder_that_holds_a_run_is_not_overwritten(faces, tmp_path):
    settings = recipe(faces, tmp_path / "run", epochs=1)
    train(settings, quiet=True)
    with pytest.raises(LimenError, match="holds a run already; go on with it by --resume auto"):
        train(settings, quiet=True)


def test_resuming_refuses_another_recipe_and_other_people(faces, tmp_path):
    train(recipe(faces, tmp_path / "run", epochs=1), quiet=True)
    with pytest.raises(LimenError, match=r'the run had batch_size 8, not 4, data\.augment "adaface", not "flip"; use its settings'):
        train(recipe(faces, tmp_path / "run", batch_size=4, data=Data(path=str(faces), workers=0)), resume="auto", quiet=True)
    longer = train(recipe(faces, tmp_path / "run", epochs=2), resume="auto", quiet=True)
    assert Embedder.load(longer).bundle.training["steps"] == 8
    (faces / "synthetic-00000").rename(faces / "renamed")
    try:
        with pytest.raises(LimenError, match="other people"):
            train(recipe(faces, tmp_path / "run", epochs=3), resume="auto", quiet=True)
    finally:
        (faces / "renamed").rename(faces / "synthetic-00000")


def test_a_loss_that_is_not_finite_stops_with_step_rate_and_checkpoint(faces, tmp_path):
    from limen.training import loop

    class Poisoned(loop.Run):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            self.head.register_forward_pre_hook(lambda _, inputs: (inputs[0] * (torch.nan if self.step == 4 else 1), inputs[1]))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "Run", Poisoned)
        with pytest.raises(LimenError, match=r"the loss is nan at step 5 \(lr 0.05\); the last good checkpoint is .*checkpoint-00000003;"):
            train(recipe(faces, tmp_path / "run"), quiet=True)


def test_a_full_disk_leaves_the_old_checkpoints(faces, tmp_path, monkeypatch):
    real_sync = os.fsync

    def full(handle):
        if "checkpoint-00000006" in os.readlink(f"/proc/self/fd/{handle}"):
            raise OSError(errno.ENOSPC, "No space left on device")
        real_sync(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(LimenError, match="the disk is full; the earlier checkpoints are unchanged"):
        train(recipe(faces, tmp_path / "run"), quiet=True)
    assert [path.name for path in checkpoints(tmp_path / "run")] == ["checkpoint-00000003"]
    assert read_values(checkpoints(tmp_path / "run")[0])["step"] == 3
    assert not list((tmp_path / "run").glob(".*.tmp"))
    monkeypatch.undo()
    train(recipe(faces, tmp_path / "run"), resume="auto", quiet=True)
    train(recipe(faces, tmp_path / "whole"), quiet=True)
    assert_equal_runs(tmp_path / "run", tmp_path / "whole")


@pytest.fixture(scope="module")
def finished(faces, tmp_path_factory):
    """The folder of a run that has ended."""
    return train(recipe(faces, tmp_path_factory.mktemp("finished") / "run"), quiet=True).parent


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"\x80\x04cos\nsystem\n(S'touch pwned'\ntR.", None])
@pytest.mark.parametrize("part", ["state.json", "tensors-00000-of-00001.safetensors"])
def test_a_damaged_or_hostile_checkpoint_is_refused(faces, finished, tmp_path, part, content):
    shutil.copytree(finished, tmp_path / "run")
    path = checkpoints(tmp_path / "run")[-1] / part
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)
    with pytest.raises(LimenError, match=r"checkpoint-00000008: damaged \(.*\); move it away"):
        train(recipe(faces, tmp_path / "run", epochs=3), resume="auto", quiet=True)


def test_a_checkpoint_cut_short_is_refused(faces, finished, tmp_path):
    shutil.copytree(finished, tmp_path / "run")
    path = next(checkpoints(tmp_path / "run")[-1].glob("*.safetensors"))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(LimenError, match=r"damaged .*; move it away"):
        train(recipe(faces, tmp_path / "run", epochs=3), resume="auto", quiet=True)


@pytest.mark.parametrize("part", ["classes.json", "tensors-00000-of-00001.safetensors", "state.json"])
def test_a_changed_byte_is_noticed(faces, finished, tmp_path, part):
    """Resuming, and starting another run from the model beside it."""
    shutil.copytree(finished, tmp_path / "run")
    path = checkpoints(tmp_path / "run")[-1] / part
    content = bytearray(path.read_bytes())
    if part == "state.json":  # still JSON, of a later step
        content = content.replace(b'"step": 8', b'"step": 9')
    else:
        content[-7] ^= 1
    path.write_bytes(content)
    for settings, resume in (
        (recipe(faces, tmp_path / "run", epochs=3), "auto"),
        (recipe(faces, tmp_path / "other", init=str(tmp_path / "run" / "model.safetensors")), None),
    ):
        with pytest.raises(LimenError, match=rf"damaged \({part} has changed\); move it away"):
            train(settings, resume=resume, quiet=True)


def test_a_run_is_no_checkpoint_and_says_which_it_holds(faces, finished):
    with pytest.raises(LimenError, match=r"not a checkpoint of limen; it holds some: name one, .*checkpoint-00000008 say, or auto"):
        train(recipe(faces, finished), resume=finished, quiet=True)
    with pytest.raises(LimenError, match=r"it is a folder; name the model file in it, model.safetensors of a run"):
        train(recipe(faces, finished.parent / "other", init=str(finished)), quiet=True)


def test_a_run_goes_on_where_its_data_have_moved(tmp_path):
    faces = save_folder(SyntheticFaces(4, 4), tmp_path / "faces")
    train(recipe(faces, tmp_path / "run", epochs=1), quiet=True)
    moved = faces.rename(tmp_path / "elsewhere")
    assert Embedder.load(train(recipe(moved, tmp_path / "run", epochs=2), resume="auto", quiet=True)).bundle.training["steps"] == 4


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled")
def test_pytorchs_own_reader_reads_a_checkpoint(finished):
    path = checkpoints(finished)[-1]
    ours = saved_tensors(finished)
    theirs = {name: torch.zeros_like(tensor) for name, tensor in ours.items()}
    load(theirs, storage_reader=HuggingFaceStorageReader(str(path)), no_dist=True)
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert json.loads((path / "classes.json").read_text())[:2] == ["synthetic-00000", "synthetic-00001"]


def test_unreadable_images_are_counted_up_to_the_stated_share(tmp_path):
    faces = save_folder(SyntheticFaces(4, 8, difficulty=0.5), tmp_path / "faces")
    for name in ("0003.png", "0005.png"):
        (faces / "synthetic-00001" / name).write_bytes(b"no image")
    allowed = Data(path=str(faces), workers=0, max_unreadable=0.07)
    bundle = train(recipe(faces, tmp_path / "run", epochs=1, batch_size=8, data=allowed), quiet=True)
    assert Embedder.load(bundle).bundle.training["unreadable_images"] == 2
    refused = Data(path=str(faces), workers=0, max_unreadable=0.05)
    with pytest.raises(LimenError, match=r"2 of 32 images cannot be read, more than data.max_unreadable 0.05; the last: .*\.png"):
        train(recipe(faces, tmp_path / "strict", epochs=1, batch_size=8, data=refused), quiet=True)


class WrongLabels(SyntheticFaces):
    """A reader of one's own that numbers people from 1."""

    def __init__(self):
        super().__init__(4, 4)
        self.labels = self.labels + 1


def test_a_label_without_a_class_is_named_with_its_image(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "own", types.SimpleNamespace(WrongLabels=WrongLabels))
    wrong = Data(reader="own:WrongLabels", workers=0)
    with pytest.raises(LimenError, match=r"synthetic identity 3 image 0 .*: label 4 is outside \[0, 4\), as are 3 others"):
        train(recipe(None, tmp_path / "run", batch_size=16, data=wrong), quiet=True)


class Killer(SyntheticFaces):
    """A reader whose process is killed, as the system does when memory runs out."""

    def image(self, index):
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_reading_process_ends_the_run_in_one_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "own", types.SimpleNamespace(Killer=Killer))
    with pytest.raises(LimenError, match="a process that reads images was ended from outside"):
        train(recipe(None, tmp_path / "run", data=Data(reader="own:Killer", workers=1)), quiet=True)


def test_evaluation_while_training(faces, people, tmp_path):
    settings = recipe(faces, tmp_path / "run", evaluation=Evaluation([str(people)], every=4))
    bundle = train(settings, quiet=True)
    rows = [row for row in read_log(bundle.parent / "log.jsonl") if "evaluation" in row]
    assert [(row["step"], row["evaluation"]) for row in rows] == [(4, "people"), (8, "people")]
    assert Result.load(bundle.parent / "evaluation-people.json").value("accuracy") == rows[-1]["accuracy"]
    plain = train(recipe(faces, tmp_path / "plain"), quiet=True)
    assert_equal_runs(bundle.parent, plain.parent)  # looking changes nothing


def test_bf16_and_tensorboard(faces, tmp_path):
    bundle = train(recipe(faces, tmp_path / "run", epochs=1, precision="bf16", tensorboard=True), quiet=True)
    assert all(np.isfinite(row["loss"]) for row in read_log(bundle.parent / "log.jsonl"))
    assert list((bundle.parent / "tensorboard").glob("events.*"))


def test_training_teaches(tmp_path):
    faces = save_folder(SyntheticFaces(8, 8, difficulty=0.5), tmp_path / "faces")
    settings = recipe(
        faces, tmp_path / "run", epochs=12, batch_size=16, margin=Margin("CosFace", {"m": 0.1}), data=Data(path=str(faces), workers=0)
    )
    rows = read_log(train(settings, quiet=True).parent / "log.jsonl")
    assert rows[-1]["target_cosine"] > 0.5 > rows[0]["target_cosine"] + 0.3


def test_fewer_images_than_a_batch(faces, tmp_path):
    with pytest.raises(LimenError, match="batch_size: 512 images cannot be drawn from 32"):
        train(recipe(faces, tmp_path / "run", batch_size=512), quiet=True)


def test_gray_pictures_train_too(tmp_path):
    for person in "ab":
        (tmp_path / "faces" / person).mkdir(parents=True)
        for k in range(4):
            picture = np.random.default_rng(k).integers(0, 255, (112, 112), np.uint8)
            cv2.imwrite(str(tmp_path / "faces" / person / f"{k}.png"), picture)
    settings = recipe(tmp_path / "faces", tmp_path / "run", epochs=1, batch_size=4, data=Data(path=str(tmp_path / "faces"), workers=0))
    assert train(settings, quiet=True).exists()


def test_a_failed_evaluation_loses_no_training(faces, tmp_path):
    pictures = [cv2.imencode(".png", np.full((96, 96, 3), 5 * k, np.uint8))[1].tobytes() for k in range(40)]
    (tmp_path / "small.bin").write_bytes(pickle.dumps((pictures, [True, False] * 10)))
    wrong_size = Evaluation([str(tmp_path / "small.bin")])
    with pytest.raises(LimenError, match="96x96, not 112x112"):  # before the first step
        train(recipe(faces, tmp_path / "run", evaluation=wrong_size), quiet=True)
    assert not (tmp_path / "run" / "log.jsonl").exists()


def test_the_best_model_is_kept(faces, people, tmp_path, monkeypatch, capsys):
    """The first of the highest accuracy on the pairs that the recipe names; a resumed run remembers what it was."""
    accuracies = iter([0.7, 0.9, 0.8, 0.9])
    monkeypatch.setattr(evaluation.Verification, "run", lambda self, model: SimpleResult(next(accuracies)))
    chosen = recipe(faces, tmp_path / "run", epochs=1, checkpoint_every=1, evaluation=Evaluation([str(people)], None, 2, "people"))
    train(chosen, quiet=True)
    first = load_bundle(tmp_path / "run" / "best.safetensors")
    train(dataclasses.replace(chosen, epochs=2), resume="auto")
    assert load_bundle(tmp_path / "run" / "best.safetensors").training["steps"] == first.training["steps"] == 4
    rows = [row for row in read_log(tmp_path / "run" / "log.jsonl") if "evaluation" in row]
    assert [(row["step"], row["accuracy"], row["best"]) for row in rows] == [
        (2, 0.7, True),
        (4, 0.9, True),
        (6, 0.8, False),
        (8, 0.9, False),
    ]
    with pytest.raises(LimenError, match=r"^evaluation.best: 'peopel' is not the name of a set of evaluation.pairs; did you mean 'people'"):
        train(recipe(faces, tmp_path / "other", evaluation=Evaluation([str(people)], best="peopel")), quiet=True)


class SimpleResult:
    name = "people"

    def __init__(self, accuracy):
        self.accuracy = accuracy

    def value(self, name):
        return self.accuracy

    def save(self, path):
        path.write_text(str(self.accuracy))


def test_two_evaluations_of_one_name_are_refused(faces, tmp_path):
    pictures = [cv2.imencode(".png", np.full((112, 112, 3), 5 * k, np.uint8))[1].tobytes() for k in range(40)]
    for folder in "ab":
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "lfw.bin").write_bytes(pickle.dumps((pictures, [True, False] * 10)))
    both = Evaluation([str(tmp_path / folder / "lfw.bin") for folder in "ab"])
    with pytest.raises(LimenError, match="two files are called lfw"):
        train(recipe(faces, tmp_path / "run", evaluation=both), quiet=True)


def test_an_earlier_checkpoint_is_not_mixed_with_later_ones(faces, tmp_path):
    train(recipe(faces, tmp_path / "run"), quiet=True)
    first = checkpoints(tmp_path / "run")[0]
    with pytest.raises(LimenError, match=r"checkpoint-00000008, which is newer"):
        train(recipe(faces, tmp_path / "run"), resume=first, quiet=True)


def test_a_finished_model_without_checkpoints_is_not_overwritten(faces, tmp_path):
    train(recipe(faces, tmp_path / "run"), quiet=True)
    for path in checkpoints(tmp_path / "run"):
        shutil.rmtree(path)
    with pytest.raises(LimenError, match="a finished model and no checkpoint"):
        train(recipe(faces, tmp_path / "run"), resume="auto", quiet=True)


def test_resuming_notices_a_changed_folder(tmp_path):
    faces = save_folder(SyntheticFaces(4, 8), tmp_path / "faces")
    train(recipe(faces, tmp_path / "run", epochs=1), quiet=True)
    (faces / "synthetic-00002" / "0004.png").unlink()
    with pytest.raises(LimenError, match="other people or images"):
        train(recipe(faces, tmp_path / "run", epochs=2), resume="auto", quiet=True)


def test_another_programs_checkpoint_is_refused(faces, tmp_path):
    torch.save({"state_dict": {}}, tmp_path / "foreign.pt")
    (tmp_path / "folder").mkdir()
    for name, message in (("foreign.pt", "not a folder"), ("folder", "not a checkpoint of limen"), ("nowhere", "no such folder")):
        with pytest.raises(LimenError, match=message):
            train(recipe(faces, tmp_path / "run"), resume=tmp_path / name, quiet=True)


def test_settings_that_train_nothing_or_nowhere_are_refused(faces, tmp_path):
    with pytest.raises(LimenError, match="is no step at all"):
        train(recipe(faces, tmp_path / "run", epochs=0.01), quiet=True)
    with pytest.raises(LimenError, match="device 'gpu' cannot be used here"):
        train(recipe(faces, tmp_path / "run", device="gpu"), quiet=True)
    alone = save_folder(SyntheticFaces(1, 32), tmp_path / "alone")
    with pytest.raises(LimenError, match="no two people"):
        train(recipe(alone, tmp_path / "run"), quiet=True)


def test_two_processes_do_not_train_in_one_folder(faces, tmp_path):
    """The folder is free again as soon as the other has ended, however it did."""
    program = (
        "import sys, pathlib, signal, limen.locks as f\n"
        "with f.sole_use(pathlib.Path(sys.argv[1]), 'training'):\n print(flush=True)\n signal.pause()"
    )
    other = subprocess.Popen([sys.executable, "-c", program, str(tmp_path / "run")], stdout=subprocess.PIPE)
    other.stdout.readline()
    with pytest.raises(LimenError, match="another process is training there; wait until it has ended"):
        train(recipe(faces, tmp_path / "run", epochs=1), quiet=True)
    other.kill()
    other.wait()
    train(recipe(faces, tmp_path / "run", epochs=1), quiet=True)


def test_reading_processes_begin_before_there_are_centres(faces, tmp_path, monkeypatch):
    """They hold a copy of each page of the training process that changes after their beginning: all centres and momenta."""
    started = []
    build = training_run.MarginHead
    monkeypatch.setattr(training_run, "MarginHead", lambda *a: started.append(len(multiprocessing.active_children())) or build(*a))
    train(recipe(faces, tmp_path / "run", epochs=1, data=Data(path=str(faces), workers=1)), quiet=True)
    assert started == [1]


def turn(monkeypatch, *cosines):
    """The named mean cosines fall by .09 in a step."""
    row = monitor.Monitor._row
    fallen = lambda self, outcome: row(self, outcome) | dict.fromkeys(cosines, -0.09 * self.run.step)  # noqa: E731
    monkeypatch.setattr(monitor.Monitor, "_row", fallen)


@pytest.fixture
def collapsing(monkeypatch):
    turn(monkeypatch, "target_cosine", "nearest_negative")


@pytest.mark.parametrize("cosine", ["target_cosine", "nearest_negative"])
def test_features_apart_from_some_centres_alone_are_no_collapse(faces, tmp_path, monkeypatch, cosine):
    """Few classes in few dimensions lie opposite to each other, and noise may turn a small batch from its own centres."""
    turn(monkeypatch, cosine)
    assert "collapsed" not in load_bundle(train(recipe(faces, tmp_path / "run"), quiet=True)).training


def test_a_collapse_under_the_exact_gradient_is_answered_with_the_other(faces, tmp_path, collapsing):
    with pytest.raises(LimenError, match=r"turned away from all centres.*; start again with margin.options.gradient straight_through"):
        train(recipe(faces, tmp_path / "run", margin=Margin("ArcFace", {"gradient": "exact"})), quiet=True)


@pytest.mark.parametrize(
    ("own", "other", "epochs", "told"), [(0.72, 0.71, 2, 1), (0.34, 0.36, 2, 1), (0.52, 0.38, 2, 0), (0.05, 0.2, 2, 0), (0.72, 0.71, 1, 0)]
)
def test_features_that_gather_are_told_once_past_half_of_the_run(faces, tmp_path, monkeypatch, capsys, own, other, epochs, told):
    row = monitor.Monitor._row
    until, apart = 4 * epochs, {"target_cosine": 0.5, "nearest_negative": 0.4}  # of eight steps
    gathered = {"target_cosine": own, "nearest_negative": other}
    monkeypatch.setattr(monitor.Monitor, "_row", lambda self, o: row(self, o) | (gathered if self.run.step <= until else apart))
    train(recipe(faces, tmp_path / "run", margin=Margin("ArcFace", {"gradient": "exact"})))
    said = " ".join(capsys.readouterr().err.split())
    assert said.count("they gather in a few directions; if it stays so, start again with margin.options.gradient straight_through") == told


def test_a_network_that_collapsed_ends_the_run_with_a_remedy(faces, tmp_path, collapsing):
    with pytest.raises(
        LimenError, match=r"step 4: the mean cosine to the own centre is -0.36 and .*; start again with a lower optimiser.lr"
    ):
        train(recipe(faces, tmp_path / "run"), quiet=True)
    assert read_log(tmp_path / "run" / "log.jsonl")[-1]["step"] == 4
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_a_collapsed_network_that_is_allowed_is_told_once_and_marked(faces, tmp_path, collapsing, capsys):
    """Whether it is trained in one go or resumed after it was found."""
    whole = train(recipe(faces, tmp_path / "run", allow_collapse=True))
    said = " ".join(capsys.readouterr().err.split())
    assert said.count("the features have turned away from all centres") == 1
    assert "step 4: the mean cosine to the own centre is -0.36 and to the nearest other -0.36" in said
    assert load_bundle(whole).training["collapsed"] is True
    assert Embedder.load(whole).description["collapsed"] is True
    train(recipe(faces, tmp_path / "cut", epochs=1.5, allow_collapse=True), quiet=True)
    resumed = train(recipe(faces, tmp_path / "cut", allow_collapse=True, log_every=100), resume="auto")
    assert "turned away" not in capsys.readouterr().err
    assert load_bundle(resumed).training["collapsed"] is True


def test_a_quality_head_that_diverges_stops_before_the_update(faces, tmp_path, monkeypatch):
    monkeypatch.setattr(step, "quality_loss", lambda predicted, _: (predicted * torch.nan).mean())
    with pytest.raises(LimenError, match=r"the quality loss is nan at step 1"):
        train(recipe(faces, tmp_path / "run", quality=Quality(10.0)), quiet=True)


def test_a_gradient_that_is_not_finite_stops_before_the_update(faces, tmp_path, monkeypatch):
    monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", lambda *_: torch.tensor(float("inf")))
    with pytest.raises(LimenError, match=r"the gradient is inf at step 1 \(lr 0.05\); there is no checkpoint yet"):
        train(recipe(faces, tmp_path / "run"), quiet=True)


def test_the_remains_of_a_killed_save_are_removed(faces, tmp_path):
    remains = tmp_path / "run" / ".checkpoint-00000003.tmp"
    remains.mkdir(parents=True)
    (remains / "state.json").write_text("half")
    train(recipe(faces, tmp_path / "run", epochs=1), quiet=True)
    assert not remains.exists()
