"""A pipe or device in place of a file that a command reads is refused in a line, and never waited for."""

import os
import signal
import sys
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from limen.cli import main

BEFORE = Path(__file__).parents[1] / "fixtures" / "before"
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="special files are POSIX")


@pytest.fixture(autouse=True)
def _at_once():
    """Ends the test where a command waits."""
    signal.alarm(60)
    yield
    signal.alarm(0)


@pytest.fixture(params=["pipe", "device"])
def special(request, tmp_path):
    """Puts one in a place, and takes away what is there; returns the path."""

    def make(name):
        path = tmp_path / name
        path.unlink(missing_ok=True)
        os.mkfifo(path) if request.param == "pipe" else path.symlink_to("/dev/zero")
        return str(path)

    return make


def refused(capsys, *words):
    assert main([*words]) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


@pytest.mark.parametrize("command", [["train"], ["plan", "--classes", "10"]])
def test_as_a_recipe(capsys, special, command):
    assert "recipe.yaml: is a " in refused(capsys, *command, "--config", special("recipe.yaml"))


def test_as_constants_of_a_plan(capsys, special):
    assert "constants.json: is a " in refused(capsys, "plan", "--classes", "10", "--constants", special("constants.json"))


@pytest.mark.parametrize("options", [["--subjects"], ["--quality"]])
def test_as_a_list_of_images(capsys, special, tmp_path, options):
    pictures = [cv2.imencode(".png", np.full((112, 112, 3), 40 * k, np.uint8))[1].tobytes() for k in range(4)]
    for name, picture in zip("abcd", pictures, strict=True):
        (tmp_path / f"{name}.png").write_bytes(picture)
    (tmp_path / "pairs.txt").write_text("a.png b.png 1\nc.png d.png 0\n")
    words = [
        "evaluate",
        "no.safetensors",
        "--pairs",
        str(tmp_path / "pairs.txt"),
        "--images",
        str(tmp_path),
        "--out",
        str(tmp_path / "out"),
    ]
    assert "list.csv: is a " in refused(capsys, *words, *options, special("list.csv"))


@pytest.mark.parametrize("name", ["state.json", "classes.json", "tensors-00000-of-00001.safetensors"])
def test_as_a_file_of_a_checkpoint(capsys, special, tmp_path, name):
    with tarfile.open(BEFORE / "checkpoint-00000004.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    special(f"checkpoint-00000004/{name}")
    line = refused(capsys, "train", "--config", str(BEFORE / "recipe.yaml"), "--out", str(tmp_path), "--resume", "auto")
    assert f"damaged ({name} is missing or no plain file)" in line


def test_as_a_checkpoint(capsys, special, tmp_path):
    path = special("checkpoint-00000004")
    line = refused(capsys, "train", "--config", str(BEFORE / "recipe.yaml"), "--out", str(tmp_path / "out"), "--resume", path)
    assert "not a folder, as checkpoints are" in line


def test_as_a_model(capsys, special, tmp_path):
    assert "not a plain file" in refused(capsys, "info", special("model.safetensors"))
    assert "is a " in refused(capsys, "info", special("model.onnx"))
    assert "plain file" in refused(
        capsys, "import", special("weights.pth"), "--release", "insightface", "--out", str(tmp_path / "o.safetensors")
    )
