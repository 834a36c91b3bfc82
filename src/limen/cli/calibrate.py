"""Find what a model's quality scores mean, and keep it in the model file: percentiles, and the false non-match rate to expect.

  limen calibrate model.safetensors --pairs heldout.bin
  limen calibrate model.safetensors --pairs pairs.txt --images faces/ --fmr 1e-2 --out calibrated.safetensors
  limen calibrate model.safetensors --pairs heldout.bin --measure norm
  limen calibrate recogniser.onnx --pairs heldout.bin --measure crfiqa.safetensors     # kept in recogniser.onnx.json

The pairs have to be of people whom the model was not trained on, and like those it will meet. Their images are the reference of the
percentiles; their non-mated pairs set the threshold at the false match rate asked for; their mated pairs tell how the share rejected
there falls with quality. The weights stay as they are. `limen quality` uses what was found, until the next calibration.
`limen data pairs` draws pairs from a folder of people.
"""

import argparse
import math
from typing import Any

import numpy as np

from limen.cli.inference import add_inference_arguments, inference_options, model_options, of_faces
from limen.cli.progress import progress_bar
from limen.data import open_pairs
from limen.decision.fit_calibration import calibrate
from limen.inference.measures import create_measure, measure_identity
from limen.models.model import open_model
from limen.quality import Calibration
from limen.report.quality_sheet import percent, percents

PERCENTILES = (1, 10, 25, 50, 75, 90)
DEPENDABLE = 30  # errors: the rate is then within 30 % of the true one nine times out of ten (Doddington et al., 2000)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a bundle that limen wrote, or an ONNX file")
    parser.add_argument("--pairs", required=True, metavar="FILE", help="a .bin file, or a text list in LFW's format")
    parser.add_argument("--images", metavar="DIR", help="the folder of the images that a text list names")
    parser.add_argument("--fmr", type=float, default=1e-3, help="false match rate of the threshold (1e-3)")
    parser.add_argument("--measure", default="quality", metavar="NAME", help="see limen quality (quality: the model's quality head)")
    parser.add_argument("--out", metavar="FILE", help="write the calibrated model there (MODEL itself)")
    add_inference_arguments(parser)


def run(options: argparse.Namespace) -> dict[str, Any]:
    embedder = open_model(options.model, **model_options(options))
    embedder.calibration_file(options.out)  # before the images: a wrong path should not cost their reading
    pairs = of_faces(open_pairs(options.pairs, options.images, embedder.preprocessing.size), options)
    measure = create_measure(options.measure, embedder=embedder, **model_options(options))
    name = measure_identity(options.measure, measure, embedder)
    with progress_bar(f"scoring {pairs.name}") as progress:
        calibration, failures = calibrate(embedder, pairs, measure, name, options.fmr, progress=progress, **inference_options(options))
    out = str(embedder.save_calibration(calibration, options.out))
    scores = np.percentile(calibration.quantiles, PERCENTILES)
    table = (scores, calibration.expected_fnmr(scores), *calibration.fnmr_interval(scores))
    names = ("quality", "expected_fnmr", "fnmr_low", "fnmr_high")
    return {
        "out": out,
        "model_sha256": embedder.description["model_sha256"],
        "calibration": calibration.summary,
        "percentiles": [
            {"percentile": percentile, **dict(zip(names, row, strict=True))}
            for percentile, row in zip(PERCENTILES, np.stack(table, 1).tolist(), strict=True)
        ],
        "remarks": _remarks(calibration),
        "failures": list(failures.values()),
    }


def text(result: dict[str, Any]) -> str:
    found, failures = result["calibration"], result["failures"]
    lines = [f"{len(failures)} images could not be used:", *failures[:10]] if failures else []
    lines += [
        f"{found['measure']} on {found['reference']}, {found['images']:,} images:",
        f"  cosine {found['threshold']:.4f} accepts {found['false_matches']:,} of {found['non_mated']:,} non-mated pairs "
        f"(FMR {found['fmr']:g}) and rejects {found['false_non_matches']:,} of {found['mated']:,} mated ones",
        f"  {'percentile':>10s} {'score':>12s} {'expected FNMR':>13s} {'95 % interval':>16s}",
    ]
    for row in result["percentiles"]:
        lines.append(f"  {row['percentile']:>10d} {row['quality']:>12.4f} {percent(row['expected_fnmr']):>13s} {percents(row):>16s}")
    return "\n".join([*lines, *result["remarks"], f"kept in {result['out']}"])


def _remarks(calibration: Calibration) -> list[str]:
    """What the numbers are too few for."""
    remarks = []
    if calibration.false_matches < DEPENDABLE:
        remarks.append(
            f"The threshold rests on {calibration.false_matches} false matches; {DEPENDABLE} make it dependable to about a third: "
            f"{math.ceil(DEPENDABLE / calibration.fmr):,} non-mated pairs at this FMR."
        )
    if calibration.may_be_constant:
        remarks.append(
            "That the expected FNMR falls with the score at all is not shown: one rate for all scores lies within the intervals. "
            "Use more mated pairs, or a lower --fmr."
        )
    return remarks
