"""Judge a model on benchmarks or pairs of images: accuracy, TAR@FAR and more, with subject-bootstrap intervals, as JSON and one HTML page.

limen evaluate model.safetensors --on lfw:data/lfw cfp-fp:data/cfp_fp.bin --out report/       # limen protocols lists the names
limen evaluate model.safetensors --pairs lfw.bin cfp_fp.bin --out report/
limen evaluate model.safetensors --pairs pairs.txt --images lfw/ --out report/
limen evaluate runs/adaface/model.safetensors runs/arcface/model.safetensors --pairs lfw.bin --out report/
limen evaluate model.safetensors --folders people/ --split 2 --out report/
limen evaluate model.safetensors --gallery enrolled/ --probe visitors/ --distractors others/ --out report/
limen evaluate model.safetensors --folders people/ --groups groups.csv --related siblings.csv --out report/
limen evaluate calibrated.safetensors --folders others/ --at-threshold --out report/
limen evaluate model.safetensors --pairs lfw.bin --quality crfiqa.safetensors sharpness random --out report/

With several models, each rate's difference from the first model is printed with its interval; the same people are drawn again for both.
Runs of one recipe that differ by their seed alone count as one model: the mean, the spread over seeds, an interval over people and seeds.
`limen compare-results` does the same with the result.json of evaluations that were made apart.

The threshold of the accuracy is the best one for the very pairs it is judged on: not one to deploy. `limen calibrate` finds that of a
stated false match rate and keeps it in the model; --at-threshold then judges the model at it on other people: FMR and FNMR with intervals,
of --groups too, and whether the interval of the FMR holds the rate that was promised. Of searches it gives FPIR and FNIR there: a search
compares with every entry, so the FPIR lies well above the FMR.

With --quality, error versus discard in place of accuracy: how well each quality of the images predicts the model's errors, and a table
of the curves (edc.csv). The others are compared with the first. A quality is
  sharpness, resolution, exposure          a measure of the pixels
  MODEL, norm:MODEL, magface_norm:MODEL    the quality head of a model, or the length of its features
  face_size:FILE.csv                       the boxes in a list with the columns file, width, height
  FILE.csv                                 of the columns file and quality, empty where an image has none; the file is the image's path,
                                           or as in "lfw.bin image 7"
  random                                   the mean of ten random orders: the baseline

Folders of people are searched as `limen identify` does: one template for each person enrolled, the mean of the unit vectors of the images.
Closed set: rank 1, 5 and 10. Open set: TPIR at FPIR .1, .01 and .001, whose strangers are the probes of people who are not enrolled; where
there are none, or --split leaves fewer than 1,000 such probes, they are all probes, each without its own person in the gallery. The same
for galleries of 10, 100, 1,000, ... people within it, drawn by --seed. misidentified.csv names who was taken for whom.

--folders without --split compares all pairs of its images one to one, 5 million of either kind at most. --groups is a CSV file with the
column file or person (the folder's name) and any others: FMR and FNMR of each of their groups, at the threshold of all pairs. A pair of two
groups counts as "across groups". --related is one of the columns person and other: people who must not be confused.

A text list is LFW's pairs.txt: a line `folds pairs`, then `name i j` for two images of one person and `name i other j` for two people,
which are looked for as name/name_0001.jpg, name/0001.jpg and the like; i and j may also be file names. `limen data pairs` draws such a
list from a folder of people. A .bin file names no people: intervals then draw groups that mated pairs join, unless --subjects FILE.csv
names the person in each image ("lfw.bin image 7"). A report of other models or pairs in DIR is not overwritten.
"""

import argparse
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from limen.cli.inference import add_inference_arguments, inference_options, model_options
from limen.cli.judging import add_judging_arguments, check_judging, runners_of
from limen.cli.progress import progress_bar
from limen.cli.tasks import add_task_arguments, names_of, tasks_of
from limen.errors import LimenWarning
from limen.models.model import Model, model_name, open_model
from limen.protocols import Identification, Result, Verification
from limen.protocols.differences import training_of
from limen.protocols.runners import result_names
from limen.report import check_earlier, distinct, result_summary, write_evaluation
from limen.report.hardest import hardest_sections

FEW = 5  # names in a warning


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("models", nargs="+", metavar="MODEL", help="bundles that limen wrote, or ONNX files; several are set side by side")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for result.json, report.html and, of --quality, edc.csv")
    add_task_arguments(parser)
    add_judging_arguments(parser)
    add_inference_arguments(parser)


def run(options: argparse.Namespace) -> dict[str, Any]:
    out, paths = Path(options.out), [Path(model) for model in options.models]
    check_judging(options)
    tasks = tasks_of(options)  # before the models: a wrong path should not cost their loading
    runners = runners_of(options, tasks)
    models = distinct([model_name(path) for path in paths], paths)
    check_earlier(out, {(name, model) for runner in runners for name in result_names(runner) for model in models})
    for model, path in zip(models, paths, strict=True) if options.at_threshold == "own" else ():
        embedder = open_model(path, **model_options(options))  # a model without operating points should not cost the others' evaluation
        for runner in runners:
            if isinstance(runner, Verification | Identification):
                runner.points(embedder, model)
    results: list[Result] = []
    for model, path in zip(models, paths, strict=True):
        embedder = open_model(path, **model_options(options))
        for task, runner in zip(tasks, runners, strict=True):
            with progress_bar(runner.name) as progress:
                found = runner.run(embedder, model, progress, **inference_options(options))
            known: dict[str, Any] = {"training": training_of(embedder.facts), "operating_points": marks_of(embedder)}
            told = trained_on(embedder, task.name, names_of(task))
            results += [replace(one, **known, switches={**one.switches, **told}) for one in (found if isinstance(found, list) else [found])]
    title = f"{', '.join(models)} on {', '.join(runner.name for runner in runners)}"
    return write_evaluation(out, title, results, hardest_sections(results, tasks)) | result_summary(results)


def trained_on(model: Model, where: str, names: Sequence[str]) -> dict[str, str]:
    """What a result says of the people judged who were trained on, by name. Warns where there are some: it is no test of new faces."""
    bundle = getattr(model, "bundle", None)
    seen = bundle.trained_on(names) if bundle else []
    if not seen:
        return {}
    few = f"{', '.join(seen[:FEW])}{', ...' * (len(seen) > FEW)}"
    said = f"{len(seen):,} of {len(names):,} people who are judged, by name ({few})"
    warnings.warn(
        f"{where}: the model was trained on {said}; leave them out of one of the two (limen data overlap)", LimenWarning, stacklevel=2
    )
    return {"trained on": said}


def marks_of(model: Model) -> dict[str, float]:
    """The thresholds of the model's operating points, as a Result keeps them."""
    return {f"FMR={point.fmr:g}": point.threshold for point in model.operating_points}


def text(result: dict[str, Any]) -> str:
    return "\n".join([*result["text"], f"open {result['report']}"])
