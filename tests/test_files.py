"""A file is the whole old one or the whole new one: after a refusal, a full disk, or a killed process."""

import errno
import math
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from limen.errors import LimenError
from limen.files import atomic_write, explain, open_plain_file, parse_json, read_json, read_plain_file, write_json

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
for name, writer in writers.items():
    try:
        atomic_write(Path(sys.argv[1]) / name / "file", writer)
        print("written")
    except LimenError as error:
        print(error)
"""
WRITERS = ("safetensors", "torch", "torch file", "bytes")


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
        (RuntimeError("DataLoader worker (pid 1) is killed by signal: Killed."), RuntimeError),
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
            f"cannot save {path}: the disk is full; the earlier file there is unchanged; free some space or choose another place"
        )
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are POSIX")
def test_full_disk(tmp_path):
    for writer in WRITERS:
        (tmp_path / writer).mkdir()
        (tmp_path / writer / "file").write_text("old")
    run = subprocess.run([sys.executable, "-c", FULL_DISK, tmp_path], capture_output=True, text=True, check=True)
    for writer, said in zip(WRITERS, run.stdout.splitlines(), strict=True):
        path = tmp_path / writer / "file"
        assert said.startswith(f"cannot save {path}: "), writer
        assert "the earlier file there is unchanged" in said, writer
        assert path.read_text() == "old", writer
        assert os.listdir(path.parent) == ["file"], writer


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


# ---- the state of the process ----


def test_writing_never_touches_the_umask_of_the_process(tmp_path, monkeypatch):
    def forbidden(mask):
        raise AssertionError("the umask belongs to the process")

    monkeypatch.setattr(os, "umask", forbidden)
    atomic_write(tmp_path / "file", lambda temporary: temporary.write_text("text"))


@pytest.mark.skipif(sys.platform == "win32", reason="permissions are POSIX")
@pytest.mark.parametrize("mask", [0o022, 0o077, 0o002])
@pytest.mark.parametrize("write", [lambda path: path.write_text(""), lambda path: save_file({"a": torch.zeros(1)}, path)])
def test_a_written_file_has_the_permissions_that_open_gives(tmp_path, mask, write):
    before = os.umask(mask)
    try:
        atomic_write(tmp_path / "ours", write)
        (tmp_path / "plain").write_text("")
    finally:
        os.umask(before)
    assert stat.S_IMODE(os.stat(tmp_path / "ours").st_mode) == stat.S_IMODE(os.stat(tmp_path / "plain").st_mode)


def test_threads_that_write_one_file_leave_it_whole(tmp_path):
    path, failures = tmp_path / "file", []
    contents = [str(number) * 100_000 for number in range(8)]
    together = threading.Barrier(len(contents))

    def work(content):
        def write(temporary):
            together.wait()  # every temporary is open at once
            temporary.write_text(content)

        try:
            atomic_write(path, write)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert path.read_text() in contents
    assert os.listdir(tmp_path) == ["file"]


# ---- special files ----


def special(folder, kind):
    path = folder / "special"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        socket.socket(socket.AF_UNIX).bind(str(path))
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "device":
        path.symlink_to("/dev/zero")
    return path


SPECIAL = {
    "pipe": "is a named pipe",
    "socket": "is a socket",
    "loop": "symbolic links lead in a circle",
    "folder": "is a folder",
    "device": "is a device",
    "missing": "no such file or folder; check the path",
}


@pytest.mark.skipif(sys.platform == "win32", reason="special files are POSIX")
@pytest.mark.parametrize("kind", SPECIAL)
def test_special_files_are_refused_and_never_waited_for(tmp_path, monkeypatch, kind):
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    path = special(type(tmp_path)("."), kind)
    for read in (open_plain_file, read_plain_file, read_json):
        with pytest.raises(LimenError, match=f"^special: {SPECIAL[kind]}"):
            read(path)
    if kind not in ("missing", "loop"):
        with pytest.raises(LimenError, match=f"^cannot save special: it {SPECIAL[kind]}; choose another name"):
            atomic_write(path, lambda temporary: temporary.write_text(""))
    assert sorted(os.listdir(".")) == ([] if kind == "missing" else ["special"])


def test_a_file_larger_than_it_may_be_is_refused(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(bytes(100))
    assert read_plain_file(path, limit=100) == bytes(100)
    with pytest.raises(LimenError, match="is larger than the 99 bytes that"):
        open_plain_file(path, limit=99)


@pytest.mark.parametrize("name", ["a\0b", "\ud800"])
def test_what_can_be_no_name_is_refused(name):
    with pytest.raises(LimenError, match="is no name of a file"):
        open_plain_file(name)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"[" * 100_000 + b"]" * 100_000, "nested too deep"),
        (b"1" * 5000, "is not JSON"),
        (b"[NaN]", "NaN is no number"),
        (b"[1e5, Infinity]", "Infinity is no number"),
        (b"\xff\xfe", "is not JSON"),
        (b"{", "is not JSON"),
        (b"", "is not JSON"),
        (b'{"size": 112, "a": [{"mean": 1, "mean": 2}]}', "'mean' stands twice; keep one of them"),
        (b'{"size": 112, "siz\\u0065": 112}', "'size' stands twice"),
    ],
    ids=["deep", "digits", "nan", "infinity", "bytes", "open", "empty", "twice", "twice, spelt otherwise"],
)
def test_json_bombs_are_refused_in_one_line(text, reason):
    with pytest.raises(LimenError, match=rf"^file\.json: .*{reason}.*") as caught:
        parse_json(text, "file.json")
    assert "\n" not in str(caught.value)


# ---- the system's refusals in words ----


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (errno.ENOSPC, "the disk is full; free some space or choose another place"),
        (errno.EACCES, "permission denied; change its permissions or choose another place"),
        (errno.EROFS, "the file system can only be read; choose another place"),
    ],
)
def test_a_refusal_names_its_reason_and_the_remedy_for_it(number, text):
    assert explain(OSError(number, os.strerror(number))) == text
    assert explain(Exception(f"I/O error: x (os error {number})")) == text  # as safetensors says it
    hiding = RuntimeError("stream is broken")  # as torch says it
    hiding.__context__ = OSError(number, os.strerror(number))
    assert explain(hiding) == text


def test_limen_needs_no_module_that_only_some_systems_have():
    script = (
        "import sys, os\n"
        "for name in ('fcntl', 'resource', 'pwd', 'grp', 'termios', 'msvcrt'): sys.modules[name] = None\n"
        "for name in ('setpgid', 'killpg', 'fork', 'getuid', 'pread', 'O_NONBLOCK', 'O_NOCTTY', 'O_CLOEXEC'):\n"
        "    if hasattr(os, name): delattr(os, name)\n"
        "import pkgutil, importlib, limen\n"
        "for module in pkgutil.walk_packages(limen.__path__, 'limen.'):\n"
        "    if not module.name.endswith('__main__'): importlib.import_module(module.name)\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_json_is_strict_whatever_it_is_made_of(tmp_path):
    value = {
        1: np.float32("nan"),
        "inf": [math.inf, -1.5],
        "array": np.array([1.0, np.nan]),
        "count": np.int64(3),
        "path": Path("a"),
        "yes": True,
    }
    write_json(tmp_path / "value.json", value)
    expected = {"1": None, "inf": [None, -1.5], "array": [1.0, None], "count": 3, "path": "a", "yes": True}
    assert read_json(tmp_path / "value.json") == expected
    assert read_json(tmp_path / "value.json")["yes"] is True
    (tmp_path / "marked.json").write_bytes(b"\xef\xbb\xbf" + (tmp_path / "value.json").read_bytes())
    assert read_json(tmp_path / "marked.json") == expected
