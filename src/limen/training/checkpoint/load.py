"""Loading a checkpoint, whole or in part. Every function raises LimenError for a folder that is damaged or not a checkpoint."""

import json
from pathlib import Path
from typing import Any

from torch import Tensor

from limen.files import read_plain_file, unique_keys
from limen.training.checkpoint.folder import damage
from limen.training.checkpoint.save import CLASSES, STATE, sum_of
from limen.training.checkpoint.tensors import Tensors, checksum, copy_rows, file_name, load_tensors, read_whole, tensor_shapes
from limen.training.distributed import Processes

NEEDED: dict[str, Any] = {
    "recipe": dict,
    "data_sha256": str,
    "step": int,
    "seconds": int | float,
    "unreadable": list,
    "processes": int,
    "crc32": dict,
}


def verify(processes: Processes, path: Path) -> None:
    """Raises LimenError where a file of the checkpoint is not as it was written. Each process reads its share of them."""
    with damage(path):
        for file, written in sorted(read_values(path)["crc32"].items())[processes.rank :: processes.world_size]:
            if checksum(path / file) != written:
                raise ValueError(f"{file} has changed")


def read_values(path: Path) -> dict[str, Any]:
    """The plain values of a checkpoint."""
    with damage(path):
        values = json.loads(read_plain_file(_plain(path / STATE)), object_pairs_hook=unique_keys)
        if not isinstance(values, dict) or values.pop("own_crc32", None) != sum_of(values):
            raise ValueError(f"{STATE} has changed")
        for name, kind in NEEDED.items():
            if not isinstance(values[name], kind):
                raise ValueError(f"{STATE} has another kind of {name}")
        held = {file.name for file in path.glob("tensors-*")} | {CLASSES}
        if held != {CLASSES, *(file_name(rank, values["processes"]) for rank in range(len(held) - 1))} or held != values["crc32"].keys():
            raise ValueError("parts are missing")
        for name in held:
            _plain(path / name)
        return values


def _plain(path: Path) -> Path:
    if not path.is_file():
        raise ValueError(f"{path.name} is missing or no plain file")
    return path


def read_class_names(path: Path) -> list[str]:
    """The people of the checkpoint's centres, in the order of their labels."""
    with damage(path):
        return json.loads(read_plain_file(_plain(path / CLASSES)))


def read_shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """The names and whole shapes of a checkpoint's tensors."""
    with damage(path):
        return tensor_shapes(path)


def read_tensors(path: Path, prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with `prefix`, which no process had a part of alone."""
    with damage(path):
        return read_whole(path, prefix)


def read_rows(path: Path, name: str, rows: Tensor, target: Tensor) -> None:
    """target[k] = tensor[rows[k]] for every k where rows[k] (n,) is not negative, of the checkpoint's tensor `name`.

    The file is read a block at a time.
    """
    with damage(path):
        copy_rows(path, name, rows, target)


def load_into(processes: Processes, path: Path, tensors: Tensors) -> None:
    """Fills `tensors`, each process its shards among them, in place. Raises LimenError where the checkpoint does not hold just these."""
    with processes.together(), damage(path):
        load_tensors(path, tensors)
