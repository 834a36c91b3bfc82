"""A file is the whole old one or the whole new one: after a refusal, a full disk, or a killed process."""

import errno
import os
import signal
import subprocess
import sys

import pytest
import torch

from limen.errors import LimenError
from limen.files import atomic_write

FULL_DISK = """
import resource, sys, torch
from pathlib import Path
from safetensors.torch import save_file
from limen.errors import LimenError
from limen.files import atomic_write

def through_a_file(path):
    with open(path, "wb") as file:
        torch.save(tensors, file)

tensors = {"a": torch.zeros(100_000)}
writers = {"safetensors": lambda path: save_file(tensors, path), "torch": lambda path: torch.save(tensors, path),
           "torch file": through_a_file, "bytes": lambda path: path.write_bytes(bytes(400_000))}
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    atomic_write(Path(sys.argv[1]), writers[sys.argv[2]])
except LimenError as error:
    print(error)
"""


def test_writes_what_the_writer_writes(tmp_path):
    path = tmp_path / "file"
    for content in ("first", "second"):
        atomic_write(path, lambda temporary, content=content: temporary.write_text(content))
        assert path.read_text() == content
    assert os.listdir(tmp_path) == ["file"]


def test_readers_see_the_old_file_until_the_new_one_is_whole(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def write(temporary):
        temporary.write_text("half")
        assert path.read_text() == "old"
        temporary.write_text("new")

    atomic_write(path, write)
    assert path.read_text() == "new"


@pytest.mark.parametrize(
    ("raised", "seen"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), LimenError),
        (KeyboardInterrupt(), KeyboardInterrupt),
        (ValueError(), ValueError),
    ],
)
def test_an_exception_leaves_the_old_file_and_no_temporary(tmp_path, raised, seen):
    path = tmp_path / "file"
    path.write_text("old")

    def write(temporary):
        temporary.write_text("half")
        raise raised

    with pytest.raises(seen) as caught:
        atomic_write(path, write)
    if seen is LimenError:
        assert str(caught.value) == (
            f"cannot save {path}: No space left on device; the earlier file there is unchanged; free some space or choose another --out"
        )
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are POSIX")
@pytest.mark.parametrize("writer", ["safetensors", "torch", "torch file", "bytes"])
def test_full_disk(tmp_path, writer):
    path = tmp_path / "file"
    path.write_text("old")
    run = subprocess.run([sys.executable, "-c", FULL_DISK, path, writer], capture_output=True, text=True, check=True)
    assert run.stdout.startswith(f"cannot save {path}: ")
    assert "the earlier file there is unchanged" in run.stdout
    assert run.stdout.count("\n") == 1
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is POSIX")
def test_killed_while_writing_leaves_the_old_file(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")
    program = (
        "import os, signal, sys; from pathlib import Path; from limen.files import atomic_write\n"
        "def write(p): p.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)\n"
        "atomic_write(Path(sys.argv[1]), write)"
    )
    run = subprocess.run([sys.executable, "-c", program, path], check=False)
    assert run.returncode == -signal.SIGKILL
    assert path.read_text() == "old"


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(LimenError, match="nowhere"):
        atomic_write(tmp_path / "nowhere" / "file", lambda temporary: torch.save({}, temporary))
