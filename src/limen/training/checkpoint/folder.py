"""The checkpoints in a run's folder, and what to say of one that is not as it was written."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from limen.errors import LimenError
from limen.files import reason_and_remedy
from limen.training.checkpoint.tensors import DAMAGE

KEPT = 2  # the newest ones; an older one goes when a newer one is safely on the disk
NAME = re.compile(r"checkpoint-\d+")


def checkpoint_path(folder: Path, step: int) -> Path:
    return folder / f"checkpoint-{step:08d}"


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in `folder`, oldest first."""
    return sorted(path for path in folder.glob("checkpoint-*") if NAME.fullmatch(path.name))


def remove_remains(folder: Path) -> None:
    """Removes what a killed process left half-written or half-removed."""
    for path in folder.glob(".*.tmp"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def remove_older(folder: Path, newest: Path) -> None:
    """Removes all checkpoints up to `newest` but the last KEPT."""
    for path in [other for other in checkpoints(folder) if other <= newest][:-KEPT]:
        path.rename(doomed := path.with_name(f".{path.name}.tmp"))  # at once, so that no half of one is ever taken for a checkpoint
        shutil.rmtree(doomed)


@contextmanager
def refusals(path: Path) -> Iterator[None]:
    """Turns what the system refuses into a LimenError: the checkpoint at `path` cannot be saved."""
    try:
        yield
    except OSError as error:
        reason, remedy = reason_and_remedy(error)
        raise LimenError(f"cannot save {path}: {reason}; the earlier checkpoints are unchanged; {remedy}") from error


@contextmanager
def damage(path: Path) -> Iterator[None]:
    """Raises LimenError where `path` is no checkpoint, and turns what is wrong inside one into it."""
    if not path.is_dir():
        problem = "not a folder, as checkpoints are" if path.exists() else "no such folder"
        raise LimenError(f"{path}: {problem}; check the path of --resume")
    if not NAME.fullmatch(path.name):
        inside = checkpoints(path)
        remedy = f"it holds some: name one, {inside[-1]} say, or auto" if inside else "name a folder checkpoint-STEP of a run"
        raise LimenError(f"{path}: not a checkpoint of limen; {remedy}")
    try:
        yield
    except DAMAGE as error:
        reason = reason_and_remedy(error)[0]
        raise LimenError(f"{path}: damaged ({reason}); move it away, and the one before it is used") from error
