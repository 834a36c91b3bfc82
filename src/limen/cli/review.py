"""Write a page on which a person looks at doubtful images and decides: one HTML file, opened in any browser, without a server.

limen review runs/first/suspects.csv --out suspects.html        # images whose labels training doubts
limen review report/result.json --out pairs.html                # the worst false matches and false non-matches of an evaluation
limen review report/result.json --threshold --out scores.html   # a threshold over the scores of its pairs, with FMR and FNMR
limen review scores.csv --out quality.html                      # what limen quality --csv wrote: faces from worst to best
limen review outliers.csv --data gallery.npz --out odd.html     # what limen audit --outliers wrote
limen review alike.csv --data gallery.npz --out alike.html      # what limen audit --pairs wrote: are two people one?
limen review both.csv --data a.npz --other b.npz --out both.html        # what limen data overlap wrote

Each suspect stands beside three images that are surely of the person it is labelled with, and three of the person it may be. The model
and the data are those of the run: model.safetensors beside suspects.csv, and the recipe in it; --model and --data name others. The
tables of audit and overlap need --data, and --other: embeddings (FILE.npz), or faces and a --model to tell which images are sure.

On pages of doubt a person decides, and the keyboard alone suffices: r right, w wrong, u unsure, m move to another person; of two people
y one person, d two people; arrows go back and on, n to the next undecided, z undoes; s saves decisions.csv, l loads one and goes on with
it. Decisions are kept in the browser at once: reloading the page loses none.
decisions.csv has the columns file, person, decision, new_person, reviewer, time, model (SHA-256), pair_with.
`limen data apply decisions.csv` writes the corrected data, and `limen data overlap ... --decisions decisions.csv` what is left of a set.

The first 2,000 pictures, of 13 MB at most, stand in the page; the others in a folder beside it.
"""

import argparse
from pathlib import Path
from typing import Any

from limen.cli.data_labels import open_trained_on
from limen.cli.inference import add_inference_arguments, inference_options, model_options
from limen.cli.progress import progress_bar
from limen.data.source import READERS
from limen.decision.vectors_file import open_people
from limen.errors import LimenError
from limen.models.model import Model, open_model
from limen.protocols import load_results
from limen.report.review import review_pairs, review_people, review_quality, review_suspects, review_threshold
from limen.report.review.page import check_page
from limen.tables import csv_columns

LISTED = 10


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("path", metavar="FILE", help="suspects.csv, result.json, or a table of limen quality, audit or data overlap")
    parser.add_argument("--out", required=True, metavar="PAGE.html")
    parser.add_argument("--model", metavar="MODEL", help="whose surest images are shown (model.safetensors beside suspects.csv)")
    parser.add_argument("--data", metavar="PATH", help="the faces that the table is of, or their embeddings (those of the model's recipe)")
    parser.add_argument("--other", metavar="PATH", help="of a table of overlap: the other set")
    parser.add_argument("--reader", help=f"of --data: {', '.join(READERS)}, or package.module:Class (told by PATH)")
    parser.add_argument("--threshold", action="store_true", help="of a result.json: the scores of its pairs in place of the worst of them")
    parser.add_argument("--count", type=int, metavar="N", help="only the first N of the page (all)")
    add_inference_arguments(parser)


def run(options: argparse.Namespace) -> dict[str, Any]:
    path, page = Path(options.path), check_page(options.out)
    if options.count is not None and options.count < 1:
        raise LimenError(f"--count {options.count}: give 1 or more")
    if path.suffix.lower() == ".json":
        return (review_threshold if options.threshold else review_pairs)(load_results(path), path, page)
    if options.threshold:
        raise LimenError("--threshold: it shows the scores of an evaluation; give its result.json")
    columns = csv_columns(path)
    if "quality" in columns:
        return review_quality(path, page)
    of_people = "other" in columns
    if options.other and not of_people:
        raise LimenError("--other: is the second of two sets that overlap; give the table that limen data overlap wrote")
    if of_people and "same_name" in columns and not options.other:
        raise LimenError(f"{path}: is of two sets; add --data for the first and --other for the second")
    if options.model is not None or "index" in columns:
        beside = path.with_name("model.safetensors")
        if options.model is None and not beside.exists():
            raise LimenError(f"{path}: no model.safetensors stands beside it to tell whose images are sure; add --model")
        model: Model | None = open_model(options.model or beside, **model_options(options))
    else:
        model = None
    if options.data is not None:
        source = open_people(options.data, options.reader)
    else:
        source = open_trained_on(model.facts if model else {}, options.model or str(path))
    with progress_bar("looking for sure images") as progress:
        reading: dict[str, Any] = {"progress": progress, **inference_options(options)}
        if of_people:
            other = open_people(options.other) if options.other else None
            return review_people(path, source, other, model, page, options.count, **reading)
        return review_suspects(path, source, model, page, options.count, **reading)


def text(result: dict[str, Any]) -> str:
    gone = result["gone"]
    lines = [f"{len(gone)} images cannot be read; the page says so in their place:", *gone[:LISTED]] if gone else []
    return "\n".join([*lines, f"{result['items']} items, {result['pictures']} pictures: open {result['page']}"])
