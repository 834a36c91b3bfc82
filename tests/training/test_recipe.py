"""Recipes: the file, then the command line; every mistake names the nearest thing that exists."""

import dataclasses
import os

import pytest
import yaml

from limen import LimenError
from limen.data import open_source
from limen.heads import create_sampler
from limen.margins import create_margin
from limen.training import Recipe, load_recipe
from limen.training.settings import check, known_keys, shipped_recipes

RECIPES = sorted(shipped_recipes().values())


def written(folder, text):
    path = folder / "recipe.yaml"
    path.write_text(text)
    return path


def test_the_command_line_overrides_the_file(tmp_path):
    path = written(tmp_path, "epochs: 3\nmargin: {name: CosFace, options: {m: 0.3}}\noptimiser: {lr: 0.05, milestones: [1, 2.5]}\n")
    recipe = load_recipe(path, ["--optimiser.lr", ".01", "--margin.options.m=0.25", "--data.workers", "0"])
    assert (recipe.epochs, recipe.optimiser.lr, recipe.optimiser.milestones) == (3, 0.01, [1, 2.5])
    assert (recipe.margin.name, recipe.margin.options, recipe.data.workers) == ("CosFace", {"m": 0.25}, 0)


def test_a_recipe_that_comes_with_limen_is_found_by_its_name(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_recipe("small/faces", ["--epochs", "2"]) == dataclasses.replace(load_recipe(shipped_recipes()["small/faces"]), epochs=2)
    with pytest.raises(LimenError, match=r"small/face: neither a file nor a recipe that comes with limen; did you mean 'small/faces'"):
        load_recipe("small/face")
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "faces").write_text("epochs: 3")
    assert load_recipe("small/faces").epochs == 3  # a file of the user's own goes first


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
        ("epochs: 3\nseed: 1\nepochs: 4", [], r"not valid YAML \('epochs' stands twice; keep one of them\)"),
        ("optimiser: {lr: .1, momentum: .9, 'lr': .2}", [], "'lr' stands twice"),
        ("margin:\n  options:\n    m: .3\n    h: .2\n    m: .5\n", [], "'m' stands twice"),
        ("", ["--margin.options", "{m: .3, m: .5}"], "command line: margin.options: not valid YAML .*'m' stands twice"),
        ("", ["--data.options.people={a: {b: 1, b: 2}}"], "command line: data.options.people: .*'b' stands twice"),
        ("epochs: many", [], "epochs: 'many' must be a number above 0"),
        ("epochs: .nan", [], "epochs: nan must be"),
        ("epochs: .inf", [], "epochs: inf must be"),
        ("epochs: 1e999", [], "epochs: .* must be"),
        ("batch_size: 2.5", [], "batch_size: 2.5 must be a whole number"),
        ("batch_size: true", [], "batch_size: True must be"),
        ("tensorboard: 3", [], "tensorboard: 3 must be true or false"),
        ("out: 3", [], "out: 3 must be text"),
        ("freeze: [backbon]", [], r"freeze: \['backbon'\] must be a list, each one of backbone"),
        ("optimiser: {milestones: [a]}", [], "optimiser.milestones: .* must be a list, each a number of at least 0"),
        ("data: {options: {since: 2020-01-01}}", [], "data.options: .*date.*give numbers"),
        ("epochs: -1", [], "epochs: -1 must be a number above 0"),
        ("precision: bf61", [], "precision: 'bf61' must be one of float32, bf16"),
        ("data: {max_unreadable: 1.5}", [], "data.max_unreadable: 1.5 must be a number from 0 to 1"),
        ("batch_size: 1", [], "batch_size: 1 must be a whole number of at least 2"),
        ("seed: -1", [], "seed: -1 must be a whole number from 0"),
        ("threads: 0", [], "threads: 0 must be a whole number of at least 1"),
        ("data: {workers: -1}", [], "data.workers: -1 must be a whole number of at least 0"),
        ("optimiser: {ema: 1.5}", [], "optimiser.ema: 1.5 must be a number from 0 to 1"),
        ("optimiser: {weight_decay: -1}", [], "optimiser.weight_decay: -1 must be a number of at least 0"),
        ("evaluation: {every: -1}", [], "evaluation.every: -1 must be a whole number of at least 1"),
        ("{epochs: 3, optimiser: {warmup_epochs: 4}}", [], "optimiser.warmup_epochs: 4 is more than all 3 epochs"),
        ("", ["--head.sampler", "PartialFC"], "--head.sampler: a section, .*: --head.sampler.name, --head.sampler.options"),
        ("", ["--batch_size", "abc"], "^command line: batch_size: 'abc' must be a whole number"),
        ("", ["--optimiser.lrr", "1"], "did you mean 'optimiser.lr'"),
        ("", ["--batchsize", "1"], "did you mean 'batch_size'"),
        ("", ["--lr", "1"], "--lr: no such setting; did you mean 'quality.lr' or 'optimiser.lr'"),
        ("", ["--epochs"], "epochs: '' must be a number above 0"),
        ("", ["--epochs", "1", "2"], "unrecognized arguments: 2; a setting is given as"),
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
    with pytest.raises(LimenError, match=r"nowhere\.yaml: no such file"):
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


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--optimiser.name", "AdamW"],
            "^optimiser.name: AdamW moves the network alone, .* set optimiser.center_lr and ",
        ),
        (["--optimiser.betas", "[0.9]"], r"^optimiser.betas: \[0.9\] must be two numbers"),
        (["--optimiser.betas", "[0.9, 1.0]"], "^optimiser.betas: .* below 1"),
        (["--evaluation.best", "lfw"], "^evaluation.best: lfw cannot be judged without pairs"),
    ],
)
def test_settings_at_odds_are_one_line(words, said):
    with pytest.raises(LimenError, match=said):
        load_recipe(None, words)


@pytest.mark.parametrize(
    ("section", "name", "value", "said"),
    [
        ("", "epochs", "3", "epochs: '3' must be a number above 0"),
        ("", "epochs", -1, "epochs: -1 must be a number above 0"),
        ("", "precision", "bf61", "precision: 'bf61' must be one of float32, bf16"),
        ("optimiser", "milestones", (1, 2), "optimiser.milestones: .1, 2. must be a list"),
        ("margin", "options", {"m": object()}, "margin.options: .*give numbers"),
        ("", "freeze", ["backbone"], "--init"),
    ],
)
def test_a_recipe_made_in_python_is_checked_by_the_same_rules(section, name, value, said):
    recipe = Recipe()
    setattr(getattr(recipe, section) if section else recipe, name, value)
    with pytest.raises(LimenError, match=said):
        check(recipe)
    check(Recipe())


LAUGHS = "a: &a [x, x]\nb: &b [*a, *a]\ndata: {options: {c: [*b, *b]}}\n"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (LAUGHS, "aliases"),
        ("data: {options: &o {again: *o}}", "aliases"),
        ("data: {options: " + "[" * 100 + "]" * 100 + "}", "nested deeper than"),
        ("data: {options: {x: " + "{a: " * 50_000, "nested deeper than|larger than"),
        (f"data: {{options: {{count: {'9' * 5000}}}}}", "not valid YAML"),
        (f"epochs: {'9' * 4000}", "epochs: 9999|too large"),
        (f"batch_size: {'9' * 400}", "batch_size: 9999"),
        (f"seed: {'9' * 30}", "seed: 9999"),
        ("# " + "x" * 200_000, "larger than"),
    ],
)
def test_a_small_file_does_not_unfold_to_a_large_one(tmp_path, text, said):
    """Aliases, nesting, and numbers of thousands of digits end in one line, at once."""
    with pytest.raises(LimenError, match=said) as caught:
        load_recipe(written(tmp_path, text))
    assert len(str(caught.value)) < 400
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes by name")
def test_a_pipe_is_no_recipe(tmp_path):
    os.mkfifo(tmp_path / "recipe.yaml")
    with pytest.raises(LimenError, match="is a named pipe; give a plain file"):
        load_recipe(tmp_path / "recipe.yaml")


@pytest.mark.parametrize(
    "words", [["--margin.options", "[" * 5000], ["--margin.options", "{m: " + "9" * 5000 + "}"], ["--seed", "9" * 5000]]
)
def test_a_setting_on_the_command_line_ends_in_one_line(words):
    with pytest.raises(LimenError, match="command line: ") as caught:
        load_recipe(None, words)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


HOSTILE = {
    "data.reader": ("os:system", "subprocess:Popen", "os:getcwd"),
    "margin.name": ("os:system", "subprocess:Popen", "collections:OrderedDict"),
    "head.sampler.name": ("os:system", "subprocess:Popen", "collections:OrderedDict"),
}


@pytest.mark.parametrize(("key", "name"), [(key, name) for key, names in HOSTILE.items() for name in names])
def test_a_shared_recipe_calls_nothing(tmp_path, monkeypatch, key, name):
    """Neither where own code is refused, as it is in a file, nor where it is allowed and not of the kind that is asked for."""
    called = []
    for module, attribute in (("os", "system"), ("subprocess", "Popen"), ("os", "getcwd"), ("collections", "OrderedDict")):
        found = getattr(__import__(module), attribute)
        spy = (
            type(attribute, (), {"__init__": lambda *_, **__: called.append(1)}) if isinstance(found, type) else lambda *_: called.append(1)
        )
        monkeypatch.setattr(f"{module}.{attribute}", spy)
    section, _, last = key.rpartition(".")
    text = f"{{{last}: '{name}'}}"
    for part in reversed(section.split(".")):
        text = f"{{{part}: {text}}}"
    path = written(tmp_path, text)
    with pytest.raises(LimenError, match=f"{key} '{name}' would run code from outside limen; .*--allow-code"):
        load_recipe(path)
    recipes = load_recipe(path, allow_code=True), load_recipe(None, [f"--{key}", name])
    make = {
        "data.reader": lambda recipe: open_source(recipe.data.reader, "touch hacked"),
        "margin.name": lambda recipe: create_margin(recipe.margin.name, 3),
        "head.sampler.name": lambda recipe: create_sampler(recipe.head.sampler.name),
    }[key]
    for recipe in recipes:
        with pytest.raises(LimenError, match=r"is not a class|is not a subclass|has no method"):
            make(recipe)
    assert called == []


def test_a_module_that_a_file_names_is_imported_where_that_is_allowed(tmp_path, monkeypatch):
    (tmp_path / "shared_margin.py").write_text(
        "from pathlib import Path\nPath(__file__).with_name('imported').touch()\n"
        "from limen.margins import CosFace\nclass Own(CosFace): pass\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    path = written(tmp_path, "margin: {name: 'shared_margin:Own'}")
    with pytest.raises(LimenError, match="--allow-code"):
        load_recipe(path)
    assert not (tmp_path / "imported").exists()
    for recipe in (load_recipe(path, allow_code=True), load_recipe(path, ["--margin.name", "shared_margin:Own"])):
        assert create_margin(recipe.margin.name, 3).m == 0.35
    assert (tmp_path / "imported").exists()


def test_a_reader_without_its_path_names_the_setting():
    with pytest.raises(LimenError, match=r"reader folder: it needs 'path'.*; set --data.path"):
        open_source("folder")


def test_a_name_between_two_names_both():
    with pytest.raises(LimenError, match="did you mean 'ElasticArcFace' or 'ElasticCosFace'"):
        create_margin("ElasticFace", 3)


@pytest.mark.parametrize("text", ["margin: {name: null}", "data: {reader: null}", "head: {sampler: {name: null}}", "epochs: null"])
def test_null_is_no_value_of_a_setting_that_needs_one(tmp_path, text):
    (tmp_path / "recipe.yaml").write_text(text)
    with pytest.raises(LimenError, match=r"recipe\.yaml: [a-z.]+: null is not allowed; leave the key out"):
        load_recipe(tmp_path / "recipe.yaml")
