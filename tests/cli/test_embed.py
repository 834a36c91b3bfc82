"""`limen embed`: templates of folders, and the gate that refuses poor images and says so."""

import json
import shutil
import sys
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from limen.cli import main
from limen.data.synthetic import SyntheticFaces, save_folder
from limen.files import file_sha256
from limen.inference.measures import create_measure
from limen.metrics import quality_weights
from limen.models.bundle import Architecture, Bundle, load_bundle, save_bundle
from limen.models.embedder import Embedder
from limen.quality import Calibration, QualityHead

PEOPLE = ["synthetic-00000", "synthetic-00001", "synthetic-00002"]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """people/ of three with four images each, and model.safetensors with random weights."""
    home = tmp_path_factory.mktemp("embed")
    save_folder(SyntheticFaces(3, 4, difficulty=0.3), home / "people")
    backbone = Architecture("tiny", 16).build()
    tensors = {f"backbone.{name}": tensor for name, tensor in backbone.state_dict().items()}
    save_bundle(home / "model.safetensors", Bundle(Architecture("tiny", 16), tensors))
    return home


@pytest.fixture
def people(home, tmp_path):
    """A copy of people/ to spoil."""
    return shutil.copytree(home / "people", tmp_path / "people")


def embed(capsys, home, *words, model="model.safetensors"):
    """The JSON of `limen embed` and the arrays it wrote."""
    assert main(["embed", str(home / model), *map(str, words), "--out", str(home / "out.npz"), "--json"]) == 0
    return json.loads(capsys.readouterr().out), dict(np.load(home / "out.npz"))


def failure(capsys, home, *words):
    """The one line of an error."""
    assert main(["embed", str(home / "model.safetensors"), *map(str, words), "--out", str(home / "none.npz")]) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert not (home / "none.npz").exists()
    return lines[0]


def read(files):
    return np.stack([cv2.imread(str(file))[..., ::-1] for file in files])


def blur(file):
    cv2.imwrite(str(file), cv2.GaussianBlur(cv2.imread(str(file)), (0, 0), 8))


def sharpness(files):
    return create_measure("sharpness").score(read(files))


def unit(vector):
    return vector / np.linalg.norm(vector)


def test_a_template_is_the_mean_of_the_unit_vectors_of_a_person(capsys, home):
    found, arrays = embed(capsys, home, home / "people", "--templates")
    embedder = Embedder.load(home / "model.safetensors")
    assert arrays["templates"].tolist() == PEOPLE
    assert (found["templates"], found["embedded"], found["failed_to_enrol"]) == (3, 12, [])
    for name, vector in zip(arrays["templates"], arrays["vectors"], strict=True):
        images = read(sorted((home / "people" / name).glob("*.png")))
        np.testing.assert_allclose(vector, unit(embedder.embed(images).vectors.mean(0)), atol=1e-5)
    assert arrays["images"].tolist() == [4, 4, 4]


def test_quality_pooling_weighs_by_percentile(capsys, home, people):
    for name in PEOPLE:
        blur(people / name / "0002.png")
    found, arrays = embed(capsys, home, people, "--templates", "--pool", "quality", "--quality", "sharpness")
    assert found["weights"] == (
        "percentile of the quality among the images given: depends on who else is enrolled, until `limen calibrate`"
    )
    np.testing.assert_allclose(arrays["quality"], sharpness(arrays["files"]))
    np.testing.assert_allclose(arrays["weight"], quality_weights(arrays["quality"]))
    embedder = Embedder.load(home / "model.safetensors")
    for name, vector in zip(arrays["templates"], arrays["vectors"], strict=True):
        own = arrays["template"] == name
        vectors = embedder.embed(read(arrays["files"][own])).vectors
        np.testing.assert_allclose(vector, unit((vectors * arrays["weight"][own, None]).sum(0)), atol=1e-5)


def test_templates_of_a_calibrated_model_do_not_depend_on_who_else_is_enrolled(capsys, home):
    bundle = load_bundle(home / "model.safetensors")
    bundle.tensors |= {f"quality.{name}": tensor for name, tensor in QualityHead(16).state_dict().items()}
    quality = Embedder(bundle).embed(read(sorted((home / "people").rglob("*.png")))).quality
    quantiles = tuple(np.quantile(quality, np.linspace(0, 1, 1001)).tolist())
    bundle.calibration = Calibration(
        "quality", "those very images", 12, quantiles, 1e-3, 0.3, 10, 10, 1, 0, (0.0, 1.0), (0.5, 0.1), (0.4, 0.0), (0.7, 0.2)
    )
    save_bundle(home / "calibrated.safetensors", bundle)
    words = ["--templates", "--pool", "quality"]
    found, everybody = embed(capsys, home, home / "people", *words, model="calibrated.safetensors")
    assert found["weights"] == "percentile of the quality among the reference images of its calibration"
    np.testing.assert_allclose(everybody["weight"], quality_weights(everybody["quality"], np.array(quantiles)))
    _, alone = embed(capsys, home, home / "people" / PEOPLE[1], *words, model="calibrated.safetensors")
    np.testing.assert_allclose(alone["vectors"], everybody["vectors"][1:2], atol=1e-6)
    gated, _ = embed(capsys, home, home / "people" / PEOPLE[1], "--min-quality", "1%", model="calibrated.safetensors")
    assert gated["gate"] == "the worst 1 % among the reference images of its calibration"
    assert gated["min_quality"] == np.float32(quantiles[10])
    elsewhere = ["--quality", str(home / "calibrated.safetensors")]  # the head, and its reference, of another model
    _, other = embed(capsys, home, home / "people", *words, *elsewhere)
    np.testing.assert_allclose(other["weight"], everybody["weight"])


def test_how_images_are_read_changes_no_number(capsys, home, tmp_path):
    found, plain = embed(capsys, home, home / "people", "--workers", "0")
    for words in (["--workers", "3", "--batch-size", "5", "--threads", "1"], ["--cache", tmp_path], ["--cache", tmp_path]):
        again, arrays = embed(capsys, home, home / "people", *words)
        assert again == found
        assert arrays["files"].tolist() == plain["files"].tolist()
        np.testing.assert_allclose(arrays["vectors"], plain["vectors"], atol=5e-6)
    assert len(list(tmp_path.rglob("*.npy"))) == 1
    _, rough = embed(capsys, home, home / "people", "--precision", "bf16")
    assert 0.99 < (rough["vectors"] * plain["vectors"]).sum(1).min() < 1 - 1e-7


def test_the_file_says_what_made_it(capsys, home):
    words = ["--templates", "--pool", "quality", "--quality", "sharpness", "--min-quality", "0", "--no-flip"]
    found, arrays = embed(capsys, home, home / "people", *words)
    made_by = json.loads(str(arrays["made_by"]))
    assert made_by["model_sha256"] == file_sha256(home / "model.safetensors")
    assert {name: found[name] for name in ("quality", "min_quality", "pool", "weights")}.items() <= made_by.items()
    assert made_by["flip"] is False


def test_folders_may_be_named_one_by_one_and_nest(capsys, home, people):
    (people / PEOPLE[0] / "session").mkdir()
    shutil.move(people / PEOPLE[0] / "0003.png", people / PEOPLE[0] / "session" / "0003.png")
    nested = embed(capsys, home, people, "--templates")[1]
    named = embed(capsys, home, *(home / "people" / name for name in PEOPLE), "--templates")[1]
    np.testing.assert_array_equal(nested["templates"], named["templates"])
    np.testing.assert_allclose(nested["vectors"], named["vectors"], atol=1e-6)


@pytest.mark.parametrize("templates", [False, True])
def test_the_gate_refuses_and_reports_what_is_below(capsys, home, people, templates):
    blurred = [people / PEOPLE[0] / "0001.png", people / PEOPLE[2] / "0002.png"]
    for file in blurred:
        blur(file)
    files = sorted(people.rglob("*.png"))
    limit = np.sort(sharpness(files))[2]  # the sharpness of the worst that is not blurred: it passes, as it is not below
    words = [people, "--quality", "sharpness", "--min-quality", repr(float(limit))]
    found, arrays = embed(capsys, home, *words, *(["--templates"] if templates else []))
    assert [row["file"] for row in found["refused"]] == arrays["refused_files"].tolist() == list(map(str, blurred))
    np.testing.assert_allclose([row["quality"] for row in found["refused"]], sharpness(blurred))
    np.testing.assert_allclose(arrays["refused_quality"], sharpness(blurred))
    assert arrays["files"].tolist() == [str(file) for file in files if file not in blurred]
    assert (arrays["quality"] >= limit).all()
    if templates:
        assert arrays["images"].tolist() == [3, 4, 3]


@pytest.mark.parametrize(("share", "count"), [("25%", 3), ("30%", 3), ("8%", 0), ("9%", 1), ("99.9%", 11)])
def test_a_share_refuses_the_worst_and_no_more_of_them(capsys, home, share, count):
    files = sorted((home / "people").rglob("*.png"))
    found, arrays = embed(capsys, home, home / "people", "--quality", "sharpness", "--min-quality", share)
    worst = np.argsort(sharpness(files))[:count]
    assert sorted(row["file"] for row in found["refused"]) == sorted(str(files[k]) for k in worst)
    assert found["min_quality"] == pytest.approx(np.sort(sharpness(files))[count])
    assert found["gate"] == f"the worst {share[:-1]} % among the images given: depends on who else is enrolled, until `limen calibrate`"
    assert json.loads(str(arrays["made_by"]))["gate"] == found["gate"]


@pytest.mark.parametrize("word", ["0%", "100%", "-5%", "nan", "inf", "nan%", "some", "%"])
def test_what_is_no_gate_is_wrong_usage(capsys, home, word):
    with pytest.raises(SystemExit) as stopped:
        main(["embed", str(home / "model.safetensors"), str(home / "people"), f"--min-quality={word}", "--out", str(home / "none.npz")])
    assert stopped.value.code == 2
    assert "neither a quality nor a share between 0 % and 100 %" in capsys.readouterr().err


def test_a_person_left_with_no_image_failed_to_enrol(capsys, home, people):
    for file in (people / PEOPLE[1]).iterdir():
        blur(file)
    (people / PEOPLE[1] / "0002.png").write_bytes(b"no image")
    (people / "nobody").mkdir()
    limit = max(sharpness([people / PEOPLE[1] / f"000{k}.png" for k in (1, 3, 4)])) + 1e-6
    words = [people, "--templates", "--pool", "quality", "--quality", "sharpness", "--min-quality", repr(float(limit))]
    found, arrays = embed(capsys, home, *words)
    assert found["failed_to_enrol"] == [
        {"template": "nobody", "reason": "0 images, 0 unusable, 0 refused"},
        {"template": PEOPLE[1], "reason": "4 images, 1 unusable, 3 refused"},
    ]
    assert arrays["templates"].tolist() == [PEOPLE[0], PEOPLE[2]]
    np.testing.assert_allclose(np.linalg.norm(arrays["vectors"], axis=1), 1, rtol=1e-5)
    assert main(["embed", str(home / "model.safetensors"), *map(str, words), "--out", str(home / "out.npz")]) == 0
    shown = capsys.readouterr().out
    for line in ("2 people failed to enrol:", "3 images were refused:", "1 images could not be used:", "2 templates of 8 images"):
        assert line in shown


def test_a_measure_of_the_model_at_hand_needs_no_name_of_it(capsys, home):
    _, arrays = embed(capsys, home, home / "people")
    limit = float(np.median(arrays["norms"]))
    gated, kept = embed(capsys, home, home / "people", "--quality", "norm", "--min-quality", repr(limit))
    assert gated["quality"] == "norm"
    np.testing.assert_array_equal(kept["quality"], arrays["norms"][arrays["norms"] >= limit])
    assert len(gated["refused"]) == (arrays["norms"] < limit).sum()


def test_refusing_everybody_is_an_error_that_tells_the_qualities(capsys, home):
    line = failure(capsys, home, home / "people", "--quality", "sharpness", "--min-quality", "1e9")
    low, high = (f"{edge(sharpness(sorted((home / 'people').rglob('*.png')))):.4g}" for edge in (np.min, np.max))
    assert f"refuses every image; their qualities are {low} to {high}" in line


class Blank:
    """A measure that has no answer."""

    name = needs = "blank"

    def score(self, images, files=None):
        return np.where(np.arange(len(images)) == 1, np.nan, 1.0)


def test_an_image_without_a_quality_is_a_failure_to_acquire(capsys, home, monkeypatch):
    monkeypatch.setitem(sys.modules, "blank_measure", SimpleNamespace(Blank=Blank))
    found, stored = embed(capsys, home, home / "people", "--quality", "blank_measure:Blank", "--min-quality", "0")
    ((failure_to_acquire),) = found["failures"]
    assert failure_to_acquire.endswith("0002.png: has no blank")
    assert (found["embedded"], found["refused"]) == (len(stored["files"]), [])
    assert not [file for file in stored["files"] if failure_to_acquire.startswith(file)]


@pytest.mark.parametrize("words", [["--min-quality", "1"], ["--templates", "--pool", "quality"]])
def test_a_model_without_quality_says_what_to_measure_instead(capsys, home, words):
    line = failure(capsys, home, home / "people", *words)
    assert "no quality head; add --quality norm, sharpness" in line


def test_folders_that_do_not_say_who_is_who_are_refused(capsys, home, people):
    assert "add --templates" in failure(capsys, home, people, "--pool", "quality")
    assert "takes folders" in failure(capsys, home, people / PEOPLE[0] / "0001.png", "--templates")
    assert "two people of one name" in failure(capsys, home, people, home / "people", "--templates")
    shutil.copy(people / PEOPLE[0] / "0001.png", people)
    assert "beside folders" in failure(capsys, home, people, "--templates")
    (people / "empty").mkdir()
    assert "no images" in failure(capsys, home, people / "empty", "--templates")


def test_the_best_k_of_a_person_by_norm_or_quality(capsys, home):
    _, whole = embed(capsys, home, home / "people", "--templates")
    _, enough = embed(capsys, home, home / "people", "--templates", "--best", "4")
    np.testing.assert_array_equal(whole["vectors"], enough["vectors"])
    found, best = embed(capsys, home, home / "people", "--templates", "--best", "2")
    embedded = Embedder.load(home / "model.safetensors").embed(read(whole["files"]))
    assert found["best"] == "2 a person, by norm"
    for name in PEOPLE:
        own = np.flatnonzero(whole["template"] == name)
        longest = own[np.argsort(-embedded.norms[own])[:2]]
        assert set(best["files"][best["template"] == name]) == set(whole["files"][longest])
    found, sharpest = embed(capsys, home, home / "people", "--templates", "--best", "1", "--quality", "sharpness")
    assert (found["best"], sharpest["images"].tolist()) == ("1 a person, by sharpness", [1, 1, 1])
    np.testing.assert_allclose(sharpest["vectors"], sharpest["image_vectors"], rtol=1e-6)  # a template of one image is that image
    for name, quality in zip(PEOPLE, sharpest["quality"], strict=True):
        assert quality == pytest.approx(sharpness(whole["files"][whole["template"] == name]).max())
    assert "give 1 or more" in failure(capsys, home, home / "people", "--best", "2")
    assert "give 1 or more" in failure(capsys, home, home / "people", "--templates", "--best", "0")


def test_a_list_and_an_archive_are_embedded_as_the_folder_is(capsys, home, tmp_path):
    shutil.make_archive(str(tmp_path / "people"), "zip", home / "people")
    rows = [f"{file},{file.parent.name}\n" for file in sorted((home / "people").rglob("*.png"), reverse=True)]
    (tmp_path / "people.csv").write_text("file,person\n" + "".join(rows))
    _, folder = embed(capsys, home, home / "people", "--templates")
    for path in ("people.zip", "people.csv"):
        found, arrays = embed(capsys, home, tmp_path / path, "--templates")
        assert arrays["templates"].tolist() == PEOPLE
        np.testing.assert_allclose(arrays["vectors"], folder["vectors"], atol=1e-6)
        found, arrays = embed(capsys, home, tmp_path / path)
        assert found["embedded"] == 12
    assert "name it alone" in failure(capsys, home, tmp_path / "people.csv", home / "people")
    assert "aligned faces" in failure(capsys, home, tmp_path / "people.zip", "--detector", "yunet")
