"""The curves of results as a table that other tools open."""

import csv
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from limen.files import atomic_write
from limen.protocols import Result

COLUMNS = ("pairs", "model", "quality", "threshold", "curve", "fmr", "discard", "error", "pairs_left")
AXES = {"edc": ("fnmr", "mated_left"), "fm-edc": ("fmr", "non_mated_left")}


def write_edc_csv(path: str | PathLike[str], results: Sequence[Result]) -> None:
    """A row for every point of every error-versus-discard curve of `results`, under COLUMNS.

    The error is the FNMR and the pairs left are mated in a curve "edc"; the FMR and non-mated in "fm-edc". `fmr` is the one at which
    the threshold was set, "fixed" or "per_step". Raises LimenError where the file cannot be written.
    """

    def write(temporary: Path) -> None:
        with open(temporary, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            table = csv.writer(file)
            table.writerow(COLUMNS)
            for result in results:
                if result.discarding is None:
                    continue
                start = (result.name, result.model, result.discarding.quality, result.discarding.threshold)
                for curve in result.curves:
                    if curve.kind in AXES:
                        points = zip(*(curve.points[axis] for axis in ("discard", *AXES[curve.kind])), strict=True)
                        table.writerows((*start, curve.kind, f"{curve.at['fmr']:g}", *point) for point in points)

    atomic_write(Path(path), write)
