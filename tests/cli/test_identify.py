"""`limen identify`: who is in images, and what a gallery must be."""

import csv
import io
import json
import re
import shutil
import zipfile

import numpy as np
import pytest

from limen.cli import main
from limen.data.synthetic import SyntheticFaces, save_folder
from limen.decision.gallery import PeopleGallery, answer, check_alignment, read_gallery, threshold_at_fpir
from limen.errors import LimenError
from limen.models.bundle import Architecture, Bundle, save_bundle
from limen.models.embedder import Embedder
from limen.models.operating_point import OperatingPoint
from limen.protocols import load_results

PEOPLE = 12
POINTS = [(1e-2, 0.4, 0.6), (1e-3, -0.9, 0.98)]  # FMR, and the ends of the threshold's interval


def bundle(path, seed):
    import torch

    torch.manual_seed(seed)
    tensors = {f"backbone.{name}": tensor for name, tensor in Architecture("tiny", 16).build().state_dict().items()}
    save_bundle(path, Bundle(Architecture("tiny", 16), tensors))
    return path


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """gallery/ and probe/ of twelve people, two images each; two models with random weights; gallery.npz of the first."""
    home = tmp_path_factory.mktemp("identify")
    save_folder(SyntheticFaces(PEOPLE, 4, difficulty=0.3), home / "gallery")
    (home / "gallery" / "truth.csv").unlink()
    for person in (home / "gallery").iterdir():
        (home / "probe" / person.name).mkdir(parents=True)
        for file in sorted(person.iterdir())[2:]:
            file.rename(home / "probe" / person.name / file.name)
    bundle(home / "model.safetensors", 0)
    bundle(home / "other.safetensors", 1)
    assert main(["embed", str(home / "model.safetensors"), str(home / "gallery"), "--templates", "--out", str(home / "gallery.npz")]) == 0
    return home


def identify(capsys, home, *words, gallery="gallery.npz", model="model.safetensors"):
    capsys.readouterr()
    assert main(["identify", str(home / model), "--gallery", str(home / gallery), "--json", *map(str, words)]) == 0
    return json.loads(capsys.readouterr().out)


def failure(capsys, home, *words, gallery="gallery.npz", model="model.safetensors"):
    """The one line of an error."""
    capsys.readouterr()
    words = words or (home / "probe", "--threshold", "0.5")
    assert main(["identify", str(home / model), "--gallery", str(home / gallery), *map(str, words)]) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


def rewritten(home, name, **changes):
    arrays = dict(np.load(home / "gallery.npz")) | changes
    np.savez(home / name, **{key: value for key, value in arrays.items() if value is not None})
    return name


def test_the_answers_are_those_of_a_search_of_the_mean_templates(capsys, home):
    found = identify(capsys, home, home / "probe", "--threshold", "0.5", "--best", 3)
    assert (found["gallery"]["people"], len(found["probes"])) == (PEOPLE, 2 * PEOPLE)
    arrays, embedder = np.load(home / "gallery.npz"), Embedder.load(home / "model.safetensors")
    import cv2

    for probe in found["probes"]:
        image = cv2.imread(probe["probe"])[..., ::-1]
        scores = arrays["vectors"] @ embedder.embed(image[None]).vectors[0]
        order = np.argsort(-scores)[:3]
        assert [entry["person"] for entry in probe["best"]] == arrays["templates"][order].tolist()
        assert [entry["score"] for entry in probe["best"]] == pytest.approx(scores[order], abs=1e-5)
        assert (probe["answer"], probe["person"]) == (("yes", probe["best"][0]["person"]) if scores.max() >= 0.5 else ("nobody", None))


def test_a_folder_is_enrolled_as_embed_does(capsys, home):
    one = identify(capsys, home, home / "probe", "--threshold", "0.5")
    other = identify(capsys, home, home / "probe", "--threshold", "0.5", gallery="gallery")
    for a, b in zip(one["probes"], other["probes"], strict=True):
        assert (a["answer"], a["person"]) == (b["answer"], b["person"])
        assert a["best"][0]["score"] == pytest.approx(b["best"][0]["score"], abs=1e-5)


def test_it_finds_what_evaluate_judges(capsys, home):
    """The same templates: whom `evaluate` names as misidentified are those whose best entry is another person."""
    found = identify(capsys, home, home / "probe", "--threshold", "-1")
    words = ["--gallery", str(home / "gallery"), "--probe", str(home / "probe"), "--out", str(home / "out"), "--replicates", "10"]
    assert main(["evaluate", str(home / "model.safetensors"), *words]) == 0
    (result,) = load_results(home / "out" / "result.json")
    wrong = {probe["probe"]: probe["person"] for probe in found["probes"] if f"/{probe['person']}/" not in probe["probe"]}
    assert {mistake.probe: mistake.taken_for for mistake in result.mistakes} == wrong
    assert result.value("identification_rate@rank=1") == pytest.approx(1 - len(wrong) / len(found["probes"]))


def test_an_enrolled_photo_is_its_own_person(capsys, home, tmp_path):
    for person in (home / "gallery").iterdir():
        (tmp_path / "one" / person.name).mkdir(parents=True)
        shutil.copy(min(person.iterdir()), tmp_path / "one" / person.name)
    found = identify(capsys, home, tmp_path / "one", "--threshold", "0.999", gallery=tmp_path / "one")
    assert [probe["answer"] for probe in found["probes"]] == ["yes"] * PEOPLE
    assert all(f"/{probe['person']}/" in probe["probe"] for probe in found["probes"])


def test_a_person_enrolled_under_two_names_is_named(capsys, home, monkeypatch):
    vectors, names = (np.load(home / "gallery.npz")[name] for name in ("vectors", "templates"))
    twice = rewritten(home, "two_names.npz", vectors=np.concatenate([vectors, vectors[3:4]]), templates=np.append(names, "Another Name"))
    words = ["identify", str(home / "model.safetensors"), str(home / "probe"), "--threshold", "0.99999", "--json", "--gallery"]
    assert main([*words, str(home / twice)]) == 0
    shown = capsys.readouterr()
    assert (
        f"1 pair of people is as alike as 1.0000, from which the answer is yes: {names[3]} and Another Name 1.000; one person" in shown.err
    )
    found = json.loads(shown.out)["gallery"]
    assert (found["pairs_too_alike"], len(found["too_alike"])) == (1, 1)
    assert {found["too_alike"][0]["person"], found["too_alike"][0]["other"]} == {str(names[3]), "Another Name"}
    assert main([*words, str(home / "gallery.npz")]) == 0  # nobody stands there twice
    shown = capsys.readouterr()
    assert shown.err == ""
    assert json.loads(shown.out)["gallery"]["pairs_too_alike"] == 0
    monkeypatch.setattr("limen.decision.gallery.COMPARED", PEOPLE)
    assert main([word for word in [*words, str(home / twice)] if word != "--json"]) == 0
    shown = capsys.readouterr()
    assert "was not looked for; `limen audit` does" in shown.out
    assert shown.err == ""


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda root: None, "is an empty folder; give the folder that holds one folder of images per person"),
        (lambda root: (root / "notes.txt").touch(), "holds files and no folders; give the folder that holds one folder of images"),
        (lambda root: (root / "a.png").touch(), "holds 1 images and no folders; put the images of each person in a folder of their own"),
        (lambda root: (root / "ann").mkdir(), "no images in the 1 folders of its people (.jpg"),
    ],
    ids=["empty", "no image", "loose", "no image of anybody"],
)
def test_a_folder_without_people_says_what_to_do(capsys, home, tmp_path, make, said):
    (tmp_path / "people").mkdir()
    make(tmp_path / "people")
    assert said in failure(capsys, home, home / "probe", "--threshold", "0.5", gallery=tmp_path / "people")
    for words in (
        ["evaluate", "--folders", "people"],
        ["evaluate", "--folders", "people", "--split", "1"],
        ["evaluate", "--gallery", "people", "--probe", str(home / "probe")],
        ["evaluate", "--gallery", str(home / "gallery"), "--probe", "people"],
        ["calibrate", "--folders", "people"],
        ["calibrate", "--gallery", str(home / "gallery"), "--probe", "people"],
        ["calibrate", "--folders", str(home / "gallery"), "--impostors", "people"],
    ):
        given = [str(tmp_path / "people") if word == "people" else word for word in words]
        out = [] if words[0] == "calibrate" else ["--out", str(tmp_path / "out")]
        assert main([given[0], str(home / "model.safetensors"), *given[1:], *out]) == 1
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert (
            said.partition(";")[0] in line
            or "no images of this person; add some or remove" in line
            or "no images of this person (read" in line
        )


def test_nobody_is_in_an_empty_gallery(capsys, home):
    empty = rewritten(home, "empty.npz", vectors=np.empty((0, 16), np.float32), templates=np.empty(0, "U1"))
    found = identify(capsys, home, home / "probe", "--threshold", "-1", gallery=empty)
    assert {(probe["answer"], probe["person"], len(probe["best"])) for probe in found["probes"]} == {("nobody", None, 0)}
    assert "needs 10 people who search the others, and it has 0 people" in failure(
        capsys, home, home / "probe", "--fpir", "0.1", gallery=empty
    )


def test_an_fpir_finds_its_threshold_in_the_gallery(capsys, home):
    found = identify(capsys, home, home / "probe", "--fpir", "0.25")
    vectors, threshold = np.load(home / "gallery.npz")["vectors"], found["threshold"]
    scores = vectors @ vectors.T
    np.fill_diagonal(scores, -np.inf)
    best = scores.max(1)  # two who are each other's nearest tie
    assert threshold["searched"] == PEOPLE
    assert threshold["false_positives"] == np.count_nonzero(best > threshold["value"] + 1e-6) <= 3
    assert np.count_nonzero(best >= threshold["value"] - 1e-6) > 3  # the score right below it would accept too many
    assert threshold["low"] <= threshold["value"] <= threshold["high"]
    for probe in found["probes"]:
        assert probe["answer"] == answer(probe["best"][0]["score"], threshold["low"], threshold["high"])


def test_a_large_gallery_is_searched_by_a_draw(monkeypatch):
    random = np.random.default_rng(0)
    vectors = random.normal(size=(400, 8)).astype(np.float32)
    gallery = PeopleGallery(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), [str(n) for n in range(400)])
    monkeypatch.setattr("limen.decision.gallery.SEARCHED", 100)
    found = threshold_at_fpir(gallery, 0.05)
    assert (found.impostors, found.false_matches.tolist()) == (100, [5])
    assert found.threshold == threshold_at_fpir(gallery, 0.05).threshold
    with pytest.raises(LimenError, match=r"--fpir 0.001: needs 1,000 people who search the others, and it has 100 of its people"):
        threshold_at_fpir(gallery, 0.001)


def test_three_answers():
    assert [answer(score, 0.3, 0.4) for score in (0.29, 0.3, 0.39, 0.4)] == ["nobody", "not sure", "not sure", "yes"]
    assert [answer(score, 0.3, 0.3) for score in (0.29, 0.3)] == ["nobody", "yes"]


def test_csv_has_a_row_for_each_probe_and_failures_are_named(capsys, home, tmp_path):
    shutil.copytree(home / "probe", tmp_path / "probe")
    broken = min((tmp_path / "probe").rglob("*.png"))
    broken.write_bytes(b"no image")
    found = identify(capsys, home, tmp_path / "probe", "--threshold", "0.5", "--best", 2, "--out", tmp_path / "answers.csv")
    assert len(found["failures"]) == 1
    assert str(broken) in found["failures"][0]
    with open(tmp_path / "answers.csv", newline="") as file:
        rows = {row["probe"]: row for row in csv.DictReader(file)}
    assert len(rows) == 2 * PEOPLE
    assert list(rows[str(broken)].values())[1:] == [""] * 5
    for probe in found["probes"]:
        row = rows[probe["probe"]]
        assert (row["answer"], row["person_1"], row["person_2"]) == (probe["answer"], *(entry["person"] for entry in probe["best"]))
        assert float(row["score_2"]) == pytest.approx(probe["best"][1]["score"], abs=1e-6)
    assert (
        main(["identify", str(home / "model.safetensors"), str(home / "probe"), "--gallery", str(home / "gallery.npz"), "--fpir", ".3"])
        == 0
    )
    text = capsys.readouterr().out
    assert "12 people in" in text
    assert re.search(r"[1-3] of 12 templates find another person there \(FPIR 0.3\)", text)
    assert "nobody" in text.splitlines()[-1]


def test_vectors_of_others_are_refused_in_one_line(capsys, home):
    assert "its vectors are of another model" in failure(capsys, home, model="other.safetensors")
    made_by = json.loads(str(np.load(home / "gallery.npz")["made_by"]))
    made_by["network"]["preprocessing"]["mean"] = [0, 0, 0]
    changed = rewritten(home, "changed.npz", made_by=np.array(json.dumps(made_by)))
    assert "its vectors were made with another preprocessing; enrol its people again" in failure(capsys, home, gallery=changed)
    del made_by["network"]
    older = rewritten(home, "older.npz", made_by=np.array(json.dumps(made_by)))
    assert len(identify(capsys, home, home / "probe", "--threshold", "0.5", gallery=older)["probes"]) == 2 * PEOPLE
    assert "its vectors are of another model" in failure(capsys, home, gallery=older, model="other.safetensors")


def test_a_calibration_leaves_the_gallery_valid(capsys, home, tmp_path):
    embedder = Embedder.load(home / "model.safetensors")
    embedder.bundle.recipe = {"a": 1}  # the file changes, its weights do not
    embedder.save(tmp_path / "model.safetensors")
    assert len(read_gallery(home / "gallery.npz", Embedder.load(tmp_path / "model.safetensors"))) == PEOPLE


def compressed(home):
    np.savez_compressed(home / "compressed.npz", **dict(np.load(home / "gallery.npz")))
    return "compressed.npz"


def pickled(home):
    return rewritten(home, "pickled.npz", templates=np.array([{}] * PEOPLE, object))


def huge(home):
    """A header that asks for a terabyte."""
    content = io.BytesIO()
    np.lib.format.write_array_header_1_0(content, {"descr": "<f4", "fortran_order": False, "shape": (1 << 34, 16)})
    with zipfile.ZipFile(home / "gallery.npz") as archive, zipfile.ZipFile(home / "huge.npz", "w") as other:
        for name in archive.namelist():
            other.writestr(name, content.getvalue() if name == "vectors.npy" else archive.read(name))
    return "huge.npz"


def twice(home):
    return rewritten(home, "twice.npz", templates=np.array(["Ann", "ANN", *map(str, range(PEOPLE - 2))]))


def text_file(home):
    (home / "text.npz").write_text("no archive")
    return "text.npz"


BAD = {
    "no archive": (text_file, "is no .npz file that can be read"),
    "compressed": (compressed, "lacks vectors, templates or made_by"),
    "pickled": (pickled, "is no .npz file that can be read (Object arrays cannot be loaded when allow_pickle=False)"),
    "huge": (huge, "is no .npz file that can be read"),
    "images": (lambda home: rewritten(home, "images.npz", templates=None), "holds images and no people"),
    "twice": (twice, "Ann and ANN are one name"),
    "NaN": (lambda home: rewritten(home, "nan.npz", vectors=np.full((PEOPLE, 16), np.nan, np.float32)), "is damaged: a finite vector"),
    "short": (lambda home: rewritten(home, "short.npz", vectors=np.eye(16, dtype=np.float32)), "is damaged: a finite vector"),
    "text": (lambda home: rewritten(home, "json.npz", made_by=np.array("{")), "made_by: is not JSON"),
    "missing": (lambda home: "missing.npz", "no such file"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_damaged_galleries_are_refused_in_one_line(capsys, home, case):
    make, said = BAD[case]
    assert said in failure(capsys, home, gallery=make(home))


def test_wrong_words_are_refused(capsys, home):
    assert "a cosine lies between -1 and 1" in failure(capsys, home, home / "probe", "--threshold", "40")
    assert "--best 0: give 1 or more" in failure(capsys, home, home / "probe", "--threshold", "0.4", "--best", "0")
    assert "--fpir 2: must lie between 0 and 1" in failure(capsys, home, home / "probe", "--fpir", "2")
    assert "it has no operating point; give --threshold or --fpir, or run `limen calibrate`" in failure(capsys, home, home / "probe")


def test_the_operating_point_of_the_lowest_fmr_decides(capsys, home, tmp_path):
    points = tuple(
        OperatingPoint(fmr, 0.5, low, high, 0.95, 10_000, 1, 10, 0, 0.0, 0.3, True, "own", "0" * 64, 5) for fmr, low, high in POINTS
    )
    embedder = Embedder.load(home / "model.safetensors")
    embedder.save_calibration(None, tmp_path / "model.safetensors", points)
    words = ["identify", str(tmp_path / "model.safetensors"), str(home / "probe"), "--gallery", str(home / "gallery.npz"), "--json"]
    assert main(words) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["threshold"]["fmr"] == 1e-3
    assert found["threshold"]["strangers_accepted"] == pytest.approx(1 - 0.999**PEOPLE)
    for probe in found["probes"]:
        assert probe["answer"] == answer(probe["best"][0]["score"], -0.9, 0.98)


def test_faces_found_in_two_ways_are_not_compared(capsys, home):
    made_by = json.loads(str(np.load(home / "gallery.npz")["made_by"])) | {"alignment": {"detector": "another", "faces": "largest"}}
    gallery = rewritten(home, "photos.npz", made_by=np.array(json.dumps(made_by)))
    found = identify(capsys, home, home / "probe", "--threshold", "0.5", gallery=gallery)
    assert len(found["probes"]) == 2 * PEOPLE  # nobody knows how crops were aligned
    people = PeopleGallery(np.eye(1), ["a"], made_by)
    check_alignment("photos.npz", people, {"detector": "another", "faces": "central"})
    with pytest.raises(LimenError, match="found by another detector or with other settings"):
        check_alignment("photos.npz", people, {"detector": "one", "faces": "largest"})
