"""What a run says: a line of JSON per logged step, a progress bar on a terminal, TensorBoard if asked."""

import json
import os
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from limen.errors import LimenError
from limen.files import atomic_write, explain, reason_and_remedy

SILENCE = 30.0  # seconds at most between two lines where there is no terminal
SHOWN = ("loss", "lr", "class_margin", "mined_classes", "images_per_second", "accuracy", "noise_share")


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


class RunLog:
    """Writes OUT/log.jsonl; a context manager. Resuming at `start_step` forgets the rows a killed run logged beyond it."""

    def __init__(self, folder: Path, start_step: int, total_steps: int, tensorboard: bool = False, quiet: bool = False):
        self.path = folder / "log.jsonl"
        self.quiet, self.total_steps = quiet, total_steps
        self.terminal = sys.stderr.isatty() and not quiet
        self.progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[status]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not self.terminal,
        )
        self.task = self.progress.add_task("training", total=total_steps, completed=start_step, status="")
        self.board = _summary_writer(folder) if tensorboard else None
        rows, unreadable = read_rows(self.path) if start_step else ([], 0)
        if unreadable:
            self.note(f"{self.path}: {_lines(unreadable)} cannot be read, and {'is' if unreadable == 1 else 'are'} left out")
        rows = [row for row in rows if row["step"] <= start_step]
        self.evaluated: dict[tuple[int, str], float | None] = {
            (row["step"], row["evaluation"]): _number(row.get("accuracy")) for row in rows if isinstance(row.get("evaluation"), str)
        }
        """Accuracy by (step, name) of what is logged."""
        self._write_anew("".join(json.dumps(row) + "\n" for row in rows).encode())
        self.step, self.doing, self.said = start_step, "", time.monotonic()
        self._ended = threading.Event()
        self._speaker = threading.Thread(target=self._break_silence, daemon=True)

    def __enter__(self) -> "RunLog":
        self.progress.start()
        if not self.terminal and not self.quiet:
            self._speaker.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ended.set()
        self.progress.stop()
        self.file.close()
        if kind is not None and self.path.is_file() and not self.path.stat().st_size:
            self.path.unlink()  # of a start that failed
        if self.board is not None:
            self.board.close()

    def note(self, text: str) -> None:
        """A line for whoever looks on."""
        if not self.quiet:
            self.said = time.monotonic()
            self.progress.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def advance(self, step: int) -> None:
        self.step = step
        self.progress.update(self.task, completed=step)

    @contextmanager
    def busy(self, doing: str) -> Iterator[None]:
        """Says, in the block, what takes the time."""
        self.doing = f", {doing}"
        self.progress.update(self.task, status=doing)
        try:
            yield
        finally:
            self.doing = ""

    def row(self, step: int, **values: Any) -> None:
        """One line of the log, and what of it people want to see."""
        self._append({"step": step, **values})
        if "evaluation" in values:
            self.evaluated[step, values["evaluation"]] = values["accuracy"]
        numbers = {name: value for name, value in values.items() if isinstance(value, int | float)}
        if self.board is not None:
            for name, value in numbers.items():
                self.board.add_scalar(name, value, step)
        status = "  ".join(f"{name.replace('_', ' ')} {numbers[name]:.4g}" for name in SHOWN if name in numbers)
        if self.terminal:
            self.progress.update(self.task, status=status)
        else:
            left = f"  {values['seconds_left'] / 60:.1f} min left" if "seconds_left" in values else ""
            self._say(f"step {step}/{self.total_steps}  {status}{left}")

    def _say(self, line: str) -> None:
        if not self.quiet:
            self.said = time.monotonic()
            print(line, file=sys.stderr, flush=True)

    def _break_silence(self) -> None:
        """A line every so often whatever takes the time: a step, a graph, an evaluation."""
        while not self._ended.wait(max(0.05, self.said + SILENCE - time.monotonic())):
            if time.monotonic() - self.said >= SILENCE:
                self._say(f"step {self.step}/{self.total_steps}{self.doing}")

    def _append(self, row: dict[str, Any]) -> None:
        with self._refusals():
            self._bring_back()
            left = memoryview(json.dumps(row).encode() + b"\n")
            while left:  # a disk that is nearly full takes a part, and says so at the next
                left = left[self.file.write(left) :]

    def _bring_back(self) -> None:
        """Writes the log anew where someone has removed or exchanged it: the open file still holds every row."""
        try:
            if os.path.samestat(os.fstat(self.file.fileno()), self.path.stat()):
                return
        except FileNotFoundError:
            pass
        self.file.seek(0)
        rows = self.file.read()
        self.file.close()
        self._write_anew(rows)
        self.note(f"{self.path} was removed while training: written again with all its rows")

    def _write_anew(self, rows: bytes) -> None:
        atomic_write(self.path, lambda path: path.write_bytes(rows))
        self.file = self.path.open("ab+", buffering=0)  # nothing is left to be flushed when the disk is full

    @contextmanager
    def _refusals(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise LimenError(f"{self.path}: {explain(error)} and go on with --resume auto") from error


def read_log(path: str | PathLike[str]) -> list[dict[str, Any]]:
    """The rows of a log.jsonl; lines that cannot be read, such as the last one of a killed run, are passed over.

    >>> import tempfile, pathlib
    >>> from limen.training import read_log
    >>> path = pathlib.Path(tempfile.mkdtemp(), "log.jsonl")
    >>> path.write_text('{"step": 20, "loss": 31.5}\\n{"step": 4')  # the last line of a killed run
    37
    >>> read_log(path)
    [{'step': 20, 'loss': 31.5}]
    """
    return read_rows(Path(path))[0]


def read_rows(path: Path) -> tuple[list[dict[str, Any]], int]:
    """The rows of a log.jsonl, and how many of its lines are none: no JSON, no object, or without a whole number as `step`."""
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return [], 0
    except OSError as error:
        raise LimenError(f"{path}: {reason_and_remedy(error)[0]}; move it away and go on with --resume auto") from error
    rows = [row for line in lines if (row := _row(line)) is not None]
    return rows, len(lines) - len(rows)


def _row(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):  # UnicodeDecodeError is a ValueError
        return None
    return row if isinstance(row, dict) and type(row.get("step")) is int else None


def _lines(count: int) -> str:
    return "1 line" if count == 1 else f"{count} lines"


def _summary_writer(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise LimenError("tensorboard: the package is missing; pip install 'limen[tensorboard]'") from error
    return SummaryWriter(str(folder / "tensorboard"))
