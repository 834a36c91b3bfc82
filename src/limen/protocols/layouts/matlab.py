"""MATLAB files of version 5, whose cells arrive as object arrays in one another."""

from pathlib import Path
from typing import Any

import numpy as np

from limen.errors import LimenError
from limen.files import MIB, read_plain_file
from limen.protocols.layouts.mat5 import variables

LARGEST = 256 * MIB


def read_matlab(path: Path, *names: str) -> list[Any]:
    """The variables `names` of the file, each as `mat5.variables` gives it. Raises LimenError for another file, and where one is absent."""
    try:
        found = variables(read_plain_file(path, LARGEST), LARGEST)
    except ValueError as error:
        raise LimenError(f"{path}: is no MATLAB file that can be read ({error}); fetch it again") from error
    if absent := [name for name in names if name not in found]:
        raise LimenError(f"{path}: lacks {' and '.join(absent)}; it holds {', '.join(found) or 'nothing'}; is it the right file?")
    return [found[name] for name in names]


def names_in(path: Path, variable: str, cells: Any) -> list[str]:
    """The file names in a cell array of `variable`, one a cell. Raises LimenError for anything else in it."""
    names = flat(cells)
    if wrong := [name for name in names if not isinstance(name, str)]:
        raise LimenError(f"{path}: {variable} holds {wrong[0]!r} where a file name is expected; fetch it again")
    if len(names) != cells.size:
        raise LimenError(f"{path}: {variable} holds {len(names):,} file names in {cells.size:,} cells; fetch it again")
    return names


def flat(value: Any) -> list[Any]:
    """What is in a cell array, cells in cells opened: a list of plain values."""
    if isinstance(value, np.ndarray):
        return [item for inner in value.ravel() for item in flat(inner)] if value.dtype == object else value.ravel().tolist()
    return [value]
