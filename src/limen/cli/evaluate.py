"""Judge a model on pairs of images: k-fold accuracy, TAR@FAR and EER with subject-bootstrap intervals, as JSON and one HTML page.

limen evaluate model.safetensors --pairs lfw.bin cfp_fp.bin --out report/
limen evaluate model.safetensors --pairs pairs.txt --images lfw/ --out report/
limen evaluate runs/adaface/model.safetensors runs/arcface/model.safetensors --pairs lfw.bin --out report/
limen evaluate model.safetensors --pairs lfw.bin --quality crfiqa.safetensors sharpness random --out report/

With --quality, error versus discard in place of accuracy: how well each quality of the images foretells the model's errors, and a table
of the curves (edc.csv). The others are compared with the first. A quality is
  sharpness, resolution, exposure          a measure of the pixels
  MODEL, norm:MODEL, magface_norm:MODEL    the quality head of a model, or the length of its features
  face_size:FILE.csv                       the boxes in a list with the columns file, width, height
  FILE.csv                                 of the columns file and quality, empty where an image has none; the file is the image's path,
                                           or as in "lfw.bin image 7"
  random                                   the mean of ten random orders, which know nothing

A text list is LFW's pairs.txt: a line `folds pairs`, then `name i j` for two images of one person and `name i other j` for two people,
which are looked for as name/name_0001.jpg, name/0001.jpg and the like; i and j may also be file names. `limen data pairs` draws such a
list from a folder of people. A .bin file names no people: intervals then draw groups that mated pairs join, unless --subjects FILE.csv
names the person in each image ("lfw.bin image 7"). A report of other models or pairs in DIR is not overwritten.
"""

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from limen.cli.inference import add_inference_arguments, inference_options, model_options
from limen.cli.progress import progress_bar
from limen.data.pairs import PairSet, open_pairs, with_subjects
from limen.errors import LimenError
from limen.files import file_sha256
from limen.inference.measures import create_measure, file_of, model_name
from limen.models.model import open_model
from limen.protocols import ErrorVersusDiscard, QualityMeasure, Result, Verification, random_orders, read_quality_csv
from limen.report import check_earlier, distinct, result_summary, write_evaluation

FMR = (1e-2, 1e-3, 1e-4)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("models", nargs="+", metavar="MODEL", help="bundles that limen wrote, or ONNX files; several are set side by side")
    parser.add_argument("--pairs", nargs="+", required=True, metavar="FILE", help=".bin files, or text lists in LFW's format")
    parser.add_argument("--images", metavar="DIR", help="the folder of the images that text lists name")
    parser.add_argument("--quality", nargs="+", metavar="QUALITY", help="judge these qualities by error versus discard (see above)")
    parser.add_argument("--fmr", nargs="+", type=float, metavar="RATE", help="of --quality (0.01 0.001 0.0001)")
    parser.add_argument(
        "--edc-threshold",
        choices=["fixed", "per_step"],
        help="of --quality: of all pairs (fixed), or found again at every step as in CR-FIQA's tables (per_step)",
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for result.json, report.html and, of --quality, edc.csv")
    parser.add_argument("--no-flip", action="store_true", help="embed the image alone, without its mirror image")
    parser.add_argument("--replicates", type=int, default=1000, help="of the bootstrap over subjects (1000)")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap (0)")
    parser.add_argument("--subjects", metavar="FILE.csv", help="who is in the images of .bin files: the columns file and subject")
    add_inference_arguments(parser)


def run(options: argparse.Namespace) -> dict[str, Any]:
    out, paths = Path(options.out), [Path(model) for model in options.models]
    protocols = _protocols(options)  # before the models: a wrong path should not cost their loading
    models = distinct([model_name(path) for path in paths], paths)
    check_earlier(out, {(protocol.pair_set.name, model) for protocol in protocols for model in models})
    results: list[Result] = []
    for model, path in zip(models, paths, strict=True):
        embedder = open_model(path, **model_options(options))
        for protocol in protocols:
            with progress_bar(protocol.pair_set.name) as progress:
                found = protocol.run(embedder, model, progress, **inference_options(options))
            results += found if isinstance(found, list) else [found]
    title = f"{', '.join(models)} on {', '.join(protocol.pair_set.name for protocol in protocols)}"
    return write_evaluation(out, title, results) | result_summary(results)


def _protocols(options: argparse.Namespace) -> list[Verification | ErrorVersusDiscard]:
    """One for each set of pairs."""
    paths = [Path(pairs) for pairs in options.pairs]
    pair_sets = [open_pairs(path, options.images) for path in paths]
    if options.subjects:
        pair_sets = [with_subjects(pairs, options.subjects) for pairs in pair_sets]
    names = distinct([pairs.name for pairs in pair_sets], paths)
    pair_sets = [replace(pairs, name=name) for pairs, name in zip(pair_sets, names, strict=True)]
    hashes = [{"pairs_sha256": file_sha256(path)} for path in paths]
    common: dict[str, Any] = {"flip": not options.no_flip, "replicates": options.replicates, "seed": options.seed}
    if options.replicates < 2:
        raise LimenError(f"--replicates: {options.replicates} give no interval; at least 2, better 1000")
    if not options.quality and (options.fmr or options.edc_threshold):
        raise LimenError("--fmr and --edc-threshold are of error versus discard; add --quality, or leave them out")
    if not options.quality:
        return [Verification(pairs, switches=sha256, **common) for pairs, sha256 in zip(pair_sets, hashes, strict=True)]
    qualities = _qualities(options.quality, pair_sets, options.seed, **model_options(options))
    files = [None if spec == "random" else file_of(spec) for spec in options.quality]
    quality_hashes = [{"quality_sha256": file_sha256(file) if file else "no file"} for file in files]
    common |= {"fmr": tuple(options.fmr or FMR), "threshold": options.edc_threshold or "fixed"}
    common |= {"quality_switches": dict(zip(qualities[0], quality_hashes, strict=True))}
    judged = zip(pair_sets, qualities, hashes, strict=True)
    return [ErrorVersusDiscard(pairs, named, switches=sha256, **common) for pairs, named, sha256 in judged]


def _qualities(specs: list[str], pair_sets: list[PairSet], seed: int, **model: Any) -> list[dict[str, QualityMeasure | np.ndarray]]:
    """What `--quality` names, for each set of pairs; a measure is made once."""
    named: list[dict[str, QualityMeasure | np.ndarray]] = [{} for _ in pair_sets]
    found: Sequence[QualityMeasure | np.ndarray]
    for spec in specs:
        if spec == "random":
            name, found = "random order", [random_orders(len(pairs.source), seed=seed) for pairs in pair_sets]
        elif spec.lower().endswith(".csv") and not spec.startswith("face_size:"):
            name, found = Path(spec).stem, [read_quality_csv(spec, pairs.source) for pairs in pair_sets]
        else:
            measure = create_measure(spec, **model)
            name, found = measure.name, [measure] * len(pair_sets)
        if name in named[0]:
            raise LimenError(f"--quality: {spec} is the second one called {name!r}; rename its file or leave it out")
        for qualities, quality in zip(named, found, strict=True):
            qualities[name] = quality
    return named


def text(result: dict[str, Any]) -> str:
    return "\n".join([*result["text"], f"open {result['report']}"])
