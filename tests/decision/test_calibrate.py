"""`limen calibrate` on folders, with impostors from elsewhere, of several models: the thresholds are those of all pairs."""

import json
import re
import shutil

import numpy as np
import pytest
from markupsafe import escape
from tests.made_up import tiny_model

from limen.cli import main
from limen.data import FolderSource
from limen.data.synthetic import SyntheticFaces, save_folder
from limen.models.model import open_model


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("calibrate")
    save_folder(SyntheticFaces(8, 3, difficulty=0.3), home / "own")
    save_folder(SyntheticFaces(10, 2, difficulty=0.3, seed=7), home / "public")
    return home


def calibrated(capsys, *words):
    capsys.readouterr()
    assert main(["calibrate", *map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)["models"]


def cosines(model, folder):
    source = FolderSource(folder)
    vectors = open_model(model).embed(np.stack([source.image(k) for k in range(len(source))])).vectors.astype(float)
    first, second = np.triu_indices(len(source), 1)
    return (vectors[first] * vectors[second]).sum(1), source.labels[first] == source.labels[second]


def test_folders_are_compared_in_all_pairs(capsys, home):
    model = tiny_model(home)
    (found,) = calibrated(capsys, model, "--folders", home / "own", "--fmr", "0.1", "0.02")
    score, same = cosines(model, home / "own")
    points = open_model(model).operating_points
    assert [point.summary for point in points] == found["operating_points"]
    assert found["calibration"] is None  # it has no quality
    assert "The intervals rest on 8 people; of fewer than 50" in " ".join(found["remarks"])
    for point in points:
        assert (point.mated, point.non_mated, point.people) == (same.sum(), (~same).sum(), 8)
        assert (score[~same] >= point.threshold).sum() == point.false_matches <= point.fmr * point.non_mated
        assert (score[same] < point.threshold).sum() == point.false_non_matches
    names = FolderSource(home / "own").class_names
    assert points[0].shared_people(names) == (sorted(names), 1.0)


def test_a_gallery_meets_its_probes_alone(capsys, home, tmp_path):
    model = tiny_model(home)
    for side, kept in (("gallery", [0]), ("probe", [1, 2])):
        for person in sorted((home / "own").iterdir())[: 8 if side == "gallery" else 6]:
            (tmp_path / side / person.name).mkdir(parents=True)
            for number in kept:
                shutil.copy(sorted(person.iterdir())[number], tmp_path / side / person.name)
    words = ["--gallery", tmp_path / "gallery", "--probe", tmp_path / "probe", "--fmr", "0.1"]
    (found,) = calibrated(capsys, model, *words)
    (point,) = found["operating_points"]
    gallery, probe = FolderSource(tmp_path / "gallery"), FolderSource(tmp_path / "probe")
    vectors = [open_model(model).embed(np.stack([side.image(k) for k in range(len(side))])).vectors for side in (gallery, probe)]
    score, same = vectors[0] @ vectors[1].T, gallery.labels[:, None] == probe.labels
    assert (point["mated"], point["non_mated"], point["people"]) == (12, 84, 8)
    assert point["false_matches"] == (score[~same] >= point["threshold"]).sum() == 8
    assert point["fnmr"] == (score[same] < point["threshold"]).mean()
    for words, said in (
        (["--gallery", tmp_path / "gallery"], "--gallery and --probe: both are needed"),
        (["--folders", home / "own", "--fmr", "2"], "fmr: 2 must lie between 0 and 1"),
        (["--gallery", tmp_path / "probe", "--probe", tmp_path / "probe"], "is the gallery itself; give --folders"),
    ):
        assert main(["calibrate", str(model), *map(str, words)]) == 1
        assert said in capsys.readouterr().err


def test_impostors_may_come_from_elsewhere(capsys, home):
    model = tiny_model(home)
    (found,) = calibrated(capsys, model, "--folders", home / "own", "--impostors", home / "public", "--fmr", "0.05")
    (point,) = found["operating_points"]
    score, same = cosines(model, home / "public")
    own, mated = cosines(model, home / "own")
    assert (point["non_mated"], point["mated"]) == ((~same).sum(), mated.sum())
    assert (score[~same] >= point["threshold"]).sum() == point["false_matches"]
    assert (own[mated] < point["threshold"]).sum() == point["false_non_matches"]


def test_too_few_impostors_are_refused(capsys, home):
    model = tiny_model(home)
    assert main(["calibrate", str(model), "--folders", str(home / "own"), "--fmr", "1e-4"]) == 1
    assert "needs 10,000 non-mated pairs and there are 252" in capsys.readouterr().err
    assert main(["calibrate", str(model), str(model), "--folders", str(home / "own"), "--out", "x.safetensors"]) == 1
    assert "--out: is for one model" in capsys.readouterr().err


def compared(capsys, *words):
    capsys.readouterr()
    assert main(["compare", *map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_compare_answers_at_the_operating_point_and_alike_both_ways(capsys, home):
    model = tiny_model(home)
    source = FolderSource(home / "own")
    one, other = source.locate(0), source.locate(4)
    assert "answer" not in compared(capsys, model, one, other)
    assert main(["compare", str(model), one, other]) == 0
    assert "`limen calibrate MODEL" in capsys.readouterr().out
    assert main(["compare", str(model), one, other, "--fmr", "0.1"]) == 1
    calibrated(capsys, model, "--folders", home / "own", "--fmr", "0.1", "0.02")
    here, there = compared(capsys, model, one, other), compared(capsys, model, other, one)
    assert here["similarity"] == there["similarity"]
    assert here["answer"] == there["answer"]
    assert here["operating_point"]["fmr"] == 0.02
    assert compared(capsys, model, one, one)["answer"] == "yes"
    assert compared(capsys, model, one, other, "--fmr", "0.1")["operating_point"]["fmr"] == 0.1
    assert main(["compare", str(model), one, other, "--max-fnmr", "0.1"]) == 1
    assert "not calibrated" in capsys.readouterr().err
    for wrong in ("nan", "0", "1", "-0.5"):
        assert main(["compare", str(model), one, other, f"--max-fnmr={wrong}"]) == 1
        assert "a rate lies between 0 and 1" in capsys.readouterr().err


def test_a_page_shows_both_faces_and_all_that_is_said(capsys, home, tmp_path):
    model = tiny_model(tmp_path)
    source = FolderSource(home / "own")
    one, other = source.locate(0), source.locate(4)
    compared(capsys, model, one, other, "--html", tmp_path / "bare.html")
    bare = (tmp_path / "bare.html").read_text()
    assert "limen calibrate" in bare
    calibrated(capsys, model, "--folders", home / "own", "--fmr", "0.1")
    found = compared(capsys, model, one, other, "--html", tmp_path / "pair.html")
    page = (tmp_path / "pair.html").read_text()
    assert len(re.findall("<img[^>]*data:image/png;base64,", page)) == 2
    assert not re.search(r"(src|href)=\"(?!data:)", page)  # nothing beside the file
    point = found["operating_point"]
    for told in (found["similarity"], point["threshold"], point["low"], point["high"]):
        assert f"{told:.4f}" in page
    for told in (found["reason"], f"{point['false_matches']} of {point['non_mated']}", found["model_sha256"]):
        assert str(escape(told)) in page
    assert {"yes": "Yes, one person", "no": "No, two people", "not sure": "Not sure"}[found["answer"]] in page
