"""Saving a checkpoint: a folder that appears all at once, or not at all."""

import json
import os
import shutil
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from limen.training.checkpoint.folder import checkpoint_path, refusals, remove_older, remove_remains
from limen.training.checkpoint.tensors import Tensors, checksum, file_name, save_tensors
from limen.training.distributed import Processes

STATE, CLASSES = "state.json", "classes.json"


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
        with processes.together(), refusals(path):
            if processes.first:
                remove_remains(folder)
                temporary.mkdir()
        with processes.together(), refusals(path):
            written = save_tensors(temporary / file_name(processes.rank, processes.world_size), tensors, whole=processes.first)
        sums = {file_name(rank, processes.world_size): found for rank, found in enumerate(processes.gather(written))}
        with processes.together(), refusals(path):
            if processes.first:
                _write_json(temporary / CLASSES, list(class_names))
                sums[CLASSES] = checksum(temporary / CLASSES)
                state = values | {"step": step, "processes": processes.world_size, "crc32": sums}
                _write_json(temporary / STATE, state | {"own_crc32": sum_of(state)})
                _sync(temporary)
                temporary.rename(path)
                _sync(folder)
                remove_older(folder, path)
    finally:
        if processes.first:
            shutil.rmtree(temporary, ignore_errors=True)
    return path


def sum_of(values: dict[str, Any]) -> int:
    """CRC-32 of plain values."""
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
