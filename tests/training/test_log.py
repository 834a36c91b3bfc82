"""The log: what it keeps of damage, of its own removal, and how long it may be silent."""

import json
import time

import pytest

from limen import LimenError
from limen.training import log, read_log
from limen.training.log import RunLog, read_rows

DAMAGE = [
    b"\xff",
    b'{"loss": 1.0}',
    b"[1, 2]",
    b'{"step": "3"}',
    b'{"step": true}',
    b'{"step": 2',
    b"[" * 100_000,
    b"9" * 5000,
    b"null",
    b"",
]


def test_lines_that_cannot_be_read_are_passed_over_and_counted(tmp_path):
    good = [{"step": step, "loss": 0.5} for step in range(1, 4)]
    lines = [json.dumps(good[0]).encode(), *DAMAGE, json.dumps(good[1]).encode(), json.dumps(good[2]).encode()]
    (tmp_path / "log.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    assert read_rows(tmp_path / "log.jsonl") == (good, len(DAMAGE))
    assert read_log(tmp_path / "log.jsonl") == good


def test_a_resumed_log_says_how_many_lines_it_leaves_out(tmp_path, capsys):
    (tmp_path / "log.jsonl").write_bytes(b'{"step": 1}\n\xff\nnull\n{"step": 2}\n{"step": 3}\n')
    with RunLog(tmp_path, 2, 10) as written:
        written.row(3, loss=1.0)
    assert "log.jsonl: 2 lines cannot be read, and are left out" in " ".join(capsys.readouterr().err.split())
    assert read_log(tmp_path / "log.jsonl") == [{"step": 1}, {"step": 2}, {"step": 3, "loss": 1.0}]


def test_a_folder_in_place_of_a_log_is_named(tmp_path):
    (tmp_path / "log.jsonl").mkdir()
    with pytest.raises(LimenError, match=r"log.jsonl: .*; move it away"):
        RunLog(tmp_path, 1, 10)


@pytest.mark.parametrize("how", ["removed", "renamed", "exchanged"])
def test_a_log_removed_while_training_is_written_again_whole(tmp_path, how, capsys):
    path = tmp_path / "log.jsonl"
    with RunLog(tmp_path, 0, 10) as written:
        written.row(1, loss=2.0)
        written.row(2, loss=1.0)
        if how == "renamed":
            path.rename(tmp_path / "old.jsonl")
        else:
            path.unlink()
        if how == "exchanged":
            path.write_text("nothing of this run\n")
        written.row(3, loss=0.5)
        written.row(4, loss=0.4)
    assert [row["step"] for row in read_log(path)] == [1, 2, 3, 4]
    assert capsys.readouterr().err.count("was removed while training") == 1


def test_a_log_without_a_terminal_is_never_silent_for_long(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(log, "SILENCE", 0.2)
    with RunLog(tmp_path, 0, 10) as written:
        written.advance(4)
        with written.busy("evaluating on people"):
            time.sleep(1)
    lines = capsys.readouterr().err.splitlines()
    assert 1 <= len(lines) <= 5
    assert lines[-1] == "step 4/10, evaluating on people"
    with RunLog(tmp_path, 0, 10, quiet=True):
        time.sleep(0.5)
    assert capsys.readouterr().err == ""
