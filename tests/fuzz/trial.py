"""Opens inputs in a process of its own, and says what became of each."""

import faulthandler
import multiprocessing
import os
import resource
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from limen.errors import LimenError

SECONDS = 10.0
MEMORY = 1 << 30  # bytes
GOOD = ("refused", "same", "damage")
BAD = ("traceback", "hung", "memory", "code", "signal")
# What reading a file must never do, as Python's audit events name it.
EVENTS = ("os.system", "os.exec", "os.posix_spawn", "os.fork", "os.startfile", "subprocess.Popen", "pty.spawn", "socket.", "ctypes.dlopen")
CANARY = "open('ran', 'w').close()\nclass Class: pass\n"  # a module that leaves a file where it is imported


class Trial(NamedTuple):
    outcome: str
    """One of GOOD or BAD. "same": opened, and equal to what was not damaged; "damage": opened, and different."""
    said: str
    """The message, the traceback, or what was opened where nothing was expected."""


class Opener:
    """A process that opens inputs, one after the other; it is replaced after one that hangs or kills it. A context manager.

    `open_input(folder)` opens what stands in a folder, and returns a text that tells what it holds. `warm`, a folder, is opened first by
    each process, so that what it loads then is not taken for the doing of an input.
    """

    def __init__(self, open_input: Callable[[Path], str], warm: Path | None = None, seconds: float = SECONDS):
        self.open_input, self.warm, self.seconds = open_input, warm, seconds
        self.context = multiprocessing.get_context("fork")
        self.process: Any = None

    def __enter__(self) -> "Opener":
        return self

    def __exit__(self, *_: Any) -> None:
        self._stop()

    def open(self, folder: Path, expected: str | None = None) -> Trial:
        if self.process is None:
            self.end, other = self.context.Pipe()
            self.home = tempfile.TemporaryDirectory()
            self.process = self.context.Process(target=_serve, args=(other, self.open_input, self.warm, Path(self.home.name)), daemon=True)
            self.process.start()
            other.close()
            if not self.end.poll(60):
                self._stop()
                raise RuntimeError("the process that opens the inputs did not start within 60 s")
            self.end.recv()
        try:
            self.end.send((str(folder), expected))
            if not self.end.poll(self.seconds):
                return self._stopped("hung", f"more than {self.seconds:g} s")
            trial = Trial(*self.end.recv())
        except (EOFError, OSError):
            self.process.join()
            return self._stopped("signal", f"exit code {self.process.exitcode}")
        if trial.outcome == "memory":
            self._stop()  # its peak would be counted again
        return trial

    def _stopped(self, outcome: str, said: str) -> Trial:
        self._stop()
        return Trial(outcome, said)

    def _stop(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.end.close()
            self.home.cleanup()
            self.process = None


def _serve(end: Any, open_input: Callable[[Path], str], warm: Path | None, home: Path) -> None:
    faulthandler.disable()  # the parent says what killed it
    os.chdir(home)
    (home / "canary.py").write_text(CANARY)
    sys.path.insert(0, str(home))
    sys.dont_write_bytecode = True
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1), os.dup2(silence, 2)
    warnings.simplefilter("ignore")
    events: list[str] = []
    watching = False

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        if watching and (
            event.startswith(EVENTS) or (event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+"))
        ):
            events.append(f"{event}{arguments[:1]!r}")

    if warm is not None:
        open_input(warm)
    sys.addaudithook(watch)
    end.send("ready")
    while True:
        folder, expected = end.recv()
        before = _peak()
        events.clear()
        watching = True
        try:
            found = open_input(Path(folder))
            outcome, said = ("same" if found == expected else "damage"), found if expected is None else ""
        except LimenError as error:
            outcome, said = "refused", str(error)
        except BaseException:
            outcome, said = "traceback", traceback.format_exc()
        watching = False
        if events or os.listdir(home) != ["canary.py"]:
            outcome, said = "code", "; ".join(events) or "a file was written"
            (home / "ran").unlink(missing_ok=True)
        elif _peak() - before > MEMORY:
            outcome, said = "memory", f"{(_peak() - before) >> 20} MiB; {said}"
        end.send((outcome, said))


def _peak() -> int:
    """Bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
