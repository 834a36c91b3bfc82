"""The end of a run, and every moment at which it may be cut: no model, evaluation or calibration is lost."""

import dataclasses
import pickle

import pytest
import torch

from limen import LimenError
from limen.data.synthetic import SyntheticFaces, save_folder
from limen.margins import class_margins
from limen.models.bundle import load_bundle, save_bundle
from limen.protocols import Result
from limen.training import Recipe, loop, read_log, train
from limen.training.checkpoint.folder import checkpoints
from limen.training.recipe import Backbone, Data, Evaluation, Margin, Optimiser
from saved_runs import assert_equal_runs


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    return save_folder(SyntheticFaces(8, 8, difficulty=0.5), tmp_path_factory.mktemp("end") / "faces")


@pytest.fixture(scope="module")
def pairs(faces, tmp_path_factory):
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
        batch_size=16,
        device="cpu",
        threads=1,
        log_every=1,
        checkpoint_every=4,
        data=Data(path=str(faces), workers=0),
        backbone=Backbone("tiny", 16),
        margin=Margin("CosFace"),
        optimiser=Optimiser(lr=0.05, schedule="constant"),
    )
    return dataclasses.replace(plain, **changes)


def test_a_table_that_cannot_be_written_costs_no_model(faces, tmp_path, monkeypatch):
    settings = recipe(faces, tmp_path / "run", margin=Margin("AdaMSoftmax"))

    def fails(path, *_):
        raise LimenError(f"cannot save {path}")

    with monkeypatch.context() as patch:
        patch.setattr(class_margins, "write_table", fails)
        with pytest.raises(LimenError, match=r"cannot save .*class_margins.csv"):
            train(settings, quiet=True)
    assert load_bundle(tmp_path / "run" / "model.safetensors").training["steps"] == 8
    train(settings, resume="auto", quiet=True)
    assert (tmp_path / "run" / "class_margins.csv").is_file()


def test_resuming_a_finished_run_leaves_its_model_alone(faces, tmp_path):
    """It may have been calibrated since. A model of other weights is replaced, and a damaged one mended."""
    model = train(recipe(faces, tmp_path / "run"), quiet=True)
    save_bundle(model, dataclasses.replace(load_bundle(model), created="2000-01-01T00:00:00+00:00"))
    before = model.read_bytes()
    train(recipe(faces, tmp_path / "run"), resume="auto", quiet=True)
    assert model.read_bytes() == before
    train(recipe(faces, tmp_path / "run", licence="CC0"), resume="auto", quiet=True)
    assert load_bundle(model).licence == "CC0"
    model.write_bytes(before[:-1])
    train(recipe(faces, tmp_path / "run"), resume="auto", quiet=True)
    assert load_bundle(model).training["steps"] == 8
    train(recipe(faces, tmp_path / "run", epochs=3), resume="auto", quiet=True)
    assert load_bundle(model).training["steps"] == 12


@pytest.mark.parametrize("at", [4, 8])
def test_a_run_cut_between_a_checkpoint_and_its_evaluation_makes_it_when_it_goes_on(faces, pairs, tmp_path, at):
    evaluated = {"evaluation": Evaluation([str(pairs)], every=4)}
    train(recipe(faces, tmp_path / "whole", **evaluated), quiet=True)

    def evaluate(run, *arguments):
        if run.step == at:
            raise LimenError("cut")
        real(run, *arguments)

    real = loop.evaluate
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "evaluate", evaluate)
        with pytest.raises(LimenError, match="cut"):
            train(recipe(faces, tmp_path / "cut", **evaluated), quiet=True)
    assert checkpoints(tmp_path / "cut")[-1].name == f"checkpoint-{at:08d}"
    train(recipe(faces, tmp_path / "cut", **evaluated), resume="auto", quiet=True)
    assert_equal_runs(tmp_path / "whole", tmp_path / "cut")
    logged, metrics = {}, {}
    for run in ("whole", "cut"):
        rows = [row for row in read_log(tmp_path / run / "log.jsonl") if "evaluation" in row]
        logged[run] = [(row["step"], row["evaluation"], row["accuracy"]) for row in rows]
        metrics[run] = Result.load(tmp_path / run / "evaluation-people.json").metrics
    assert [row[0] for row in logged["whole"]] == [4, 8]
    assert logged["cut"] == logged["whole"]
    assert metrics["cut"] == metrics["whole"]
    train(recipe(faces, tmp_path / "cut", **evaluated), resume="auto", quiet=True)  # nothing is made twice
    assert len([row for row in read_log(tmp_path / "cut" / "log.jsonl") if "evaluation" in row]) == 2


@pytest.mark.parametrize("part", ["head", "quality"])
def test_weights_after_a_batch_that_is_not_finite_are_as_they_were_before(faces, tmp_path, part):
    """Centres and margins too, which move inside the backward pass, and all momenta."""
    kept = {}

    class Poisoned(loop.Run):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            kept["run"] = self
            module = self.head if part == "head" else self.quality
            module.register_forward_pre_hook(self.poison)

        def state(self):
            momenta = [state["momentum_buffer"] for state in self.optimiser.state.values()]
            return [
                *self.backbone.parameters(),
                *self.head.parameters(),
                *self.quality.parameters(),
                *momenta,
                self.center_optimiser.velocity,
            ]

        def poison(self, _, inputs):
            if self.step == 5:
                kept["before"] = [tensor.detach().clone() for tensor in self.state()]
                return (inputs[0] * torch.nan, *inputs[1:])

    settings = recipe(faces, tmp_path / "run", margin=Margin("AdaMSoftmax"))
    settings.optimiser.margin_lr = 1e-4  # no margin comes to the clamp, which is the forward pass's
    settings.quality.weight = 10.0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "Run", Poisoned)
        with pytest.raises(LimenError, match=r"loss is nan at step 6 \(lr 0.05\); the last good checkpoint is .*checkpoint-00000004;"):
            train(settings, quiet=True)
    assert len(kept["before"]) > 10
    assert all(torch.equal(now, before) for now, before in zip(kept["run"].state(), kept["before"], strict=True))
    assert [path.name for path in checkpoints(tmp_path / "run")] == ["checkpoint-00000004"]
