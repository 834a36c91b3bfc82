"""Judge a model on pairs of images: k-fold accuracy, TAR@FAR and EER with subject-bootstrap intervals, as JSON and one HTML page.

limen evaluate model.safetensors --pairs lfw.bin cfp_fp.bin --out report/
limen evaluate model.safetensors --pairs pairs.txt --images lfw/ --out report/
limen evaluate runs/adaface/model.safetensors runs/arcface/model.safetensors --pairs lfw.bin --out report/

A text list is LFW's pairs.txt: a line `folds pairs`, then `name i j` for two images of one person and `name i other j` for two people,
which are looked for as name/name_0001.jpg, name/0001.jpg and the like.
"""

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from limen.cli.progress import progress_bar
from limen.embedder import Embedder
from limen.protocols import Result, Verification, save_json
from limen.report import write_report
from limen.report.html import interval_text, metric_name, metric_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("models", nargs="+", metavar="MODEL", help="bundles that limen wrote, or ONNX files; several are set side by side")
    parser.add_argument("--pairs", nargs="+", required=True, metavar="FILE", help=".bin files, or text lists in LFW's format")
    parser.add_argument("--images", metavar="DIR", help="the folder of the images that text lists name")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for result.json and report.html")
    parser.add_argument("--no-flip", action="store_true", help="embed the image alone, without its mirror image")
    parser.add_argument("--replicates", type=int, default=1000, help="of the bootstrap over subjects (1000)")
    parser.add_argument("--seed", type=int, default=0, help="of the bootstrap (0)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (cpu)")
    parser.add_argument("--threads", type=int, help="CPU threads")


def run(options: argparse.Namespace) -> dict[str, Any]:
    protocols = [
        Verification(pairs, options.images, flip=not options.no_flip, replicates=options.replicates, seed=options.seed)
        for pairs in options.pairs
    ]  # before the model: a wrong path should not cost its loading
    results = []
    for model in map(Path, options.models):
        embedder = Embedder.load(model, options.device, options.threads)
        name = model.resolve().parent.name if model.stem == "model" else model.stem  # a run's folder says more than "model"
        for protocol in protocols:
            with progress_bar(f"embedding {protocol.pair_set.name}") as protocol.progress:
                result = protocol.run(embedder)
            result.switches = {"model": name} | result.switches
            results.append(result)
    names = dict.fromkeys(result.switches["model"] for result in results)
    return write_results(Path(options.out), f"{', '.join(names)} on {', '.join(p.pair_set.name for p in protocols)}", results)


def write_results(out: Path, title: str, results: list[Result], sections: Any = ()) -> dict[str, Any]:
    """OUT/result.json and OUT/report.html, and what a command says of them."""
    out.mkdir(parents=True, exist_ok=True)
    save_json({"results": [asdict(result) for result in results]}, out / "result.json")
    write_report(out / "report.html", title, results, sections)
    return {
        "report": str(out / "report.html"),
        "result": str(out / "result.json"),
        "results": [
            {"name": r.label, "counts": r.counts, "metrics": r.metrics, "intervals": {k: list(v) for k, v in r.intervals.items()}}
            for r in results
        ],
        "text": [line for result in results for line in _lines(result)],
    }


def _lines(result: Result) -> list[str]:
    counts = result.counts
    lines = [f"{result.label}: {counts['mated']} mated, {counts['non_mated']} non-mated pairs, {counts['failures_to_acquire']} failures"]
    for name in result.metrics:
        interval = interval_text(result, name)
        if name in (result.headline, "eer", "threshold_cosine") or (name.startswith("tar@") and not name.endswith("_std")):
            lines.append(
                f"  {metric_name(name):15s} {metric_text(name, result.metrics[name]):>12s}{f'   [{interval}]' if interval else ''}"
            )
    return lines


def text(result: dict[str, Any]) -> str:
    return "\n".join([*result["text"], f"open {result['report']}"])
