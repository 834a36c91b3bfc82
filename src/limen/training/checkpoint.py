"""Checkpoints: everything a run needs to go on as if it had never stopped."""

import pickle
import re
from pathlib import Path
from typing import Any

import torch

from limen.errors import LimenError
from limen.files import atomic_write

KEPT = 2  # the newest ones; an older one goes when a newer one is safely on the disk


def checkpoint_path(folder: Path, step: int) -> Path:
    return folder / f"checkpoint-{step:08d}.pt"


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in `folder`, oldest first."""
    return sorted(path for path in folder.glob("checkpoint-*.pt") if re.fullmatch(r"checkpoint-\d+\.pt", path.name))


def remove_remains(folder: Path) -> None:
    """Removes what a killed process left half-written."""
    for path in folder.glob(".*.tmp"):
        path.unlink()


def save_checkpoint(folder: Path, step: int, state: dict[str, Any]) -> Path:
    """Writes `state` (tensors and plain values) atomically and removes all but the newest checkpoints."""
    path = checkpoint_path(folder, step)
    atomic_write(path, lambda temporary: torch.save(state, temporary))
    for old in [other for other in checkpoints(folder) if other <= path][:-KEPT]:
        old.unlink()
    return path


def load_checkpoint(path: Path) -> dict[str, Any]:
    """The state in `path`, on the CPU. No pickled code is ever run. Raises LimenError for a file that is damaged or not a checkpoint."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(state, dict) or not {"recipe", "step", "backbone", "head", "optimiser"} <= state.keys():
            raise ValueError("another program's file")
        return state
    except OSError as error:
        raise LimenError(f"{path}: {error.strerror}; check the path of --resume") from error
    except (RuntimeError, pickle.UnpicklingError, EOFError, ValueError, KeyError) as error:
        raise LimenError(f"{path}: damaged or not a checkpoint of limen; remove it and resume from an earlier one") from error
