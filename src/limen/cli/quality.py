"""Quality of aligned face images: a score, higher for a better one; where the model is calibrated, also its percentile and expected FNMR.

  limen quality model.safetensors faces/ --csv scores.csv --sheet sheet.html
  limen quality model.safetensors a.jpg b.jpg
  limen quality model.safetensors faces/ --measure sharpness

The measure is the model's own quality head, or with --measure
  norm                              the length of the model's features; it needs any model
  magface_norm                      the same; it needs a model trained with MagFace's margin
  quality:OTHER, norm:OTHER, OTHER  of another model, OTHER alone meaning its quality head
  sharpness, resolution, exposure   of the pixels; they need nothing else
  face_size:FILE.csv                of the face's box in the photo; it needs a list with the columns file, width, height
  package.module:Class              one of your own

`limen calibrate` finds what scores mean. Images that cannot be read are reported, not scored, and have an empty row in the CSV.
"""

import argparse
import csv
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from markupsafe import Markup

from limen.cli.progress import progress_bar
from limen.data import FileSource, list_images
from limen.files import atomic_write
from limen.inference.measures import OF_A_MODEL, create_measure, measure_identity, model_name
from limen.models.model import Model, open_model
from limen.protocols import score_images
from limen.quality import Calibration
from limen.report import Section, face_grid, write_report

COLUMNS = ("file", "quality", "percentile", "expected_fnmr", "fnmr_low", "fnmr_high")
LISTED = 20  # lines of the text; --csv and --json have them all
FACES, SIDE = 300, 96  # of the contact sheet: 300 pictures of 96 pixels are a page of about 7 MB


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a bundle that limen wrote, or an ONNX file")
    parser.add_argument("images", nargs="+", metavar="IMAGE|DIR", help="aligned images, or folders that are searched for them")
    parser.add_argument("--measure", default="quality", metavar="NAME", help="what to measure (quality: the model's quality head)")
    parser.add_argument("--csv", metavar="FILE.csv", help=f"write {', '.join(COLUMNS)} of every image, empty where it cannot be used")
    parser.add_argument("--sheet", metavar="FILE.html", help="write the faces from worst to best as one page")
    parser.add_argument("--resize", action="store_true", help="resize images that are not 112x112 instead of refusing them")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (cpu)")


def run(options: argparse.Namespace) -> dict[str, Any]:
    source = FileSource(list_images(options.images), on_other_size="resize" if options.resize else "refuse")
    embedder = open_model(options.model, options.device)
    measure = create_measure(options.measure, options.device, embedder)
    calibration = embedder.calibration
    applies = calibration is not None and calibration.measure == measure_identity(options.measure, measure, embedder)
    with progress_bar("scoring") as progress:
        (scored,) = score_images([measure], source, progress=progress)
    rows = _rows(source, scored.values[0], calibration if applies else None)
    result = {
        "model": options.model,
        "model_sha256": embedder.description["model_sha256"],
        "measure": measure.name,
        "calibration": calibration.summary if calibration is not None and applies else None,
        "images": [row for row in rows if row["quality"] is not None],
        "failures": list(scored.failures.values()),
        "remark": "" if applies else _remark(embedder, options),
    }
    if options.csv:
        atomic_write(Path(options.csv), lambda path: _write_csv(path, rows))
        result["csv"] = options.csv
    if options.sheet:
        result["faces_in_sheet"] = _write_sheet(options.sheet, source, result)
        result["sheet"] = options.sheet
    return result


def text(result: dict[str, Any]) -> str:
    failures = result["failures"]
    lines = [f"{len(failures)} images could not be used:", *failures[:10]] if failures else []
    ranked = sorted(result["images"], key=lambda row: row["quality"])
    lines.append(f"{result['measure']}, from worst to best:")
    if calibrated := result["calibration"] is not None:
        lines.append(f"{'score':>12s} {'percentile':>10s} {'expected FNMR':>13s} {'95 % interval':>16s}  file")
    shown = [*ranked[: LISTED // 2], None, *ranked[-LISTED // 2 :]] if len(ranked) > LISTED else ranked
    for row in shown:
        if row is None:
            lines.append(f"{'...':>12s}  {len(ranked) - LISTED} more (--csv FILE.csv and --json have them all)")
        else:
            meaning = f" {row['percentile']:>10.1f} {percent(row['expected_fnmr']):>13s} {percents(row):>16s}" if calibrated else ""
            lines.append(f"{row['quality']:>12.4f}{meaning}  {row['file']}")
    lines += [_meaning(result["calibration"]) if calibrated else result["remark"]]
    lines += [f"open {result['sheet']}"] if "sheet" in result else []
    return "\n".join(lines)


def _rows(source: FileSource, quality: np.ndarray, calibration: Calibration | None) -> list[dict[str, Any]]:
    """A row for every image, in the order given; None for a failure to acquire, and for what only a calibration could tell."""
    meaning = [np.full(len(quality), np.nan)] * 4
    if calibration is not None:
        meaning = [calibration.percentile(quality), calibration.expected_fnmr(quality), *calibration.fnmr_interval(quality)]
    table = [[None if np.isnan(value) else value for value in row] for row in np.stack([quality, *meaning], 1).tolist()]
    return [dict(zip(COLUMNS, (source.locate(number), *row), strict=True)) for number, row in enumerate(table)]


def _remark(embedder: Model, options: argparse.Namespace) -> str:
    """Why there is a score and no more, and what to do about it."""
    measure = "" if options.measure == "quality" else f" --measure {options.measure}"
    command = f"`limen calibrate {options.model} --pairs FILE{measure}` adds percentile and expected FNMR"
    if (calibration := embedder.calibration) is not None:
        return f"The model is calibrated for {calibration.measure}, not for {options.measure}; {command}."
    return f"The model is not calibrated, so a score orders images and says no more; {command}."


def _meaning(calibration: dict[str, Any]) -> str:
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


def _write_csv(path: Path, rows: list[dict[str, Any]]) -> None:
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def _write_sheet(path: str, source: FileSource, result: dict[str, Any]) -> int:
    """The contact sheet; returns the number of faces on it."""
    ranked = sorted(result["images"], key=lambda row: row["quality"])
    places = np.unique(np.linspace(0, len(ranked) - 1, min(len(ranked), FACES)).round().astype(int))
    number = {source.locate(k): k for k in range(len(source))}
    images = [cv2.resize(source.image(number[ranked[k]["file"]]), (SIDE, SIDE), interpolation=cv2.INTER_AREA) for k in places]
    said = f"{len(ranked):,} faces" if len(places) == len(ranked) else f"{len(places)} of {len(ranked):,} faces, evenly spaced in rank"
    calibration = result["calibration"]
    meaning = _meaning(calibration) if calibration is not None else result["remark"]
    meaning += f" Model {result['model']}, SHA-256 {result['model_sha256']}."
    sections = [Section("From worst to best", face_grid(images, [_caption(ranked[k]) for k in places]), f"{said}, row by row. {meaning}")]
    if result["failures"]:
        items = Markup("").join(Markup("<li>{}</li>").format(failure) for failure in result["failures"])
        sections.append(
            Section("Failures to acquire", Markup("<ul>{}</ul>").format(items), "Images that could not be used; they have no score.")
        )
    whose = f" of {model_name(result['model'])}" if result["measure"] in OF_A_MODEL else ""
    write_report(path, f"Faces by {result['measure']}{whose}", [], sections)
    return len(places)


def _caption(row: dict[str, Any]) -> str:
    meaning = (
        []
        if row["percentile"] is None
        else [f"percentile {row['percentile']:.1f}", f"FNMR {percent(row['expected_fnmr'])} ({percents(row)})"]
    )
    return ", ".join([f"{row['quality']:.4f}", *meaning, "/".join(Path(row["file"]).parts[-2:])])
