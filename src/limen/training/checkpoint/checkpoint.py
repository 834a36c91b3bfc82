"""Checkpoints: everything a run needs to go on as if it had never stopped, on however many processes.

A checkpoint is a folder, checkpoint-STEP: state.json (plain values), classes.json (the people's names in the order of their labels) and one
file of tensors for each process that wrote it (`limen.training.checkpoint.tensors`). It appears all at once, or not at all.
"""

import json
import os
import re
import shutil
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from torch import Tensor

from limen.errors import LimenError
from limen.files import reason_and_remedy
from limen.training.checkpoint.tensors import (
    DAMAGE,
    Tensors,
    checksum,
    copy_rows,
    file_name,
    load_tensors,
    read_whole,
    save_tensors,
    tensor_shapes,
)
from limen.training.distributed import Processes

KEPT = 2  # the newest ones; an older one goes when a newer one is safely on the disk
STATE, CLASSES = "state.json", "classes.json"
NEEDED = {"recipe", "data_sha256", "step", "seconds", "unreadable", "processes", "crc32"}
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


def save_checkpoint(
    processes: Processes, folder: Path, step: int, tensors: Tensors, values: dict[str, Any], class_names: Sequence[str]
) -> Path:
    """Writes the checkpoint of `step`, where it is not there yet, and removes all but the newest.

    Each process writes its shards among `tensors`, and the first the others; `values` are plain. Raises LimenError where the system
    refuses, a full disk for one: the earlier checkpoints are then as they were.
    """
    path = checkpoint_path(folder, step)
    temporary = folder / f".{path.name}.tmp"
    if processes.any(processes.first and path.exists())[0]:
        return path
    try:
        with processes.together(), _refusals(path):
            if processes.first:
                remove_remains(folder)
                temporary.mkdir()
        with processes.together(), _refusals(path):
            written = save_tensors(temporary / file_name(processes.rank, processes.world_size), tensors, whole=processes.first)
        sums = {file_name(rank, processes.world_size): found for rank, found in enumerate(processes.gather(written))}
        with processes.together(), _refusals(path):
            if processes.first:
                _write_json(temporary / CLASSES, list(class_names))
                sums[CLASSES] = checksum(temporary / CLASSES)
                state = values | {"step": step, "processes": processes.world_size, "crc32": sums}
                _write_json(temporary / STATE, state | {"own_crc32": _checksum(state)})
                _sync(temporary)
                temporary.rename(path)
                _sync(folder)
                _remove([other for other in checkpoints(folder) if other <= path][:-KEPT])
    finally:
        if processes.first:
            shutil.rmtree(temporary, ignore_errors=True)
    return path


def verify(processes: Processes, path: Path) -> None:
    """Raises LimenError where a file of the checkpoint is not as it was written. Each process reads its share of them."""
    with _damage(path):
        for file, written in sorted(read_values(path)["crc32"].items())[processes.rank :: processes.world_size]:
            if checksum(path / file) != written:
                raise ValueError(f"{file} has changed")


def read_values(path: Path) -> dict[str, Any]:
    """The plain values of a checkpoint. Raises LimenError for a folder that is damaged or not a checkpoint."""
    with _damage(path):
        values = json.loads((path / STATE).read_text())
        if values.pop("own_crc32", None) != _checksum(values):
            raise ValueError(f"{STATE} has changed")
        files = {file_name(rank, values["processes"]) for rank in range(values["processes"])}
        if not values.keys() >= NEEDED or not files <= {file.name for file in path.iterdir()}:
            raise ValueError("parts are missing")
        return values


def read_class_names(path: Path) -> list[str]:
    """The people of the checkpoint's centres, in the order of their labels. Raises LimenError as `read_values` does."""
    with _damage(path):
        return json.loads((path / CLASSES).read_text())


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The names and whole shapes of a checkpoint's tensors. Raises LimenError as `read_values` does."""
    with _damage(path):
        return tensor_shapes(path)


def read_tensors(path: Path, prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix`, which no process had a part of alone. Raises LimenError as `read_values` does."""
    with _damage(path):
        return read_whole(path, prefix)


def read_rows(path: Path, name: str, rows: Tensor, target: Tensor) -> None:
    """target[k] = tensor[rows[k]] for every k where rows[k] (n,) is not negative, of the checkpoint's tensor `name`.

    The file is read a block at a time. Raises LimenError as `read_values` does.
    """
    with _damage(path):
        copy_rows(path, name, rows, target)


def load_into(processes: Processes, path: Path, tensors: Tensors) -> None:
    """Fills `tensors`, each process its shards among them, in place. Raises LimenError where the checkpoint does not hold just these."""
    with processes.together(), _damage(path):
        load_tensors(path, tensors)


def _remove(paths: list[Path]) -> None:
    for path in paths:
        path.rename(doomed := path.with_name(f".{path.name}.tmp"))  # at once, so that no half of one is ever taken for a checkpoint
        shutil.rmtree(doomed)


def _checksum(values: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(values, sort_keys=True).encode())


def _write_json(path: Path, value: Any) -> None:
    with open(path, "w") as file:
        json.dump(value, file)
        file.flush()
        os.fsync(file.fileno())


def _sync(folder: Path) -> None:
    """Brings to the disk which files the folder holds."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _refusals(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason, remedy = reason_and_remedy(error)
        raise LimenError(f"cannot save {path}: {reason}; the earlier checkpoints are unchanged; {remedy}") from error


@contextmanager
def _damage(path: Path) -> Iterator[None]:
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
