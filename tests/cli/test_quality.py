"""`limen quality` and `limen calibrate`: what they print is what measures and calibration say of each image."""

import csv
import json
import re
import shutil

import cv2
import numpy as np
import pytest
import torch

from limen.cli import main
from limen.data import FolderSource, open_pairs, read_image
from limen.data.synthetic import SyntheticFaces, save_folder
from limen.inference.measures import create_measure
from limen.models.bundle import Architecture, Bundle, load_bundle, save_bundle
from limen.models.embedder import Embedder
from limen.quality import QualityHead, Sharpness
from limen.report import quality_sheet

PEOPLE, EACH = 10, 4


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """faces/, pairs.txt over them, and an untrained judge.safetensors with a quality head and plain.safetensors without."""
    folder = tmp_path_factory.mktemp("quality")
    save_folder(SyntheticFaces(PEOPLE, EACH, difficulty=0.5), folder / "faces")
    names = FolderSource(folder / "faces").class_names
    mated = [f"{name}\t{i}\t{j}" for name in names for i in range(1, EACH + 1) for j in range(i + 1, EACH + 1)]
    other = [f"{a}\t{k}\t{b}\t{k}" for i, a in enumerate(names) for b in names[i + 1 :] for k in (1, 2, 3)]
    (folder / "pairs.txt").write_text("\n".join([*mated, *other]))
    torch.manual_seed(1)
    backbone = Architecture("tiny", 16).build()
    backbone(torch.randn(16, 3, 112, 112))  # gives the batch norms statistics
    tensors = {f"backbone.{name}": tensor for name, tensor in backbone.state_dict().items()}
    save_bundle(folder / "plain.safetensors", Bundle(Architecture("tiny", 16), tensors))
    tensors |= {f"quality.{name}": tensor for name, tensor in QualityHead(16).state_dict().items()}
    save_bundle(folder / "judge.safetensors", Bundle(Architecture("tiny", 16), tensors))
    assert main(calibrating(folder, "judge", "--out", str(folder / "calibrated.safetensors"))) == 0
    return folder


def calibrating(folder, model, *more):
    words = ["calibrate", str(folder / f"{model}.safetensors"), "--pairs", str(folder / "pairs.txt"), "--images", str(folder / "faces")]
    return [*words, "--fmr", "0.1", *more]


def calibrated_of(capsys, *words):
    """What `limen calibrate` says of its only model."""
    (found,) = answer(capsys, *words)["models"]
    return found


def answer(capsys, *words):
    """The JSON a command prints."""
    capsys.readouterr()
    assert main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def printed(capsys, *words):
    capsys.readouterr()
    assert main(list(words)) == 0
    return capsys.readouterr().out


def failure(capsys, *words):
    assert main(list(words)) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


def test_every_image_has_the_score_of_the_measure(capsys, folder):
    faces, model = str(folder / "faces"), str(folder / "judge.safetensors")
    for words, measure in (([], create_measure(model)), (["--measure", "sharpness"], Sharpness())):
        rows = answer(capsys, "quality", model, faces, *words)["images"]
        expected = measure.score(np.stack([read_image(row["file"]) for row in rows]))
        assert len(rows) == PEOPLE * EACH
        np.testing.assert_allclose([row["quality"] for row in rows], expected, atol=1e-6)


def test_a_score_is_the_same_alone_and_among_others(capsys, folder):
    """To a few roundings of float32: see tests/test_embedder.py."""
    model = str(folder / "judge.safetensors")
    together = answer(capsys, "quality", model, str(folder / "faces"))["images"]
    for row in together[::13]:
        (alone,) = answer(capsys, "quality", model, row["file"])["images"]
        assert alone["quality"] == pytest.approx(row["quality"], abs=1e-5)


def test_a_calibrated_model_says_what_the_scores_mean(capsys, folder):
    model = str(folder / "calibrated.safetensors")
    found = answer(capsys, "quality", model, str(folder / "faces"))
    calibration = load_bundle(model).calibration
    quality = np.array([row["quality"] for row in found["images"]])
    np.testing.assert_array_equal([row["percentile"] for row in found["images"]], calibration.percentile(quality))
    np.testing.assert_array_equal([row["expected_fnmr"] for row in found["images"]], calibration.expected_fnmr(quality))
    ends = [[row[end] for row in found["images"]] for end in ("fnmr_low", "fnmr_high")]
    np.testing.assert_array_equal(ends, calibration.fnmr_interval(quality))
    np.testing.assert_allclose(calibration.quantiles, np.quantile(quality, np.linspace(0, 1, 1001)), rtol=1e-5)  # the reference images
    assert found["calibration"] == calibration.summary
    shown = printed(capsys, "quality", model, str(folder / "faces"))
    assert "among the 40 images of pairs" in shown
    assert "percentile" in shown.splitlines()[1]


def test_a_model_that_is_not_calibrated_says_how(capsys, folder):
    model = str(folder / "judge.safetensors")
    (row,) = answer(capsys, "quality", model, str(next((folder / "faces").rglob("0001.png"))))["images"]
    assert row["percentile"] is row["expected_fnmr"] is None
    assert f"`limen calibrate {model} --pairs FILE`" in printed(capsys, "quality", model, str(folder / "faces"))
    shown = printed(capsys, "quality", str(folder / "calibrated.safetensors"), str(folder / "faces"), "--measure", "norm")
    assert "calibrated for quality, not for norm" in shown
    assert "percentile" not in shown.splitlines()[1]


def test_a_model_without_a_head_is_measured_otherwise(capsys, folder):
    model = str(folder / "plain.safetensors")
    assert "no quality head" in failure(capsys, "quality", model, str(folder / "faces"))
    assert "no quality head" in failure(capsys, *calibrating(folder, "plain", "--measure", "quality"))
    found = calibrated_of(capsys, *calibrating(folder, "plain", "--out", str(folder / "threshold.safetensors")))
    assert found["calibration"] is None  # a threshold needs no quality
    assert load_bundle(folder / "threshold.safetensors").operating_points[0].threshold == found["operating_points"][0]["threshold"]
    assert main(calibrating(folder, "plain", "--measure", "norm", "--out", str(folder / "norm.safetensors"))) == 0
    found = answer(capsys, "quality", str(folder / "norm.safetensors"), str(folder / "faces"), "--measure", "norm")
    assert found["calibration"]["measure"] == "norm"
    assert found["images"][0]["expected_fnmr"] is not None


def test_a_calibration_knows_another_models_measure_by_its_weights_not_by_its_path(capsys, folder, tmp_path):
    judge, moved = folder / "judge.safetensors", shutil.copy(folder / "judge.safetensors", tmp_path / "moved.safetensors")
    out = str(tmp_path / "of_other.safetensors")
    answer(capsys, *calibrating(folder, "plain", "--measure", f"quality:{judge}", "--out", out))
    for spec in (str(judge), f"quality:{moved}"):
        assert answer(capsys, "quality", out, str(folder / "faces"), "--measure", spec)["calibration"] is not None
    bundle = load_bundle(judge)
    bundle.tensors["quality.bias"] = bundle.tensors["quality.bias"] + 1
    save_bundle(moved, bundle)
    found = answer(capsys, "quality", out, str(folder / "faces"), "--measure", f"quality:{moved}")
    assert found["calibration"] is None
    assert "The model is calibrated for quality of the model " in found["remark"]


def test_calibrating_says_what_the_numbers_are_too_few_for(capsys, folder, tmp_path):
    found = calibrated_of(capsys, *calibrating(folder, "judge", "--out", str(tmp_path / "out.safetensors")))
    few, people, constant = found["remarks"]
    assert few.startswith(f"The threshold rests on {found['calibration']['false_matches']} false matches; 30 make it dependable")
    assert few.endswith("300 non-mated pairs at an FMR of 0.1.")
    assert people.startswith(f"The intervals rest on {PEOPLE} people")
    assert constant.startswith("That the expected FNMR falls with the score at all is not shown")  # an untrained head


def test_csv_holds_the_same_rows(capsys, folder, tmp_path):
    found = answer(capsys, "quality", str(folder / "calibrated.safetensors"), str(folder / "faces"), "--csv", str(tmp_path / "scores.csv"))
    with open(tmp_path / "scores.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["file"] for row in rows] == [row["file"] for row in found["images"]]
    for column in quality_sheet.COLUMNS[1:]:
        assert [float(row[column]) for row in rows] == [row[column] for row in found["images"]]


def test_csv_has_an_empty_row_for_what_cannot_be_used(capsys, folder, tmp_path):
    shutil.copytree(folder / "faces", tmp_path / "faces")
    bad = next((tmp_path / "faces").rglob("0002.png"))
    bad.write_bytes(b"no image")
    answer(capsys, "quality", str(folder / "calibrated.safetensors"), str(tmp_path / "faces"), "--csv", str(tmp_path / "scores.csv"))
    with open(tmp_path / "scores.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == PEOPLE * EACH
    assert [row for row in rows if "" in row.values()] == [dict.fromkeys(quality_sheet.COLUMNS, "") | {"file": str(bad)}]


def test_what_cannot_be_read_is_reported_and_not_scored(capsys, folder, tmp_path):
    cv2.imwrite(str(tmp_path / "good.png"), np.random.default_rng(0).integers(0, 255, (112, 112, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "large.png"), np.zeros((130, 112, 3), np.uint8))
    (tmp_path / "<b>bad.jpg").write_bytes(b"no image")
    words = ["quality", str(folder / "judge.safetensors"), str(tmp_path), "--sheet", str(tmp_path / "sheet.html")]
    found = answer(capsys, *words)
    assert [row["file"] for row in found["images"]] == [str(tmp_path / "good.png")]
    assert len(found["failures"]) == 2
    assert "2 images could not be used" in printed(capsys, *words)
    page = (tmp_path / "sheet.html").read_text()
    assert "&lt;b&gt;bad.jpg" in page
    assert "<b>bad" not in page
    assert len(answer(capsys, *words, "--resize")["images"]) == 2


@pytest.mark.parametrize("cap", [300, 7])
def test_the_sheet_goes_from_worst_to_best(capsys, folder, tmp_path, monkeypatch, cap):
    monkeypatch.setattr(quality_sheet, "FACES", cap)
    found = answer(capsys, "quality", str(folder / "judge.safetensors"), str(folder / "faces"), "--sheet", str(tmp_path / "sheet.html"))
    page = (tmp_path / "sheet.html").read_text()
    shown = [float(score) for score in re.findall(r"<figcaption[^>]*>(-?[\d.]+),", page)]
    scores = sorted(row["quality"] for row in found["images"])
    assert shown == sorted(shown)
    assert len(shown) == found["faces_in_sheet"] == min(cap, len(scores))
    assert (shown[0], shown[-1]) == (round(scores[0], 4), round(scores[-1], 4))
    assert ("7 of 40 faces, evenly spaced in rank" in page) == (cap == 7)
    worst = min(found["images"], key=lambda row: row["quality"])["file"]
    assert "/".join(worst.split("/")[-2:]) in page  # the person too: images of two people may have one name
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)


def test_calibrating_leaves_weights_and_the_given_file_alone(capsys, folder, tmp_path):
    before = (folder / "judge.safetensors").read_bytes()
    found = calibrated_of(capsys, *calibrating(folder, "judge", "--out", str(tmp_path / "out.safetensors")))
    assert (folder / "judge.safetensors").read_bytes() == before
    given, calibrated = load_bundle(folder / "judge.safetensors"), load_bundle(tmp_path / "out.safetensors")
    assert calibrated.weights_sha256 == given.weights_sha256
    assert calibrated.sha256 == found["model_sha256"] != given.sha256
    assert (
        found["calibration"] | {"measure": "quality", "reference": "pairs", "images": 40, "mated": 60, "non_mated": 135}
        == found["calibration"]
    )
    assert answer(capsys, "info", str(tmp_path / "out.safetensors"))["calibration"] == found["calibration"]


def test_the_threshold_is_on_the_cosines_of_the_model(folder):
    calibration = load_bundle(folder / "calibrated.safetensors").calibration
    pairs = open_pairs(folder / "pairs.txt", folder / "faces")
    vectors = Embedder.load(folder / "judge.safetensors").embed(np.stack([pairs.source.image(k) for k in range(40)])).vectors
    cosine = np.array([vectors[i] @ vectors[j] for i, j in zip(pairs.first, pairs.second, strict=True)])
    assert abs(cosine - calibration.threshold).min() < 1e-6
    assert (cosine[~pairs.same] >= calibration.threshold).sum() == calibration.false_matches
    assert (cosine[pairs.same] < calibration.threshold).sum() == calibration.false_non_matches


def test_calibrating_leaves_out_what_cannot_be_read(capsys, folder, tmp_path):
    shutil.copytree(folder / "faces", tmp_path / "faces")
    bad = next((tmp_path / "faces").rglob("0002.png"))
    bad.write_bytes(b"no image")
    words = calibrating(folder, "judge", "--out", str(tmp_path / "out.safetensors"))
    words[words.index("--images") + 1] = str(tmp_path / "faces")
    found = calibrated_of(capsys, *words)
    assert found["failures"] == [f"{bad}: is not an image, or a damaged one"]
    assert found["calibration"] | {"images": 39, "mated": 57} == found["calibration"]


def test_calibrating_without_out_keeps_it_in_the_model(capsys, folder, tmp_path):
    (tmp_path / "judge.safetensors").write_bytes((folder / "judge.safetensors").read_bytes())
    words = calibrating(folder, "judge")
    words[1] = str(tmp_path / "judge.safetensors")
    assert f"kept in {words[1]}" in printed(capsys, *words)
    assert load_bundle(words[1]).calibration == load_bundle(folder / "calibrated.safetensors").calibration


def test_calibrating_on_too_few_pairs_says_how_many_it_takes(capsys, folder):
    before = (folder / "judge.safetensors").read_bytes()
    assert "needs 1,000 non-mated pairs and there are 135" in failure(capsys, *calibrating(folder, "judge"), "--fmr", "0.001")
    assert (folder / "judge.safetensors").read_bytes() == before
