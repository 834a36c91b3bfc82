"""Judge a model on benchmarks or pairs of images: accuracy, TAR@FAR and more, with subject-bootstrap intervals, as JSON and one HTML page.

limen evaluate model.safetensors --on lfw:data/lfw cfp-fp:data/cfp_fp.bin --out report/       # limen protocols lists the names
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
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np

from limen.cli.inference import add_inference_arguments, inference_options, model_options, pairs_of_faces
from limen.cli.progress import progress_bar
from limen.data.pairs import PairSet, open_pairs, with_subjects
from limen.errors import LimenError
from limen.files import file_sha256
from limen.inference.measures import create_qualities, file_of
from limen.models.model import model_name, open_model
from limen.protocols import ErrorVersusDiscard, QualityMeasure, Result
from limen.protocols.layouts import open_benchmark
from limen.protocols.runners import Runner, result_names, runner_of
from limen.protocols.task import Task
from limen.report import check_earlier, distinct, result_summary, write_evaluation

FMR = (1e-2, 1e-3, 1e-4)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("models", nargs="+", metavar="MODEL", help="bundles that limen wrote, or ONNX files; several are set side by side")
    parser.add_argument("--on", nargs="+", default=[], metavar="NAME:PATH", help="benchmarks, each with its folder or file")
    parser.add_argument("--pairs", nargs="+", default=[], metavar="FILE", help=".bin files, or text lists in LFW's format")
    parser.add_argument("--images", metavar="DIR", help="the folder of the images that text lists of --pairs name")
    parser.add_argument("--quality", nargs="+", metavar="QUALITY", help="judge these qualities by error versus discard (see above)")
    parser.add_argument("--far", nargs="+", type=float, metavar="RATE", help="of the TAR printed (the benchmark's own, or 0.001 0.01)")
    parser.add_argument("--fmr", nargs="+", type=float, metavar="RATE", help="the same; of --quality (0.01 0.001 0.0001)")
    parser.add_argument("--fpir", nargs="+", type=float, metavar="RATE", help="of searches in an open set (the benchmark's own)")
    parser.add_argument("--noise", choices=["dropped", "replaced"], help="of refined MegaFace; replaced: as its tables (dropped)")
    parser.add_argument("--group-threshold", choices=["global", "per_group"], help="of groups; per_group: as RFW's tables (global)")
    parser.add_argument("--no-norms", action="store_true", help="pool templates of unit vectors, not of features as long as they are")
    parser.add_argument("--no-detector-scores", action="store_true", help="pool templates without the weights of the benchmark")
    parser.add_argument(
        "--lookup",
        choices=["conservative", "nearest", "insightface"],
        help="of thresholds; nearest: TAR as published IJB tables have it; insightface: its 1:N figures besides (conservative)",
    )
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
    runners = _runners(options)  # before the models: a wrong path should not cost their loading
    models = distinct([model_name(path) for path in paths], paths)
    check_earlier(out, {(name, model) for runner in runners for name in result_names(runner) for model in models})
    results: list[Result] = []
    for model, path in zip(models, paths, strict=True):
        embedder = open_model(path, **model_options(options))
        for runner in runners:
            with progress_bar(runner.name) as progress:
                found = runner.run(embedder, model, progress, **inference_options(options))
            results += found if isinstance(found, list) else [found]
    title = f"{', '.join(models)} on {', '.join(runner.name for runner in runners)}"
    return write_evaluation(out, title, results) | result_summary(results)


def _tasks(options: argparse.Namespace) -> list[Task]:
    """Those of --on and --pairs, each with a name of its own."""
    opened = [pairs_of_faces(open_pairs(path, options.images), options) for path in options.pairs]
    hashes = [{"pairs_sha256": file_sha256(path)} for path in options.pairs]
    pairs = [replace(one, switches={**one.switches, **sha256}) for one, sha256 in zip(opened, hashes, strict=True)]
    if options.on and options.detector:
        raise LimenError("--detector: benchmarks of --on are read as they are; align their photos first (limen data align)")
    tasks = [*(open_benchmark(spec) for spec in options.on), *pairs]
    if not tasks:
        raise LimenError("nothing to judge on: name benchmarks (--on lfw:PATH) or files of pairs (--pairs lfw.bin)")
    paths = [Path(place) for place in [*(spec.partition(":")[2] for spec in options.on), *options.pairs]]
    if options.subjects:
        tasks = [with_subjects(task, options.subjects) if _names_nobody(task) else task for task in tasks]
    names = distinct([task.name for task in tasks], paths)
    return [replace(task, name=name) for task, name in zip(tasks, names, strict=True)]


def _runners(options: argparse.Namespace) -> list[Runner]:
    """One for each task."""
    if options.replicates < 2:
        raise LimenError(f"--replicates: {options.replicates} give no interval; at least 2, better 1000")
    if not options.quality and options.edc_threshold:
        raise LimenError("--edc-threshold is of error versus discard; add --quality, or leave it out")
    if options.quality and (options.far or options.fpir or options.lookup):
        raise LimenError("--far, --fpir and --lookup are of rates that are not printed with --quality; give --fmr")
    tasks = _tasks(options)
    common: dict[str, Any] = {"flip": not options.no_flip, "replicates": options.replicates, "seed": options.seed}
    if not options.quality:
        templates = {"norms": not options.no_norms, "weights": not options.no_detector_scores}
        of_pairs: dict[str, Any] = {
            "far": tuple(options.far or options.fmr or ()) or None,
            "lookup": "nearest" if options.lookup == "nearest" else "conservative",
        }
        of_pairs["threshold"] = options.group_threshold or "global"
        of_searches: dict[str, Any] = {"lookup": "insightface" if options.lookup == "insightface" else "conservative"}
        of_searches |= {"fpir": tuple(options.fpir)} if options.fpir else {}
        of_distractors = {"refined": options.noise or "dropped"}
        return [runner_of(task, common | templates, of_pairs, of_searches, of_distractors) for task in tasks]
    pair_sets = [_of_images(task) for task in tasks]
    qualities = _qualities(options.quality, pair_sets, options.seed, **model_options(options))
    files = [file_of(spec) for spec in options.quality]
    quality_hashes = [{"quality_sha256": file_sha256(file) if file else "no file"} for file in files]
    common |= {"fmr": tuple(options.fmr or FMR), "threshold": options.edc_threshold or "fixed"}
    common |= {"quality_switches": dict(zip(qualities[0], quality_hashes, strict=True))}
    return [ErrorVersusDiscard(pairs, named, **common) for pairs, named in zip(pair_sets, qualities, strict=True)]


def _names_nobody(task: Task) -> TypeGuard[PairSet]:
    return isinstance(task, PairSet) and task.people == "joined" and task.templates is None


def _of_images(task: Task) -> PairSet:
    if isinstance(task, PairSet) and task.templates is None:
        return task
    raise LimenError(f"{task.name}: error versus discard needs pairs of single images; leave --quality or this benchmark out")


def _qualities(specs: list[str], pair_sets: list[PairSet], seed: int, **model: Any) -> list[dict[str, QualityMeasure | np.ndarray]]:
    """What `--quality` names, for each set of pairs; a measure is made once."""
    named: list[dict[str, QualityMeasure | np.ndarray]] = [{} for _ in pair_sets]
    for spec in specs:
        name, found = create_qualities(spec, [pairs.source for pairs in pair_sets], seed, **model)
        if name in named[0]:
            raise LimenError(f"--quality: {spec} is the second one called {name!r}; rename its file or leave it out")
        for qualities, quality in zip(named, found, strict=True):
            qualities[name] = quality
    return named


def text(result: dict[str, Any]) -> str:
    return "\n".join([*result["text"], f"open {result['report']}"])
