"""Recipes: the file, then the command line; every mistake names the nearest thing that exists."""

import dataclasses
from pathlib import Path

import pytest
import yaml

from limen import LimenError
from limen.margins import create_margin
from limen.training import load_recipe
from limen.training.recipe import known_keys

RECIPES = sorted((Path(__file__).parents[2] / "recipes").rglob("*.yaml"))


def written(folder, text):
    path = folder / "recipe.yaml"
    path.write_text(text)
    return path


def test_the_command_line_overrides_the_file(tmp_path):
    path = written(tmp_path, "epochs: 3\nmargin: {name: CosFace, options: {m: 0.3}}\noptimiser: {lr: 0.05, milestones: [1, 2.5]}\n")
    recipe = load_recipe(path, ["--optimiser.lr", ".01", "--margin.options.m=0.25", "--data.workers", "0"])
    assert (recipe.epochs, recipe.optimiser.lr, recipe.optimiser.milestones) == (3, 0.01, [1, 2.5])
    assert (recipe.margin.name, recipe.margin.options, recipe.data.workers) == ("CosFace", {"m": 0.25}, 0)


def test_a_printed_recipe_reads_back_the_same(tmp_path):
    recipe = load_recipe(None, ["--margin.name", "ArcFace", "--optimiser.ema", ".99"])
    assert load_recipe(written(tmp_path, yaml.safe_dump(dataclasses.asdict(recipe)))) == recipe


@pytest.mark.parametrize(
    ("text", "words", "message"),
    [
        ("epochz: 3", [], "unknown key 'epochz'; did you mean 'epochs'"),
        ("optimiser: {learning_rate: 1}", [], "unknown key 'optimiser.learning_rate'"),
        ("optimiser: {weight_decays: 1}", [], "did you mean 'weight_decay'"),
        ("optimiser: 3", [], "'optimiser' is a section"),
        ("[1, 2]", [], "a recipe is a mapping"),
        ("epochs: {", [], "not valid YAML"),
        ("epochs: many", [], "epochs"),
        ("epochs: -1", [], "epochs: -1.0 must be above 0"),
        ("precision: bf61", [], "choose from float32, bf16"),
        ("data: {max_unreadable: 1.5}", [], "data.max_unreadable: 1.5 must be from 0 to 1"),
        ("batch_size: 1", [], "batch_size: 1 must be at least 2"),
        ("seed: -1", [], "seed: -1 must be from 0"),
        ("threads: 0", [], "threads: 0 must be at least 1"),
        ("data: {workers: -1}", [], "data.workers: -1 must be at least 0"),
        ("optimiser: {ema: 1.5}", [], "optimiser.ema: 1.5 must be from 0 to 1"),
        ("optimiser: {weight_decay: -1}", [], "optimiser.weight_decay: -1.0 must be at least 0"),
        ("evaluation: {every: -1}", [], "evaluation.every: -1 must be at least 1"),
        ("{epochs: 3, optimiser: {warmup_epochs: 4}}", [], "optimiser.warmup_epochs: 4 is more than all 3 epochs"),
        ("", ["--head.sampler", "PartialFC"], "--head.sampler: a section, .*: --head.sampler.name, --head.sampler.options"),
        ("", ["--batch_size", "abc"], "^command line: .*batch_size"),
        ("", ["--optimiser.lrr", "1"], "did you mean 'optimiser.lr'"),
        ("", ["--batchsize", "1"], "did you mean 'batch_size'"),
    ],
)
def test_mistakes_are_one_line_that_helps(tmp_path, text, words, message):
    path = written(tmp_path, text or "{}")
    with pytest.raises(LimenError, match=message) as caught:
        load_recipe(path, words)
    assert "\n" not in str(caught.value)


def test_a_file_in_another_encoding_is_named(tmp_path):
    (tmp_path / "recipe.yaml").write_bytes("epochs: 3 # é".encode("latin1"))
    with pytest.raises(LimenError, match=r"recipe\.yaml: not valid YAML"):
        load_recipe(tmp_path / "recipe.yaml")


def test_a_missing_file_is_named():
    with pytest.raises(LimenError, match=r"nowhere\.yaml: No such file"):
        load_recipe("nowhere.yaml")


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("AdaFase", {}, "did you mean 'AdaFace'"),
        ("AdaFace", {"mm": 1}, "'mm' is not one of its options; did you mean 'm'"),
        ("ArcFace", {"gradient": "none"}, "gradient='none' is not one of"),
        ("no.such.module:Margin", {}, "cannot be imported"),
        ("ArcFace", {"m": "abc"}, "m is a number, not 'abc'"),
        ("AdaFace", {"m": None}, "m is a number, not None"),
        ("AdaMSoftmax", {"strength": -1}, "strength=-1 would ask for small margins"),
    ],
)
def test_a_margin_that_does_not_exist(name, options, message):
    with pytest.raises(LimenError, match=message):
        create_margin(name, 10, **options)


def test_adam_softmax_is_told_the_number_of_classes():
    assert create_margin("AdaMSoftmax", 17).class_margin.shape == (17,)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_every_recipe_of_the_repository_reads(path):
    recipe = load_recipe(path)
    create_margin(recipe.margin.name, 10, **recipe.margin.options)
    head = path.read_text().splitlines()[0]
    assert head.startswith("#"), "a recipe opens with what it reproduces and the numbers expected"


def test_known_keys_reach_every_section():
    assert {"epochs", "data", "data.path", "optimiser.lr", "margin.options"} <= set(known_keys())
