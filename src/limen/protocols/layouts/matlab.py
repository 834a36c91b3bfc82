"""MATLAB files of version 5, whose cells arrive as object arrays in one another."""

import io
from pathlib import Path
from typing import Any

import numpy as np

from limen.errors import LimenError
from limen.files import MIB, read_plain_file

LARGEST = 256 * MIB


def read_matlab(path: Path, *names: str) -> list[Any]:
    """The variables `names` of the file, each as scipy gives it. Raises LimenError for another file, and where one is absent."""
    from scipy.io import loadmat  # here, for few benchmarks need it

    data = read_plain_file(path, LARGEST)
    try:
        found = loadmat(io.BytesIO(data))
    except Exception as error:  # a damaged file may raise anything
        raise LimenError(f"{path}: is no MATLAB file that can be read ({str(error)[:120]}); fetch it again") from error
    present = [name for name in found if not name.startswith("__")]
    if absent := [name for name in names if name not in present]:
        raise LimenError(f"{path}: lacks {' and '.join(absent)}; it holds {', '.join(present) or 'nothing'}; is it the right file?")
    return [found[name] for name in names]


def flat(value: Any) -> list[Any]:
    """What is in a cell array, cells in cells opened: a list of plain values."""
    if isinstance(value, np.ndarray):
        return [item for inner in value.ravel() for item in flat(inner)] if value.dtype == object else value.ravel().tolist()
    return [value]
