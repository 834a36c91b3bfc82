"""The command line: every command's help, exit status, one-line errors and JSON, on a model trained for a second."""

import json
import os
import re
import shutil
import sys

import cv2
import numpy as np
import pytest

from limen.cli import COMMANDS, main
from limen.data import write_recordio
from limen.data.synthetic import SyntheticFaces, save_folder
from limen.tables import read_csv


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """faces/ and a model trained on them by the command itself."""
    folder = tmp_path_factory.mktemp("cli")
    save_folder(SyntheticFaces(6, 8, difficulty=0.3), folder / "faces")
    words = [
        "train",
        "--data.path",
        str(folder / "faces"),
        "--out",
        str(folder / "run"),
        "--epochs",
        "2",
        "--batch_size",
        "16",
        "--data.workers=0",
    ]
    assert main([*words, "--backbone.name", "tiny", "--backbone.embedding_size", "32", "--threads", "1", "--device", "cpu"]) == 0
    return folder


@pytest.fixture
def model(folder):
    return str(folder / "run" / "model.safetensors")


def answer(capsys, *words):
    """The JSON a command prints."""
    assert main([*words, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def failure(capsys, *words):
    """The one line of an error; exit status 1."""
    assert main(list(words)) == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert lines[-1].startswith("limen: ")
    assert not any("Traceback" in line for line in lines)
    return lines[-1]


@pytest.mark.parametrize("command", COMMANDS)
def test_help_has_an_example(capsys, command):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    shown = capsys.readouterr().out.split("\n\n", 1)[1]  # after the usage
    assert re.search(rf"^ *limen {command}\b", shown, re.MULTILINE)


def test_wrong_usage_exits_with_2(capsys):
    for words in ([], ["trian"], ["info"], ["info", "a", "--nonsense"]):
        with pytest.raises(SystemExit) as stop:
            main(words)
        assert stop.value.code == 2


def test_info(capsys, model):
    found = answer(capsys, "info", model)
    assert found["architecture"] == {"name": "tiny", "embedding_size": 32, "options": {}}
    assert len(found["sha256"]) == 64
    assert main(["info", model]) == 0
    assert "embedding_size: 32" in capsys.readouterr().out


def test_embed_keeps_the_good_and_names_the_bad(capsys, folder, model, tmp_path):
    shutil.copytree(folder / "faces" / "synthetic-00001", tmp_path / "images")
    (tmp_path / "images" / "broken.jpg").write_bytes(b"no image")
    found = answer(capsys, "embed", model, str(tmp_path / "images"), "--out", str(tmp_path / "e.npz"))
    assert (found["embedded"], len(found["failures"])) == (8, 1)
    assert "broken.jpg" in found["failures"][0]
    stored = np.load(tmp_path / "e.npz")
    np.testing.assert_allclose(np.linalg.norm(stored["vectors"], axis=1), 1, rtol=1e-5)
    assert stored["norms"].shape == stored["files"].shape == (8,)


def test_embed_resizes_only_when_told(capsys, model, tmp_path):
    cv2.imwrite(str(tmp_path / "large.png"), np.random.default_rng(0).integers(0, 255, (150, 130, 3), np.uint8))
    words = ["embed", model, str(tmp_path / "large.png"), "--out", str(tmp_path / "e.npz")]
    assert "130x150" in failure(capsys, *words)
    assert answer(capsys, *words, "--resize")["embedded"] == 1


def test_compare_is_one_for_an_image_and_itself(capsys, folder, model):
    image = str(next((folder / "faces" / "synthetic-00002").glob("*.png")))
    assert answer(capsys, "compare", model, image, image)["similarity"] == pytest.approx(1, abs=1e-5)


def test_evaluate_writes_json_and_a_report(capsys, folder, model, tmp_path):
    for person in (folder / "faces").glob("synthetic-*"):
        (tmp_path / "lfw" / person.name).mkdir(parents=True)
        for k in (1, 2, 3):
            shutil.copy(person / f"{k:04d}.png", tmp_path / "lfw" / person.name / f"{person.name}_{k:04d}.png")
    names = sorted(person.name for person in (tmp_path / "lfw").iterdir())
    block = [f"{name}\t1\t{k}" for name in names for k in (2, 3)]
    block += [f"{a}\t{k}\t{b}\t{k}" for a, b in zip(names, names[1:] + names[:1], strict=True) for k in (1, 2)]
    (tmp_path / "pairs.txt").write_text("\n".join(["2\t12", *block, *block]))
    words = ["evaluate", model, "--pairs", str(tmp_path / "pairs.txt"), "--images", str(tmp_path / "lfw"), "--out", str(tmp_path / "out")]
    found = answer(capsys, *words, "--replicates", "50")
    stored = json.loads((tmp_path / "out" / "result.json").read_text())["results"][0]
    assert stored["metrics"][0]["value"] == found["results"][0]["metrics"]["accuracy"]
    assert stored["counts"]["pairs"] == 48
    assert stored["switches"]["model_sha256"]
    assert "<svg" in (tmp_path / "out" / "report.html").read_text()
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "Accuracy" in out
    assert "best for these pairs alone, not one to deploy; see limen calibrate" in out
    shutil.copy(tmp_path / "pairs.txt", tmp_path / "again.txt")
    several = [*words[:3], str(tmp_path / "again.txt"), *words[3:-1], str(tmp_path / "both"), "--replicates", "50"]
    found = answer(capsys, *several)
    assert [json.loads((tmp_path / "both" / "tables.json").read_text())[0]["columns"][-1], len(found["results"])] == ["mean", 2]


def test_data_synthesize_and_inspect(capsys, tmp_path):
    made = answer(capsys, "data", "synthesize", "--identities", "2", "--images", "3", "--out", str(tmp_path / "faces"))
    assert made["images"] == 6
    (tmp_path / "faces" / "synthetic-00000" / "bad.png").write_bytes(b"")
    assert main(["data", "inspect", str(tmp_path / "faces"), "--check", "--json"]) == 1  # for one is unreadable
    seen = json.loads(capsys.readouterr().out)
    assert (seen["identities"], seen["images"], seen["unreadable"]) == (2, 7, 1)
    assert "bad.png" in seen["unreadable_images"][0]


def test_data_pairs_are_what_evaluate_takes(capsys, folder, model, tmp_path):
    faces, pairs = str(folder / "faces"), str(tmp_path / "pairs.txt")
    drawn = answer(capsys, "data", "pairs", faces, "--count", "40", "--out", pairs)
    assert (drawn["pairs"], drawn["of_people"], drawn["of_images"]) == (40, 6, 48)
    words = ["--images", faces, "--replicates", "20", "--out", str(tmp_path / "out")]
    [result] = answer(capsys, "evaluate", model, "--pairs", pairs, *words)["results"]
    assert (result["counts"]["mated"], result["counts"]["non_mated"]) == (20, 20)
    assert "ask for fewer pairs" in failure(capsys, "data", "pairs", faces, "--out", pairs)
    assert ".txt" in failure(capsys, "data", "pairs", faces, "--out", str(tmp_path / "pairs.bin"))


def test_errors_are_one_line_that_helps(capsys, folder, model, tmp_path):
    assert "nowhere.safetensors" in failure(capsys, "info", "nowhere.safetensors")
    assert "did you mean 'optimiser.lr'" in failure(capsys, "train", "--optimiser.lrs", "1")
    assert "--resume auto" in failure(capsys, "train", "--data.path", str(folder / "faces"), "--out", str(folder / "run"))
    assert "nowhere.bin" in failure(capsys, "evaluate", model, "--pairs", "nowhere.bin", "--out", str(tmp_path))
    assert "nowhere" in failure(capsys, "data", "inspect", "nowhere")


@pytest.mark.parametrize(("period", "begins"), [(1, True), (100, False)])
def test_train_says_whether_adaptive_sampling_began(capsys, folder, tmp_path, period, begins):
    options = f"{{period: {period}, start_accuracy: 0}}"
    words = ["train", "--data.path", str(folder / "faces"), "--out", str(tmp_path / "run"), "--epochs", "3", "--batch_size", "16"]
    words += ["--data.workers=0", "--backbone.name", "tiny", "--backbone.embedding_size", "32", "--threads", "1", "--device", "cpu"]
    assert main([*words, "--data.sampling.name", "adaptive", "--data.sampling.options", options]) == 0
    said = capsys.readouterr().out
    assert ("adaptive sampling never began" in said) != begins
    assert str(tmp_path / "run" / "suspects.csv") in said


def test_debug_shows_the_traceback(capsys):
    assert main(["info", "nowhere.safetensors", "--debug"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_print_config_reads_back(capsys, tmp_path):
    assert main(["train", "--print-config", "--margin.name", "ArcFace"]) == 0
    (tmp_path / "recipe.yaml").write_text(capsys.readouterr().out)
    found = answer(capsys, "train", "--config", str(tmp_path / "recipe.yaml"), "--print-config")
    assert found["recipe"]["margin"]["name"] == "ArcFace"


# ---- names are bytes ----


@pytest.fixture(scope="module")
def odd_names(folder, tmp_path_factory):
    """The faces under names that no text holds: not UTF-8, a control character, a formula."""
    odd = tmp_path_factory.mktemp("odd")
    names = [os.fsdecode(b"Jos\xe9"), "=1+1", "Ann\x1b[31m", "@x", "Zoe\u0301", "line\u2028end"]
    for person, name in zip(sorted((folder / "faces").glob("synthetic-*")), names, strict=True):
        shutil.copytree(person, odd / "faces" / name)
        next((odd / "faces" / name).glob("*.png")).rename(odd / "faces" / name / os.fsdecode(b"=\xff.png"))
    return odd


@pytest.mark.skipif(sys.platform == "win32", reason="names of bytes are POSIX")
def test_names_are_bytes_from_training_to_the_tables(capfd, odd_names, tmp_path):
    """Training, embedding, qualities and evaluation take any name, and what one writes the others read."""
    faces, out = odd_names / "faces", tmp_path / "run"
    setting = ["--epochs", "2", "--batch_size", "16", "--data.workers=0", "--backbone.name", "tiny", "--backbone.embedding_size", "32"]
    words = [
        "train",
        "--data.path",
        str(faces),
        "--out",
        str(out),
        *setting,
        "--margin.name",
        "AdaMSoftmax",
        "--threads",
        "1",
        "--device",
        "cpu",
    ]
    assert main(words) == 0, capfd.readouterr().err
    model, names = str(out / "model.safetensors"), sorted(os.listdir(faces))
    assert [row["name"] for _, row in read_csv(out / "class_margins.csv", ["name"])] == names
    assert (
        main(["quality", model, str(faces), "--measure", "norm", "--csv", str(tmp_path / "q.csv"), "--sheet", str(tmp_path / "s.html")])
        == 0
    )
    files = {str(path) for path in faces.rglob("*.png")}
    assert {row["file"] for _, row in read_csv(tmp_path / "q.csv", ["file"])} == files
    assert main(["embed", model, str(faces), "--out", str(tmp_path / "e.npz")]) == 0
    assert set(np.load(tmp_path / "e.npz")["files"].tolist()) == files
    assert main(["data", "pairs", str(faces), "--count", "40", "--out", str(tmp_path / "p.txt")]) == 0
    evaluate = ["evaluate", model, "--pairs", str(tmp_path / "p.txt"), "--images", str(faces), "--quality", str(tmp_path / "q.csv")]
    assert main([*evaluate, "--replicates", "10", "--out", str(tmp_path / "ev")]) == 0, capfd.readouterr().err
    assert (tmp_path / "ev" / "report.html").read_text(encoding="utf-8")
    assert "\x1b" not in "".join(capfd.readouterr())


@pytest.mark.skipif(sys.platform == "win32", reason="names of bytes are POSIX")
def test_an_error_about_an_odd_name_is_one_line_that_commands_no_terminal(capfd, tmp_path):
    (tmp_path / "a\x1b[31m\nb.png").write_bytes(b"x")
    assert main(["data", "inspect", str(tmp_path / "a\x1b[31m\nb.png")]) == 1
    said = capfd.readouterr().err
    assert said.count("\n") == 1
    assert "a\\x1b[31m\\x0ab.png" in said


# ---- data damaged or dropped without a word; messages that mislead ----


def test_inspecting_tells_the_reader_by_the_path_and_ends_with_1_where_images_are_unreadable(capsys, tmp_path):
    pictures = [cv2.imencode(".png", np.full((112, 112, 3), 40 * k, np.uint8))[1].tobytes() for k in range(4)]
    write_recordio(tmp_path / "good", pictures, [0, 0, 1, 1])
    write_recordio(tmp_path / "bad", [*pictures[:3], pictures[3][:100]], [0, 0, 1, 1])
    for path in ("good", "good/train.rec"):
        assert answer(capsys, "data", "inspect", str(tmp_path / path), "--check")["unreadable"] == 0
    assert main(["data", "inspect", str(tmp_path / "bad" / "train.rec"), "--check"]) == 1
    assert "train.rec record 4: is cut short" in capsys.readouterr().out


def test_a_folder_of_folders_of_people_has_one_message_everywhere(capsys, folder, model, tmp_path):
    for name in ("setA", "setB"):
        shutil.copytree(folder / "faces", tmp_path / "sets" / name, ignore=shutil.ignore_patterns("*.csv"))
    sets = str(tmp_path / "sets")
    for words in (
        ["data", "inspect", sets],
        ["data", "pairs", sets, "--out", str(tmp_path / "p.txt")],
        ["embed", model, sets, "--templates", "--out", str(tmp_path / "t.npz")],
        ["train", "--data.path", sets, "--out", str(tmp_path / "run")],
    ):
        assert "this folder holds folders of people; name one" in failure(capsys, *words)
