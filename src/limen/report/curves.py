"""The curves of results as a table that other tools open."""

from collections.abc import Iterator, Sequence
from os import PathLike
from typing import Any

from limen.protocols import Result
from limen.tables import write_csv

COLUMNS = ("pairs", "model", "quality", "threshold", "curve", "fmr", "discard", "error", "pairs_left")
AXES = {"edc": ("fnmr", "mated_left"), "fm-edc": ("fmr", "non_mated_left")}


def write_edc_csv(path: str | PathLike[str], results: Sequence[Result]) -> None:
    """A row for every point of every error-versus-discard curve of `results`, under COLUMNS.

    The error is the FNMR and the pairs left are mated in a curve "edc"; the FMR and non-mated in "fm-edc". `fmr` is the one at which
    the threshold was set, "fixed" or "per_step". Raises LimenError where the file cannot be written.
    """
    write_csv(path, COLUMNS, (row for result in results for row in _points(result)))


def _points(result: Result) -> Iterator[tuple[Any, ...]]:
    if result.discarding is not None:
        start = (result.name, result.model, result.discarding.quality, result.discarding.threshold)
        for curve in result.curves:
            if curve.kind in AXES:
                points = zip(*(curve.points[axis] for axis in ("discard", *AXES[curve.kind])), strict=True)
                yield from ((*start, curve.kind, f"{curve.at['fmr']:g}", *point) for point in points)
