"""The scripts of benchmarks/evidence in a tiny form, as `make evidence` runs them in a small one."""

import csv
import importlib
import json
import sys
from pathlib import Path

import pytest
import torch

import limen
from limen.cli import main
from limen.data.synthetic import SyntheticFaces, save_folder
from limen.models.bundle import Architecture, Bundle

ROOM = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A drawn network, generated faces, and pairs of them in ten folds."""
    root = tmp_path_factory.mktemp("evidence")
    save_folder(SyntheticFaces(8, 3, difficulty=0), root / "faces")
    assert main(["data", "pairs", str(root / "faces"), "--count", "40", "--out", str(root / "pairs.txt")]) == 0
    tensors = {f"backbone.{name}": value for name, value in limen.create_backbone("tiny", 16).state_dict().items()}
    limen.Embedder(Bundle(Architecture("tiny", 16, {}), tensors)).save(root / "drawn.safetensors")
    return root


@pytest.fixture
def run(files, tmp_path, monkeypatch, capsys):
    """Runs a script of the room; its rows go to tmp_path."""
    monkeypatch.syspath_prepend(ROOM)
    threads = torch.get_num_threads()
    machine, rows, collapse = (importlib.import_module(name) for name in ("machine", "evidence.rows", "evidence.collapse"))
    for module in (machine, rows):
        monkeypatch.setattr(module, "RESULTS", tmp_path)
    monkeypatch.setattr(importlib.import_module("evidence.hierarchy"), "REPLICATES", 30)
    for form in ("MagFace", "AdaFace", "CurricularFace", "SphereFace"):
        monkeypatch.delitem(collapse.FORMS, form)
    monkeypatch.setattr(collapse, "SETTINGS", [{}, {"people": 3}])

    def call(name, *words):
        monkeypatch.setattr(sys, "argv", [name, "--faces", str(files / "faces"), *words])
        importlib.import_module(f"evidence.{name}").main()
        return capsys.readouterr().out

    yield call
    torch.set_num_threads(threads)


def pairs_of(files):
    return ["--pairs", str(files / "pairs.txt"), "--images", str(files / "faces")]


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_heads_on_frozen_features_are_made_once_and_judged(run, files, tmp_path):
    words = ["--model", str(files / "drawn.safetensors"), *pairs_of(files), "--out", str(tmp_path / "runs")]
    words += ["--cache", str(files / "cache"), "--most", "3", "--draws", "1", "--folds", "6", "--degradations", "resolution 14"]
    words += ["--steps", "2", "--seeds", "0", "1"]
    table = run("kept_form", *words)
    assert "ArcFace, keep less ArcFace, paper" in table
    assert "of 12 runs collapsed" in table
    rows = rows_of(tmp_path / "evidence.csv")
    assert len(rows) == 12
    settings = [json.loads(row["settings"]) for row in rows]
    assert {(own["pairs"], own["images"]) for own in settings} == {(24, 24)}
    assert run("kept_form", *words).splitlines()[-1] == table.splitlines()[-1]
    assert rows_of(tmp_path / "evidence.csv") == rows  # no run was made again
    differences = rows_of(tmp_path / "evidence_differences.csv")
    assert all(float(row["low"]) <= float(row["high"]) for row in differences)


def test_whole_networks_are_made_once_and_judged(run, files, tmp_path):
    words = ["--without", sorted(path.name for path in (files / "faces").iterdir())[0], *pairs_of(files), "--out", str(tmp_path / "runs")]
    words += ["--degradations", "resolution 14", "--folds", "6", "--start", "1", "--steps", "2", "--batch", "8", "--seeds", "0", "1"]
    table = run("networks", *words)
    assert "what augmentation gives AdaFace beyond ArcFace" in table
    rows = rows_of(tmp_path / "evidence.csv")
    assert len(rows) == 16
    assert {json.loads(row["settings"])["people"] for row in rows} == {7}
    again = run("networks", *words)
    assert rows_of(tmp_path / "evidence.csv") == rows
    assert again.splitlines()[-1] == table.splitlines()[-1]


def test_whole_networks_are_judged_by_their_form(run, files, tmp_path):
    words = [*pairs_of(files), "--out", str(tmp_path / "runs"), "--folds", "6", "--steps", "2", "--batch", "8", "--seeds", "0", "1"]
    words += ["--degradations", "resolution 14", "--margins", "ArcFace", "CosFace"]
    table = run("forms", *words)
    assert "| ArcFace, paper less ArcFace, straight through |" in table
    assert "| CosFace less CosFace, m .5 |" in table
    rows = rows_of(tmp_path / "evidence.csv")
    assert [row["name"] for row in rows[:5]] == [
        *(f"ArcFace, {form}" for form in ("paper", "keep", "straight through")),
        "CosFace",
        "CosFace, m .5",
    ]
    run("forms", *words)
    assert rows_of(tmp_path / "evidence.csv") == rows


def test_collapse_counts_every_run_once(run, tmp_path):
    table = run("collapse", "--people", "6", "--seeds", "0", "--steps", "1")
    rows = rows_of(tmp_path / "evidence.csv")
    assert len(rows) == 12
    assert {row["outcome"] for row in rows} == {"undecided"}
    assert "| ArcFace, paper | 0 of 1 (0.00 to 0.97), 1 undecided |" in table
    run("collapse", "--people", "6", "--seeds", "0", "--steps", "1")
    assert rows_of(tmp_path / "evidence.csv") == rows


def test_some_people_are_drawn_anew_by_each_seed(run, files):
    some = importlib.import_module("evidence.generated").SomePeople
    faces, others = some(files / "faces", 3, seed=0, most=2), some(files / "faces", 3, seed=1, most=2)
    assert faces.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert [Path(faces.locate(index)).parent.name for index in range(0, 6, 2)] == faces.class_names
    assert others.class_names != faces.class_names
    left_out = faces.class_names[1]
    assert left_out not in some(files / "faces", 7, without=[left_out]).class_names


@pytest.mark.slow
def test_generated_people_before_real_ones(run, files, tmp_path, monkeypatch):
    generated = importlib.import_module("evidence.generated")
    monkeypatch.setattr(generated, "GENERATED", dict(identities=4, images_per_identity=2, difficulty=0.7))
    monkeypatch.setattr(generated, "BATCH", 4)
    words = [*pairs_of(files), "--out", str(tmp_path / "runs"), "--people", "3", "--steps", "4", "--folds", "6"]
    table = run("generated", *words, "--seeds", "0", "1")
    rows = rows_of(tmp_path / "evidence.csv")
    assert [row["name"] for row in rows[:4]] == ["drawn weights", "generated alone", "3 real alone", "generated, then 3 real"]
    assert len(rows) == 8
    assert "generated, then 3 real less 3 real alone" in table
