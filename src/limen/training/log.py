"""What a run says: a line of JSON per logged step, a progress bar on a terminal, TensorBoard if asked."""

import json
import sys
from pathlib import Path
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from limen.errors import LimenError
from limen.files import atomic_write


class RunLog:
    """Writes OUT/log.jsonl; a context manager. Resuming at `start_step` forgets the rows a killed run logged beyond it."""

    def __init__(self, folder: Path, start_step: int, total_steps: int, tensorboard: bool = False, quiet: bool = False):
        self.path = folder / "log.jsonl"
        kept = [row for row in read_log(self.path) if row["step"] <= start_step] if start_step else []
        lines = "".join(json.dumps(row) + "\n" for row in kept)

        def write(path: Path) -> None:
            path.write_text(lines)

        atomic_write(self.path, write)
        self.file = self.path.open("ab", buffering=0)  # nothing is left to be flushed when the disk is full
        self.quiet = quiet
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
        self.total_steps = total_steps
        self.board = _summary_writer(folder) if tensorboard else None

    def __enter__(self) -> "RunLog":
        self.progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.progress.stop()
        self.file.close()
        if self.board is not None:
            self.board.close()

    def note(self, text: str) -> None:
        """A line for whoever looks on."""
        if not self.quiet:
            self.progress.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def advance(self, step: int) -> None:
        self.progress.update(self.task, completed=step)

    def row(self, step: int, **values: Any) -> None:
        """One line of the log, and what of it people want to see."""
        self._append({"step": step, **values})
        numbers = {name: value for name, value in values.items() if isinstance(value, int | float)}
        if self.board is not None:
            for name, value in numbers.items():
                self.board.add_scalar(name, value, step)
        shown = ("loss", "lr", "class_margin", "mined_classes", "images_per_second", "accuracy", "noise_share")
        status = "  ".join(f"{name.replace('_', ' ')} {numbers[name]:.4g}" for name in shown if name in numbers)
        if self.terminal:
            self.progress.update(self.task, status=status)
        elif not self.quiet:
            left = f"  {values['seconds_left'] / 60:.1f} min left" if "seconds_left" in values else ""
            print(f"step {step}/{self.total_steps}  {status}{left}", file=sys.stderr, flush=True)

    def _append(self, row: dict[str, Any]) -> None:
        try:
            left = memoryview(json.dumps(row).encode() + b"\n")
            while left:  # a disk that is nearly full takes a part, and says so at the next
                left = left[self.file.write(left) :]
        except OSError as error:
            raise LimenError(f"{self.path}: {error.strerror}; free some space and go on with --resume auto") from error


def read_log(path: Path) -> list[dict[str, Any]]:
    """The rows of a log.jsonl; a last line that a killed run left half-written is passed over."""
    rows = []
    for line in path.read_text().splitlines() if path.exists() else []:
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return rows


def _summary_writer(folder: Path) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise LimenError("tensorboard: the package is missing; pip install 'limen[tensorboard]'") from error
    return SummaryWriter(str(folder / "tensorboard"))
