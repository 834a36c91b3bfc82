"""Whether two images show one person: yes, not sure or no, at an operating point of the model.

limen compare model.safetensors a.jpg b.jpg
limen compare model.safetensors photo.jpg other.jpg --detector yunet
limen compare model.safetensors a.jpg b.jpg --fmr 1e-4 --max-fnmr 0.1
limen compare model.safetensors a.jpg b.jpg --html pair.html

`limen calibrate` keeps operating points in the model; without one there is a similarity and no answer. Not sure is a similarity between the
ends of the threshold's interval, and with --max-fnmr a quality of the worse image from which a higher FNMR is to be expected.
"""

import argparse
from dataclasses import asdict
from typing import Any

import numpy as np

from limen.cli.inference import add_inference_arguments, alignment_of, inference_options, model_options, open_faces
from limen.decision.operating_point import decide
from limen.errors import LimenError
from limen.inference.measures import create_measure
from limen.inference.table import embed_images
from limen.models.model import Model, model_name, open_model
from limen.models.operating_point import OperatingPoint
from limen.report.pair_page import write_pair_page


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="a bundle that limen wrote, or an ONNX file")
    parser.add_argument("a", metavar="A", help="an aligned image, or with --detector a photo")
    parser.add_argument("b", metavar="B", help="another")
    parser.add_argument("--fmr", type=float, metavar="RATE", help="false match rate of the operating point to use (the model's lowest)")
    parser.add_argument("--max-fnmr", type=float, metavar="RATE", help='answer "not sure" if this quality makes a higher FNMR expected')
    parser.add_argument("--html", metavar="FILE.html", help="write the two faces and what is found as one page")
    add_inference_arguments(parser)


def run(options: argparse.Namespace) -> dict[str, Any]:
    if options.max_fnmr is not None and not 0 < options.max_fnmr < 1:
        raise LimenError(f"--max-fnmr {options.max_fnmr:g}: a rate lies between 0 and 1; give 0.1 for one error in ten")
    embedder = open_model(options.model, **model_options(options))
    point = _point(embedder, options)
    files = sorted({options.a, options.b})  # in one order, so that comparing b with a gives the same to the bit
    source = open_faces(files, embedder.preprocessing.size, options)
    measures = [create_measure("quality", embedder=embedder)] if embedder.has_quality else []
    table = embed_images(embedder, source, measures=measures, **inference_options(options))
    for failure in table.failures.values():
        raise LimenError(failure)
    first, second = (table.vectors[files.index(file)].astype(float) for file in (options.a, options.b))
    result: dict[str, Any] = {"a": options.a, "b": options.b, "similarity": float(first @ second), **alignment_of(source)}
    result |= {"model": model_name(options.model), "model_sha256": embedder.description["model_sha256"]}
    expected = None
    if measures:
        (quality,) = table.qualities
        result["quality"] = [float(quality[files.index(file)]) for file in (options.a, options.b)]
        if embedder.calibration is not None and embedder.calibration.measure == "quality":
            result["percentile"] = embedder.calibration.percentile(np.array(result["quality"])).tolist()
            expected = result["expected_fnmr"] = float(embedder.calibration.expected_fnmr(np.array(min(result["quality"]))))
    if point is not None:
        result |= asdict(decide(result["similarity"], point, expected, options.max_fnmr)) | {"operating_point": point.summary}
    if options.html:
        write_pair_page(options.html, result, [source.image(files.index(file)) for file in (options.a, options.b)])
        result["page"] = options.html
    return result


def text(result: dict[str, Any]) -> str:
    said = "cosine similarity, -1 to 1"
    if "quality" in result:
        of = [f" (percentile {value:.1f})" for value in result.get("percentile", [])] or ["", ""]
        said += "; quality " + " and ".join(f"{value:.4f}{more}" for value, more in zip(result["quality"], of, strict=True))
    lines = [f"{result['similarity']:.4f}  {said}"]
    if point := result.get("operating_point"):
        lines.append(f"{result['answer']}: {result['reason']}")
        found = f"found on {point['people']:,} people of {point['reference']}"
        lines.append(f"at FMR {point['fmr']:g}, threshold {point['threshold']:.4f}, {found}")
    else:
        lines.append("no threshold is known: `limen calibrate MODEL --folders PEOPLE` finds the one of a false match rate")
    return "\n".join([*lines, *([f"open {result['page']}"] if "page" in result else [])])


def _point(embedder: Model, options: argparse.Namespace) -> OperatingPoint | None:
    points = embedder.operating_points
    if options.fmr is None and (points or options.max_fnmr is None):
        return points[-1] if points else None
    for point in points:
        if point.fmr == options.fmr:
            return point
    known = ", ".join(f"{point.fmr:g}" for point in points) or "none"
    wanted = "any" if options.fmr is None else f"{options.fmr:g}"
    raise LimenError(f"{options.model}: has no operating point at an FMR of {wanted} (known: {known}); run `limen calibrate`")
