"""Find the threshold of an error budget, and what quality scores mean, and keep both in the model file.

  limen calibrate model.safetensors --folders people/                          # all pairs of the images in it
  limen calibrate model.safetensors --folders own/ --impostors public/         # false matches from others than false non-matches
  limen calibrate model.safetensors --gallery enrolled/ --probe visitors/      # each image of the one against each of the other
  limen calibrate model.safetensors --pairs heldout.bin --fmr 1e-3 1e-4
  limen calibrate ada.safetensors arc.onnx --folders people/ --fmr 1e-3        # a table of thresholds by model
  limen calibrate model.safetensors --pairs pairs.txt --images faces/ --out calibrated.safetensors
  limen calibrate recogniser.onnx --pairs heldout.bin --measure crfiqa.safetensors     # kept in recogniser.onnx.json

The people have to be others than the model was trained on, and like those it will meet. --fmr is the budget: the share of pairs of two
people that may be accepted. Its threshold is kept with an interval over people; from the high end on, other people keep the budget too.
Report it on people who are not among these: `limen evaluate --at-threshold`.

With a quality head or --measure, the images are the reference of percentiles, and the mated pairs tell how the share rejected at the
threshold of the first --fmr falls with quality. The weights stay as they are. A later calibration replaces what it finds anew.
The file then holds a short hash of each person's name, so that an overlap with those judged on can be told. Whoever has a list of names can
tell which of them it was made of.
"""

import argparse
import math
from pathlib import Path
from typing import Any

import numpy as np

from limen.cli.inference import add_inference_arguments, inference_options, model_options, of_faces, open_faces
from limen.cli.progress import progress_bar
from limen.data import FolderSource, open_pairs
from limen.decision.calibrate import CalibrationSet, calibrate, folder_sha256, set_of_pairs
from limen.decision.operating_point import budgets
from limen.errors import LimenError
from limen.files import file_sha256
from limen.inference.measures import create_measure, measure_identity
from limen.models.model import Model, model_name, open_model
from limen.models.operating_point import OperatingPoint
from limen.quality import Calibration
from limen.report import distinct
from limen.report.quality_sheet import percent, percents

PERCENTILES = (1, 10, 25, 50, 75, 90)
PEOPLE = 50  # fewer make an interval over people hold the truth less often than it says: benchmarks/coverage.py
MOST = 20_000_000  # pairs of --gallery and --probe
DEPENDABLE = 30  # errors: the rate is then within 30 % of the true one nine times out of ten (Doddington et al., 2000)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("models", nargs="+", metavar="MODEL", help="bundles that limen wrote, or ONNX files")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--pairs", metavar="FILE", help="a .bin file, or a text list in LFW's format")
    where.add_argument("--folders", metavar="DIR", help="people, one folder of images each: all pairs of the images")
    where.add_argument("--gallery", metavar="DIR", help="people, one folder of images each, who meet those of --probe alone")
    parser.add_argument("--probe", metavar="DIR", help="people, one folder of images each, named as in --gallery where they are there too")
    parser.add_argument("--images", metavar="DIR", help="the folder of the images that text lists name")
    parser.add_argument(
        "--impostors", metavar="DIR|FILE", help="a folder of people or pairs whose non-mated pairs set the threshold instead"
    )
    parser.add_argument("--fmr", nargs="+", type=float, default=[1e-3], metavar="RATE", help="false match rates of the thresholds (1e-3)")
    parser.add_argument("--measure", metavar="NAME", help="see limen quality (the model's quality head, where it has one)")
    parser.add_argument("--out", metavar="FILE", help="write the calibrated model there (MODEL itself)")
    add_inference_arguments(parser)


def run(options: argparse.Namespace) -> dict[str, Any]:
    if bool(options.gallery) != bool(options.probe):
        raise LimenError("--gallery and --probe: both are needed, a folder of people each")
    budgets(options.fmr)
    if options.out and len(options.models) > 1:
        raise LimenError("--out: is for one model; leave it out, and each keeps its own")
    paths = [Path(model) for model in options.models]
    opened = [open_model(path, **model_options(options)) for path in options.models]
    for embedder in opened:  # before the images: a wrong path should not cost their reading
        embedder.calibration_file(options.out)
    names = distinct([model_name(path) for path in paths], paths)
    return {"models": [_calibrated(name, embedder, options) for name, embedder in zip(names, opened, strict=True)]}


def _calibrated(model: str, embedder: Model, options: argparse.Namespace) -> dict[str, Any]:
    people = _sides(embedder, options) if options.gallery else _opened(options.folders or options.pairs, embedder, options)
    impostors = _opened(options.impostors, embedder, options) if options.impostors else None
    spec = options.measure or ("quality" if embedder.has_quality else None)
    measure = create_measure(spec, embedder=embedder, **model_options(options)) if spec else None
    measured = measure_identity(spec, measure, embedder) if spec and measure else ""
    with progress_bar(f"scoring {people.name}") as progress:
        points, calibration, failures = calibrate(
            embedder, people, options.fmr, impostors, measure, measured, progress=progress, **inference_options(options)
        )
    out = str(embedder.save_calibration(calibration, options.out, points))
    return {
        "model": model,
        "out": out,
        "model_sha256": embedder.description["model_sha256"],
        "operating_points": [point.summary for point in points],
        "calibration": calibration.summary if calibration else None,
        "percentiles": _percentiles(calibration) if calibration else [],
        "remarks": _remarks(points, calibration),
        "failures": failures,
    }


def _opened(path: str, embedder: Model, options: argparse.Namespace) -> CalibrationSet:
    """A folder of people, or a file of pairs."""
    size = embedder.preprocessing.size
    if not Path(path).exists():
        raise LimenError(f"{path}: no such file or folder; give a folder that holds a folder of images per person, or a file of pairs")
    if not Path(path).is_dir() and path != options.folders:
        return set_of_pairs(of_faces(open_pairs(path, options.images, size), options), file_sha256(path))
    folder = FolderSource(path, size)
    files = [folder.locate(index) for index in range(len(folder))]
    digest = folder_sha256(files, [folder.class_names[label] for label in folder.labels])
    return CalibrationSet(Path(path).resolve().name, open_faces(files, size, options), folder.labels, folder.class_names, digest)


def _sides(embedder: Model, options: argparse.Namespace) -> CalibrationSet:
    """Each image of --gallery against each of --probe."""
    size = embedder.preprocessing.size
    sides = [FolderSource(folder, size) for folder in (options.gallery, options.probe)]
    if Path(options.gallery).resolve() == Path(options.probe).resolve():
        raise LimenError(f"{options.probe}: is the gallery itself; give --folders for all pairs of one folder")
    enrolled, probes = (len(side) for side in sides)
    if enrolled * probes > MOST:
        raise LimenError(f"--gallery, --probe: {enrolled:,} and {probes:,} images make more than {MOST:,} pairs; give fewer images")
    people = [side.class_names[label] for side in sides for label in side.labels]
    names, subject = np.unique(people, return_inverse=True)
    first, second = np.repeat(np.arange(enrolled), probes), np.tile(enrolled + np.arange(probes), enrolled)
    files = [side.locate(index) for side in sides for index in range(len(side))]
    name = f"{Path(options.gallery).resolve().name} and {Path(options.probe).resolve().name}"
    digest, source = folder_sha256(files, people), open_faces(files, size, options)
    return CalibrationSet(name, source, subject, names.tolist(), digest, first, second, subject[first] == subject[second])


def _percentiles(calibration: Calibration) -> list[dict[str, Any]]:
    scores = np.percentile(calibration.quantiles, PERCENTILES)
    table = (scores, calibration.expected_fnmr(scores), *calibration.fnmr_interval(scores))
    names = ("quality", "expected_fnmr", "fnmr_low", "fnmr_high")
    return [
        {"percentile": percentile, **dict(zip(names, row, strict=True))}
        for percentile, row in zip(PERCENTILES, np.stack(table, 1).tolist(), strict=True)
    ]


def text(result: dict[str, Any]) -> str:
    lines = []
    for found in result["models"]:
        if failures := found["failures"]:
            lines += [f"{found['model']}: {len(failures)} images could not be used:", *failures[:10]]
    lines += _table(result["models"])
    for found in result["models"]:
        lines += _of_quality(found) if found["calibration"] else []
        lines += [*found["remarks"], f"kept in {found['out']}"]
    return "\n".join(lines)


def _table(models: list[dict[str, Any]]) -> list[str]:
    """The thresholds by model."""
    point = models[0]["operating_points"][0]
    width = max(5, *(len(found["model"]) for found in models))
    lines = [
        f"thresholds on {point['reference']}, {point['people']:,} people, {point['non_mated']:,} non-mated and {point['mated']:,} mated "
        "pairs:",
        f"  {'model':{width}s} {'FMR':>8s} {'threshold':>9s} {'95 % interval':>16s} {'false matches':>13s} {'FNMR':>8s} "
        f"{'95 % interval':>16s}",
    ]
    for found in models:
        for row in found["operating_points"]:
            ends = f"{row['low']:.4f} to {row['high']:.4f}"
            rates = f"{100 * row['fnmr_low']:.2f} to {100 * row['fnmr_high']:.2f}"
            lines.append(
                f"  {found['model']:{width}s} {row['fmr']:>8g} {row['threshold']:>9.4f} {ends:>16s} {row['false_matches']:>13,} "
                f"{100 * row['fnmr']:>6.2f} % {rates:>16s}"
            )
    return lines


def _of_quality(found: dict[str, Any]) -> list[str]:
    calibration = found["calibration"]
    lines = [
        f"{calibration['measure']} of {found['model']}, {calibration['images']:,} images, threshold at FMR {calibration['fmr']:g}:",
        f"  {'percentile':>10s} {'score':>12s} {'expected FNMR':>13s} {'95 % interval':>16s}",
    ]
    for row in found["percentiles"]:
        lines.append(f"  {row['percentile']:>10d} {row['quality']:>12.4f} {percent(row['expected_fnmr']):>13s} {percents(row):>16s}")
    return lines


def _remarks(points: tuple[OperatingPoint, ...], calibration: Calibration | None) -> list[str]:
    """What the numbers are too few for."""
    remarks = [
        f"The threshold rests on {point.false_matches} false matches; {DEPENDABLE} make it dependable to about a third: "
        f"{math.ceil(DEPENDABLE / point.fmr):,} non-mated pairs at an FMR of {point.fmr:g}."
        for point in points
        if point.false_matches < DEPENDABLE
    ]
    if points and points[0].people < PEOPLE:
        remarks.append(f"The intervals rest on {points[0].people} people; of fewer than {PEOPLE} they are often too narrow.")
    if not all(point.people_sha256 for point in points):
        remarks.append("The data names nobody: whether other data holds the same people cannot be told later.")
    if calibration is not None and calibration.may_be_constant:
        remarks.append(
            "That the expected FNMR falls with the score at all is not shown: one rate for all scores lies within the intervals. "
            "Use more mated pairs, or a lower --fmr."
        )
    return remarks
