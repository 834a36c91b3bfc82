"""Qualities of images for people to read: rows with their meaning, a CSV file, and a contact sheet from worst to best."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from markupsafe import Markup

from limen.data import ImageSource
from limen.quality import Calibration
from limen.report.html import Section, face_grid, write_report
from limen.tables import write_csv

COLUMNS = ("file", "quality", "percentile", "expected_fnmr", "fnmr_low", "fnmr_high")
FACES, SIDE = 300, 96  # of the contact sheet: 300 pictures of 96 pixels are a page of about 7 MB


def quality_rows(files: Sequence[Path], quality: np.ndarray, calibration: Calibration | None) -> list[dict[str, Any]]:
    """A row for every image, in the order given; None for a failure to acquire, and for what only a calibration could tell."""
    meaning = [np.full(len(quality), np.nan)] * 4
    if calibration is not None:
        meaning = [calibration.percentile(quality), calibration.expected_fnmr(quality), *calibration.fnmr_interval(quality)]
    table = [[None if np.isnan(value) else value for value in row] for row in np.stack([quality, *meaning], 1).tolist()]
    return [dict(zip(COLUMNS, (str(file), *row), strict=True)) for file, row in zip(files, table, strict=True)]


def write_quality_csv(path: str, rows: list[dict[str, Any]]) -> None:
    """The rows as a CSV file, empty where there is None."""
    write_csv(path, COLUMNS, ([row[column] for column in COLUMNS] for row in rows))


def write_quality_sheet(path: str, title: str, source: ImageSource, result: dict[str, Any]) -> int:
    """The faces of what `limen quality` found, from worst to best, as one page; returns the number of faces on it."""
    ranked = sorted(result["images"], key=lambda row: row["quality"])
    places = np.unique(np.linspace(0, len(ranked) - 1, min(len(ranked), FACES)).round().astype(int))
    number = {source.locate(k): k for k in range(len(source))}
    images = [cv2.resize(source.image(number[ranked[k]["file"]]), (SIDE, SIDE), interpolation=cv2.INTER_AREA) for k in places]
    said = f"{len(ranked):,} faces" if len(places) == len(ranked) else f"{len(places)} of {len(ranked):,} faces, evenly spaced in rank"
    calibration = result["calibration"]
    meaning = calibration_text(calibration) if calibration is not None else result["remark"]
    meaning += f" Model {result['model']}, SHA-256 {result['model_sha256']}."
    sections = [Section("From worst to best", face_grid(images, [_caption(ranked[k]) for k in places]), f"{said}, row by row. {meaning}")]
    if result["failures"]:
        items = Markup("").join(Markup("<li>{}</li>").format(failure) for failure in result["failures"])
        sections.append(
            Section("Failures to acquire", Markup("<ul>{}</ul>").format(items), "Images that could not be used; they have no score.")
        )
    write_report(path, title, [], sections)
    return len(places)


def calibration_text(calibration: dict[str, Any]) -> str:
    """What percentile and expected FNMR mean, from the summary of a calibration."""
    found = {name: f"{value:,}" if isinstance(value, int) else value for name, value in calibration.items()}
    return (
        f"Percentile: among the {found['images']} images of {found['reference']}. Expected FNMR: of mated pairs whose worse image has this "
        f"score, at cosine {found['threshold']:.4f} (FMR {found['fmr']:g}); from {found['mated']} mated pairs, of which "
        f"{found['false_non_matches']} were rejected. Of a face worse than all of those no upper end is known."
    )


def percent(rate: float) -> str:
    """A rate as a calibration means it: no non-match among the pairs calibrated on is not the same as never."""
    return f"{100 * rate:.2f} %" if rate else "none met"


def percents(row: dict[str, Any]) -> str:
    """The interval of an expected FNMR, both ends in percent."""
    return f"{100 * row['fnmr_low']:.2f} to {100 * row['fnmr_high']:.2f}"


def _caption(row: dict[str, Any]) -> str:
    meaning = (
        []
        if row["percentile"] is None
        else [f"percentile {row['percentile']:.1f}", f"FNMR {percent(row['expected_fnmr'])} ({percents(row)})"]
    )
    return ", ".join([f"{row['quality']:.4f}", *meaning, "/".join(Path(row["file"]).parts[-2:])])
