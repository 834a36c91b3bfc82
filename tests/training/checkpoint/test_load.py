"""A checkpoint's plain values come from a file: whatever it says, the answer is one line, at once."""

import json
import os
import tarfile
from pathlib import Path

import pytest
import torch

from limen import LimenError
from limen.training import load_recipe, train
from limen.training.checkpoint.load import read_class_names, read_values, verify
from limen.training.checkpoint.save import save_checkpoint, sum_of
from limen.training.distributed import Processes

BEFORE = Path(__file__).parents[2] / "fixtures" / "before"
VALUES = {"recipe": {}, "data_sha256": "", "seconds": 0.0, "unreadable": []}


@pytest.fixture
def saved(tmp_path):
    return save_checkpoint(Processes(), tmp_path, 3, {"w": torch.ones(2)}, VALUES, ["Ann", "Bo"])


def changed(path, **values):
    """As someone would write it who knows of the checksum."""
    state = json.loads((path / "state.json").read_text()) | values
    del state["own_crc32"]
    (path / "state.json").write_text(json.dumps(state | {"own_crc32": sum_of(state)}))


def test_what_was_saved_is_read(saved):
    verify(Processes(), saved)
    assert read_values(saved)["step"] == 3
    assert read_class_names(saved) == ["Ann", "Bo"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"step": "3"}, "another kind of step"),
        ({"recipe": [1]}, "another kind of recipe"),
        ({"processes": 10**12}, "parts are missing"),
        ({"crc32": {"../../outside": 1}}, "parts are missing"),
    ],
)
def test_values_of_another_kind_are_refused(saved, values, said):
    changed(saved, **values)
    with pytest.raises(LimenError, match=said):
        verify(Processes(), saved)


@pytest.mark.parametrize("text", ["[" * 100_000, "9" * 5000, '{"step": ' * 100_000, "[]", '"text"', "\xff", '{"step": 3, "step": 4}'])
def test_text_that_is_no_state_is_refused(saved, text):
    (saved / "state.json").write_bytes(text.encode("latin1"))
    with pytest.raises(LimenError, match="damaged") as caught:
        read_values(saved)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "values",
    [
        {"recipe": {}},
        {"recipe": {"margin": []}},
        {"recipe": {"margin": {"options": 3}}},
        {"sampling": {}},
        {"sampling": None},
        {"sampling": [1]},
        {"unreadable": [[1]]},
        {"unreadable": [3]},
    ],
    ids=str,
)
def test_a_state_that_lacks_what_a_run_needs_is_damaged(tmp_path, values):
    """As someone would write it who knows of the checksum: wherever in resuming it shows."""
    with tarfile.open(BEFORE / "checkpoint-00000004.tar.xz") as archive:
        archive.extractall(tmp_path, filter="data")
    changed(tmp_path / "checkpoint-00000004", **values)
    with pytest.raises(LimenError, match=r"checkpoint-00000004: (damaged \(|the run had )") as caught:
        train(load_recipe(BEFORE / "recipe.yaml", ["--out", str(tmp_path)]), resume="auto", quiet=True)
    assert "\n" not in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes by name")
@pytest.mark.parametrize("name", ["state.json", "classes.json", "tensors-00000-of-00001.safetensors"])
def test_a_pipe_in_place_of_a_file_is_not_waited_for(saved, name):
    (saved / name).unlink()
    os.mkfifo(saved / name)
    with pytest.raises(LimenError, match=r"damaged .*is missing or no plain file"):
        verify(Processes(), saved)
