"""Quality of aligned face images: a score, higher for a better one; where the model is calibrated, also its percentile and expected FNMR.

  limen quality model.safetensors faces/ --csv scores.csv --sheet sheet.html
  limen quality model.safetensors a.jpg b.jpg
  limen quality model.safetensors photos/ --detector yunet
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
from typing import Any

import numpy as np

from limen.cli.inference import add_inference_arguments, alignment_of, inference_options, model_options, open_faces
from limen.cli.progress import progress_bar
from limen.data import list_images
from limen.inference.measures import OF_A_MODEL, create_measure, measure_identity
from limen.inference.table import embed_images, without_quality
from limen.models.model import Model, model_name, open_model
from limen.report.quality_sheet import COLUMNS, calibration_text, percent, percents, quality_rows, write_quality_csv, write_quality_sheet

LISTED = 20  # lines of the text; --csv and --json have them all


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a bundle that limen wrote, or an ONNX file")
    parser.add_argument("images", nargs="+", metavar="IMAGE|DIR", help="aligned images, with --detector photos, or folders of them")
    parser.add_argument("--measure", default="quality", metavar="NAME", help="what to measure (quality: the model's quality head)")
    parser.add_argument("--csv", metavar="FILE.csv", help=f"write {', '.join(COLUMNS)} of every image, empty where it cannot be used")
    parser.add_argument("--sheet", metavar="FILE.html", help="write the faces from worst to best as one page")
    parser.add_argument("--resize", action="store_true", help="resize images of another size than the model's, instead of refusing them")
    add_inference_arguments(parser)


def run(options: argparse.Namespace) -> dict[str, Any]:
    files = list_images(options.images)
    embedder = open_model(options.model, **model_options(options))
    source = open_faces(files, embedder.preprocessing.size, options)
    measure = create_measure(options.measure, embedder=embedder, **model_options(options))
    calibration = embedder.calibration
    applies = calibration is not None and calibration.measure == measure_identity(options.measure, measure, embedder)
    with progress_bar("scoring") as progress:
        table = embed_images(None, source, progress=progress, measures=[measure], **inference_options(options))
    (quality,) = table.qualities
    rows = quality_rows(files, quality, calibration if applies else None)
    result = {
        "model": options.model,
        "model_sha256": embedder.description["model_sha256"],
        "measure": measure.name,
        "calibration": calibration.summary if calibration is not None and applies else None,
        "images": [row for row in rows if row["quality"] is not None],
        "failures": list((without_quality(quality, measure.name, source, np.arange(len(source))) | table.failures).values()),
        "remark": "" if applies else _remark(embedder, options),
    }
    result |= alignment_of(source)
    if options.csv:
        write_quality_csv(options.csv, rows)
        result["csv"] = options.csv
    if options.sheet:
        whose = f" of {model_name(options.model)}" if measure.name in OF_A_MODEL else ""
        result["faces_in_sheet"] = write_quality_sheet(options.sheet, f"Faces by {measure.name}{whose}", source, result)
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
    lines += [calibration_text(result["calibration"]) if calibrated else result["remark"]]
    lines += [f"open {result['sheet']}"] if "sheet" in result else []
    return "\n".join(lines)


def _remark(embedder: Model, options: argparse.Namespace) -> str:
    """Why there is a score and no more, and what to do about it."""
    measure = "" if options.measure == "quality" else f" --measure {options.measure}"
    command = f"`limen calibrate {options.model} --pairs FILE{measure}` adds percentile and expected FNMR"
    if (calibration := embedder.calibration) is not None:
        return f"The model is calibrated for {calibration.measure}, not for {options.measure}; {command}."
    return f"The model is not calibrated, so a score orders images and says no more; {command}."
