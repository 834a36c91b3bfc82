"""Results of `limen evaluate` side by side: one table, and how much the models differ from the first.

limen compare-results a/result.json b/result.json
limen compare-results runs/*/report/result.json --out compared/

Where two were judged on the same pairs and people, drawn with the same --replicates and --seed, the interval of a difference is paired: the
same people are drawn again for both. Where not, the table says "unpaired", and its interval takes the two for independent. Runs of one
recipe that differ by their seed alone are one model: the mean, the spread over seeds, and an interval over people and seeds.

With --out the folder gets report.html, result.json with all the results, and tables.json, tables.csv and tables.tex.
"""

import argparse
from dataclasses import replace
from pathlib import Path
from typing import Any

from limen.errors import LimenError
from limen.protocols import Result, load_results
from limen.report import check_earlier, distinct, result_summary, write_evaluation
from limen.report.text import all_table_lines


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("results", nargs="+", metavar="RESULT", help="result.json files of limen evaluate, or the folders that hold them")
    parser.add_argument("--out", metavar="DIR", help="folder for report.html, result.json and tables.*")


def run(options: argparse.Namespace) -> dict[str, Any]:
    paths = [Path(path) for path in options.results]
    files = [path / "result.json" if path.is_dir() else path for path in paths]
    results = _renamed(files, [load_results(file) for file in files])
    models = list(dict.fromkeys(result.model for result in results))
    if len(models) < 2:
        raise LimenError(f"{files[0]}: holds the results of one model alone; name a second file")
    found = result_summary(results) | {"text": all_table_lines(results)[1:]}
    if not options.out:
        return found
    out = Path(options.out)
    check_earlier(out, {(result.name, result.model) for result in results})
    title = ", ".join(models) if len(models) < 4 else f"{len(models)} models"
    return write_evaluation(out, f"{title} side by side", results) | found


def text(result: dict[str, Any]) -> str:
    return "\n".join([*result["text"], *([f"open {result['report']}"] if "report" in result else [])])


def _renamed(files: list[Path], held: list[list[Result]]) -> list[Result]:
    """All results. Behind the name of a model that stands in several files is told in which, "mbf (old/result.json)", or a number."""
    paths = [file.absolute() for file in files]
    once = list(dict.fromkeys(paths))
    places = dict(zip(once, distinct([path.name for path in once], once), strict=True))
    named = [(number, model) for number, results in enumerate(held) for model in dict.fromkeys(result.model for result in results)]
    homes = {model: {paths[number] for number, other in named if other == model} for _, model in named}
    labels = [(model or "model") + (f" ({places[paths[number]]})" if len(homes[model]) > 1 else "") for number, model in named]
    new = dict(zip(named, distinct(labels), strict=True))
    return [replace(result, model=new[number, result.model]) for number, results in enumerate(held) for result in results]
