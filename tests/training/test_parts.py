"""What a recipe may add to a run: class samplers, adaptive sampling, a quality head, half-precision centres, a model to start from."""

import csv
import dataclasses
import math

import numpy as np
import pytest
import torch
from scipy.stats import rankdata

from limen import Embedder, LimenError
from limen.data.synthetic import SyntheticFaces, save_folder
from limen.devices import training_device
from limen.models.bundle import load_bundle
from limen.training import Recipe, read_log, train
from limen.training.checkpoint.folder import checkpoints
from limen.training.checkpoint.load import read_class_names
from limen.training.init_from_model import known_rows
from limen.training.recipe import Backbone, Data, Head, Margin, Optimiser, Quality, Sampler, Sampling
from saved_runs import assert_equal_runs, saved_tensors

PEOPLE, IMAGES = 10, 8


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    return save_folder(SyntheticFaces(PEOPLE, IMAGES, difficulty=0.5), tmp_path_factory.mktemp("parts") / "faces")


def recipe(faces, out, data=None, **changes):
    plain = Recipe(
        out=str(out),
        epochs=2,
        batch_size=16,
        device="cpu",
        threads=1,
        log_every=1,
        checkpoint_every=3,
        data=Data(path=str(faces), workers=0, **(data or {})),
        backbone=Backbone("tiny", 16),
        optimiser=Optimiser(lr=0.05, schedule="constant", clip_norm=5.0),
    )
    return dataclasses.replace(plain, **changes)


SLOW = Optimiser(lr=0.002, schedule="cosine")  # the quality loss is steep in the weights of a linear head: weight / beta * |z|^2
ADAPTIVE = {"sampling": Sampling("adaptive", {"period": 2, "start_accuracy": 0.0})}
SAMPLERS = {
    "PartialFC": Sampler("PartialFC", {"rate": 0.5}),
    "HPM": Sampler("HardPrototypeMining", {"queue": 3, "subset": 0.5, "rebuild_every": 4, "threshold": [-0.5, 0.0]}),
}


@pytest.mark.parametrize(
    ("margin", "sampler", "dtype", "data"),
    [
        ("AdaMSoftmax", "PartialFC", "bf16", ADAPTIVE),
        ("AdaMSoftmax", "HPM", "float32", {}),
        ("ElasticArcFace", "HPM", "bf16", ADAPTIVE),
        ("CurricularFace", "PartialFC", "float32", {}),
    ],
)
def test_parts_combine_and_a_resumed_run_is_bit_identical(faces, tmp_path, margin, sampler, dtype, data):
    parts = dict(margin=Margin(margin), head=Head(dtype=dtype, sampler=SAMPLERS[sampler]), quality=Quality(10.0), data=data)
    whole = recipe(faces, tmp_path / "whole", **parts)
    train(whole, quiet=True)
    later = []
    with pytest.MonkeyPatch.context() as patch:
        from limen.training import loop, state

        def save(run, folder):
            if run.step == 6:
                raise LimenError("cut")
            return state.save(run, folder)

        patch.setattr(loop, "save", save)
        with pytest.raises(LimenError, match="cut"):
            train(dataclasses.replace(whole, out=str(tmp_path / "cut")), quiet=True)
        later.append(checkpoints(tmp_path / "cut")[-1].name)
    assert later == ["checkpoint-00000003"]
    train(dataclasses.replace(whole, out=str(tmp_path / "cut")), resume="auto", quiet=True)
    assert_equal_runs(tmp_path / "whole", tmp_path / "cut")


def test_class_margins_are_logged_against_class_size(tmp_path):
    faces = save_folder(SyntheticFaces(6, 12, difficulty=0.5), tmp_path / "faces")
    for person in range(6):
        for image in sorted((faces / f"synthetic-{person:05d}").iterdir())[2 * person + 2 :]:
            image.unlink()
    adam = Margin("AdaMSoftmax", {"strength": 20.0})
    bundle = train(recipe(faces, tmp_path / "run", epochs=12, margin=adam, head=Head(scale=30.0)), quiet=True)
    with open(bundle.parent / "class_margins.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["name"], int(row["images"])) for row in rows] == [(f"synthetic-{k:05d}", 2 * k + 2) for k in range(6)]
    margins = np.array([float(row["margin"]) for row in rows])
    expected = np.corrcoef(rankdata(margins), np.arange(6))[0, 1]
    last = read_log(bundle.parent / "log.jsonl")[-1]
    assert last["margin_size_correlation"] == pytest.approx(expected, abs=1e-6)
    assert last["class_margin"] == pytest.approx(margins.mean(), abs=1e-5)


def test_the_moving_average_is_of_the_quality_head_too(faces, tmp_path):
    """With a decay of 0 it is the last weights, with one of 1 the first."""
    bundles = {}
    for decay in (None, 0.0, 1.0):
        settings = recipe(faces, tmp_path / f"{decay}", epochs=1, quality=Quality(10.0), optimiser=dataclasses.replace(SLOW, ema=decay))
        bundles[decay] = load_bundle(train(settings, quiet=True)).tensors
    assert all(torch.equal(bundles[0.0][name], tensor) for name, tensor in bundles[None].items())
    assert not torch.equal(bundles[1.0]["quality.weight"], bundles[None]["quality.weight"])


@pytest.mark.parametrize("sampler", ["PartialFC", "HPM"])
def test_the_log_says_what_a_sampler_chose(faces, tmp_path, sampler, capsys):
    """Of 10 people half take part; a batch of 16 brings most of them itself, and that is said where it leaves nothing to choose."""
    bundle = train(recipe(faces, tmp_path / "run", head=Head(sampler=SAMPLERS[sampler])))
    rows = [row for row in read_log(bundle.parent / "log.jsonl") if "loss" in row]
    assert all(0 < row["own_classes"] <= row["active_classes"] for row in rows)
    said = " ".join(capsys.readouterr().err.split())
    assert ("head.sampler chooses none" in said) == (rows[0]["own_classes"] == rows[0]["active_classes"])
    if sampler == "HPM":
        assert all(row["own_classes"] + row["mined_classes"] <= row["active_classes"] for row in rows)
        assert rows[0]["threshold"] < rows[-1]["threshold"] <= 0
        assert said.count("building the graph of 10 classes for Hard Prototype Mining") == 3  # every 4 steps of 10


def test_equal_classes_have_no_correlation_to_log(faces, tmp_path):
    rows = read_log(train(recipe(faces, tmp_path / "run", epochs=1, margin=Margin("AdaMSoftmax")), quiet=True).parent / "log.jsonl")
    assert all("class_margin" in row and "margin_size_correlation" not in row for row in rows)


def test_adaptive_sampling_leaves_a_table_of_suspects(faces, tmp_path):
    bundle = train(recipe(faces, tmp_path / "run", epochs=6, data=ADAPTIVE), quiet=True)
    with open(bundle.parent / "suspects.csv", newline="") as file:
        assert next(csv.reader(file)) == ["index", "file", "person", "score", "weight", "looks", "nearest", "nearest_cosine"]
    logged = [row for row in read_log(bundle.parent / "log.jsonl") if "weight_counts" in row]
    assert logged
    assert all(sum(row["weight_counts"]) == PEOPLE * IMAGES for row in logged)


@pytest.mark.parametrize(("sampler", "over"), [(Sampler(), "all classes"), (SAMPLERS["PartialFC"], "active classes")])
def test_a_quality_head_is_trained_kept_and_used(faces, tmp_path, sampler, over):
    settings = recipe(faces, tmp_path / "run", epochs=12, quality=Quality(10.0), head=Head(sampler=sampler), optimiser=SLOW)
    bundle = train(settings, quiet=True)
    rows = [row for row in read_log(bundle.parent / "log.jsonl") if "loss" in row]
    assert {row["quality_target_over"] for row in rows} == {over}
    assert np.mean([row["quality_loss"] for row in rows[-10:]]) < 0.5 * np.mean([row["quality_loss"] for row in rows[:10]])
    quality = Embedder.load(bundle).embed(np.stack([SyntheticFaces(2, 1).image(k) for k in range(2)])).quality
    assert np.isfinite(quality).all()


def test_the_backbone_is_trained_as_without_a_quality_head_of_no_weight(faces, tmp_path):
    """CR-FIQA's loss reaches the backbone: with a weight the backbone becomes another."""
    backbones = {}
    for name, quality in (("none", Quality()), ("tiny", Quality(1e-30)), ("ten", Quality(10.0))):
        backbones[name] = load_bundle(train(recipe(faces, tmp_path / name, epochs=1, quality=quality), quiet=True)).group("backbone")
    assert all(torch.equal(tensor, backbones["tiny"][name]) for name, tensor in backbones["none"].items())
    assert not all(torch.equal(tensor, backbones["ten"][name]) for name, tensor in backbones["none"].items())


@pytest.fixture(scope="module")
def model(faces, tmp_path_factory):
    """A bundle beside its checkpoints."""
    return train(recipe(faces, tmp_path_factory.mktemp("model") / "run", epochs=4, margin=Margin("AdaMSoftmax")), quiet=True)


def test_a_run_starts_from_a_model_and_the_centres_of_the_people_it_knows(model, tmp_path, capfd):
    """Seven of the people, under other labels, and three new ones; one step at a rate of nothing shows what it began with."""
    others = save_folder(SyntheticFaces(3, IMAGES, seed=9, difficulty=0.5), tmp_path / "others")
    known = save_folder(SyntheticFaces(PEOPLE, IMAGES, difficulty=0.5), tmp_path / "faces")
    for person in (0, 3, 4):
        others_name = f"synthetic-{(0, 3, 4).index(person):05d}"
        folder = known / f"synthetic-{person:05d}"
        for image in folder.iterdir():
            image.unlink()
        folder.rmdir()
        (others / others_name).rename(known / f"a-new-{person}")
    still = Optimiser(lr=1e-30, weight_decay=0.0, schedule="constant")
    settings = recipe(known, tmp_path / "run", epochs=0.2, margin=Margin("AdaMSoftmax"), init=str(model), optimiser=still)
    bundle = train(settings)
    assert "centres of 7 of 10 people from checkpoint-00000020, the others start afresh" in capfd.readouterr().err
    assert load_bundle(bundle).trained_on(["a-new-3", "nobody", "synthetic-00001"]) == ["a-new-3", "synthetic-00001"]
    old, new = saved_tensors(model.parent), saved_tensors(bundle.parent)
    old_names, new_names = (read_class_names(checkpoints(path.parent)[-1]) for path in (model, bundle))
    for name in ("head.centers.weight", "head.margin.class_margin"):
        for row, person in enumerate(new_names):
            if person in old_names:
                torch.testing.assert_close(
                    new[name][row],
                    old[name][old_names.index(person)].clamp(0, 1) if "margin" in name else old[name][old_names.index(person)],
                )
            else:
                assert new[name][row].abs().max() < (0.1 if "centers" in name else 0.41)
    for name, tensor in load_bundle(model).group("backbone").items():
        if "running" not in name and "num_batches" not in name:
            assert torch.equal(tensor, load_bundle(bundle).group("backbone")[name])


def test_people_of_several_sources_are_known_by_their_names_alone():
    known = ["Ann", "Bo@a", "Cy", "Di@a", "Di@b"]
    people = ["Ann@x", "Bo", "Cy", "Cy@y", "Di", "Di@b", "Eve@x"]
    assert known_rows(people, known) == [0, 1, 2, -1, -1, 4, -1]  # Cy is there, so Cy@y is another; of two called Di nobody can tell
    assert known_rows(["Ann@x", "Ann@y"], known) == [-1, -1]


def test_a_model_alone_gives_its_backbone(faces, model, tmp_path, capfd):
    alone = tmp_path / "alone.safetensors"
    alone.write_bytes(model.read_bytes())
    train(recipe(faces, tmp_path / "run", epochs=0.2, init=str(alone)))
    assert "no checkpoint beside it, so all class centres start afresh" in capfd.readouterr().err


def test_a_frozen_backbone_stays_and_a_quality_head_grows_on_it(faces, model, tmp_path):
    settings = recipe(faces, tmp_path / "run", epochs=12, init=str(model), freeze=["backbone"], quality=Quality(10.0, lr=0.0002))
    bundle = train(settings, quiet=True)
    before, after = load_bundle(model), load_bundle(bundle)
    for name, tensor in before.group("backbone").items():
        assert torch.equal(tensor, after.group("backbone")[name]), name
    rows = [row for row in read_log(bundle.parent / "log.jsonl") if "loss" in row]
    assert np.mean([row["quality_loss"] for row in rows[-10:]]) < 0.5 * np.mean([row["quality_loss"] for row in rows[:10]])
    assert all(math.isfinite(row["loss"]) for row in rows)
    assert Embedder.load(bundle).embed(np.stack([SyntheticFaces(2, 1).image(k) for k in range(2)])).quality is not None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"backbone": Backbone("tiny", 32)}, "is a tiny of embedding size 16, not a tiny of 32; set backbone.name to tiny"),
        (
            {"init": None, "freeze": ["backbone"]},
            "freeze: a backbone that was never trained would stay so; name a trained model with --init",
        ),
        ({"freeze": ["backbon"]}, r"freeze: \['backbon'\] must be a list, each one of backbone"),
        ({"init": "nowhere.safetensors"}, "nowhere.safetensors"),
        ({"head": Head(sampler=Sampler("PartialFCC"))}, "did you mean 'PartialFC'"),
        ({"head": Head(sampler=Sampler("PartialFC", {"rat": 0.1}))}, "did you mean 'rate'"),
        ({"head": Head(sampler=Sampler("all", {"rate": 0.1}))}, "all classes take none"),
        ({"data": {"sampling": Sampling("adaptive", {"perod": 1})}}, "did you mean 'period'"),
        ({"quality": Quality(10.0, "papers")}, "'papers' must be one of paper, released"),
    ],
)
def test_parts_that_do_not_fit_are_named(faces, model, tmp_path, changes, message):
    with pytest.raises(LimenError, match=message):
        train(recipe(faces, tmp_path / "run", **({"init": str(model)} | changes)), quiet=True)


def test_a_gpu_by_number_is_refused_under_torchrun(monkeypatch):
    assert training_device("cuda:1") == "cuda:1"
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert (training_device("cuda"), training_device("cpu")) == ("cuda:1", "cpu")
    with pytest.raises(LimenError, match="cuda:0 would put all processes on one GPU; give cuda"):
        training_device("cuda:0")
