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
list from a folder of people.
"""

import argparse
import math
from collections.abc import Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from limen.cli.discard_table import discard_lines
from limen.cli.progress import progress_bar
from limen.data.pairs import PairSet, open_pairs
from limen.errors import LimenError
from limen.files import file_sha256
from limen.inference.measures import create_measure, file_of, model_name
from limen.models.embedder import Embedder
from limen.protocols import ErrorVersusDiscard, QualityMeasure, Result, Verification, random_orders, read_quality_csv, save_json
from limen.report import write_edc_csv, write_report
from limen.report.html import interval_text, metric_name, metric_text

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
    parser.add_argument("--device", default="cpu", help="cpu or cuda (cpu)")
    parser.add_argument("--threads", type=int, help="CPU threads")


def run(options: argparse.Namespace) -> dict[str, Any]:
    protocols = _protocols(options)  # before the models: a wrong path should not cost their loading
    pair_files = [file_sha256(Path(pairs)) for pairs in options.pairs]
    judged = protocols[0].qualities if isinstance(protocols[0], ErrorVersusDiscard) else ()
    files = {name: file_of(spec) for name, spec in zip(judged, options.quality or (), strict=True) if spec != "random"}
    of_quality = {name: {"quality_sha256": file_sha256(file)} for name, file in files.items() if file is not None}
    results = []
    for model in map(Path, options.models):
        embedder = Embedder.load(model, options.device, options.threads)
        for protocol, pairs_sha256 in zip(protocols, pair_files, strict=True):
            with progress_bar(protocol.pair_set.name) as protocol.progress:
                found = protocol.run(embedder)
            for result in found if isinstance(found, list) else [found]:
                result.switches = {"model": model_name(model)} | result.switches | {"pairs_sha256": pairs_sha256}
                if judged:
                    result.switches |= of_quality.get(result.switches["quality"], {"quality_sha256": "no file"})
                results.append(result)
    names = dict.fromkeys(result.switches["model"] for result in results)
    return write_results(Path(options.out), f"{', '.join(names)} on {', '.join(p.pair_set.name for p in protocols)}", results)


def _protocols(options: argparse.Namespace) -> list[Verification | ErrorVersusDiscard]:
    """One for each set of pairs."""
    common = {"flip": not options.no_flip, "replicates": options.replicates, "seed": options.seed}
    pair_sets = [open_pairs(pairs, options.images) for pairs in options.pairs]
    if options.replicates < 2:
        raise LimenError(f"--replicates: {options.replicates} give no interval; at least 2, better 1000")
    if not options.quality and (options.fmr or options.edc_threshold):
        raise LimenError("--fmr and --edc-threshold are of error versus discard; add --quality, or leave them out")
    if not options.quality:
        return [Verification(pairs, **common) for pairs in pair_sets]
    qualities = _qualities(options.quality, pair_sets, options.device, options.seed)
    common |= {"fmr": tuple(options.fmr or FMR), "threshold": options.edc_threshold or "fixed"}
    return [ErrorVersusDiscard(pairs, named, **common) for pairs, named in zip(pair_sets, qualities, strict=True)]


def _qualities(specs: list[str], pair_sets: list[PairSet], device: str, seed: int) -> list[dict[str, QualityMeasure | np.ndarray]]:
    """What `--quality` names, for each set of pairs; a measure is made once."""
    named: list[dict[str, QualityMeasure | np.ndarray]] = [{} for _ in pair_sets]
    found: Sequence[QualityMeasure | np.ndarray]
    for spec in specs:
        if spec == "random":
            name, found = "random order", [random_orders(len(pairs.source), seed=seed) for pairs in pair_sets]
        elif spec.lower().endswith(".csv") and not spec.startswith("face_size:"):
            name, found = Path(spec).stem, [read_quality_csv(spec, pairs.source) for pairs in pair_sets]
        else:
            measure = create_measure(spec, device)
            name, found = measure.name, [measure] * len(pair_sets)
        if name in named[0]:
            raise LimenError(f"--quality: {spec} is the second one called {name!r}; rename its file or leave it out")
        for qualities, quality in zip(named, found, strict=True):
            qualities[name] = quality
    return named


def write_results(out: Path, title: str, results: list[Result], sections: Any = ()) -> dict[str, Any]:
    """OUT/result.json and OUT/report.html, and what a command says of them."""
    out.mkdir(parents=True, exist_ok=True)
    save_json({"results": [asdict(result) for result in results]}, out / "result.json")
    write_report(out / "report.html", title, results, sections)
    files = {"report": str(out / "report.html"), "result": str(out / "result.json")}
    if any(curve.startswith("edc@") for result in results for curve in result.curves):
        write_edc_csv(out / "edc.csv", results)
        files["curves"] = str(out / "edc.csv")
    return files | {
        "results": [
            {"name": r.label, "counts": r.counts, "metrics": r.metrics, "intervals": {k: list(v) for k, v in r.intervals.items()}}
            for r in results
        ],
        "text": _text(results),
    }


def _text(results: list[Result]) -> list[str]:
    lines = []
    for _, group in groupby(results, lambda result: (result.name, result.switches.get("model"), "quality" in result.switches)):
        found = list(group)
        lines += discard_lines(found) if "quality" in found[0].switches else [line for result in found for line in _lines(result)]
    return lines


def _lines(result: Result) -> list[str]:
    counts = result.counts
    lines = [f"{result.label}: {counts['mated']} mated, {counts['non_mated']} non-mated pairs, {counts['failures_to_acquire']} failures"]
    if counts["pairs_left_out"]:
        lines.append(f"  without {counts['pairs_left_out']} pairs of images that cannot be used")
    shown = [name for name in result.metrics if _is_shown(result, name)]
    unresolved = [name for name in shown if "@" in name and math.isnan(result.metrics[name])]
    resolved = [name for name in shown if name not in unresolved]
    width = max(map(len, map(metric_name, resolved)), default=0)
    for name in resolved:
        interval = interval_text(result, name)
        value = metric_text(name, result.metrics[name])
        impostors = f"   {result.events[name]} impostors" if name in result.events and name.startswith("tar@") else ""
        lines.append(f"  {metric_name(name):{width}s} {value:>12s}{f'   [{interval}]' if interval else ''}{impostors}")
    if unresolved:
        rates = ", ".join(metric_name(name.rpartition("@")[2]) for name in unresolved)
        lines.append(f"  unresolved, as less than one of {counts['non_mated']} non-mated pairs may be accepted: {rates}")
    return lines


def _is_shown(result: Result, name: str) -> bool:
    return name in (result.headline, "eer", "threshold_cosine") or (name.startswith("tar@") and not name.endswith("_std"))


def text(result: dict[str, Any]) -> str:
    return "\n".join([*result["text"], f"open {result['report']}"])
