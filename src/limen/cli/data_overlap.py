"""`limen data overlap`: who stands in two sets of faces, training against test say, or two that are to be merged."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from limen.cli.inference import add_inference_arguments, chosen_threshold, inference_options, model_options
from limen.cli.progress import progress_bar
from limen.data import open_source
from limen.data.readers.listed import save_list
from limen.data.source import reader_of
from limen.decision.overlap import alike, person_vectors
from limen.errors import LimenError
from limen.models.model import open_model
from limen.tables import write_csv

LISTED = 10  # pairs in the text; --json and the table have them all
COLUMNS = ("person", "other", "score", "same_name")


def add_overlap(actions: Any) -> None:
    words = actions.add_parser("overlap", help="people who are in both of two sets of faces, by a model and by name, and what to leave out")
    words.add_argument("first", metavar="A", help="the set to leave people out of: a folder of people, a train.rec or a list (FILE.csv)")
    words.add_argument("second", metavar="B", help="the other set")
    words.add_argument("--model", required=True, metavar="MODEL", help="a bundle that limen wrote, or an ONNX file")
    words.add_argument("--threshold", type=float, metavar="X", help="cosine from which two are one person (of the model's lowest FMR)")
    words.add_argument("--images", type=int, default=10, metavar="N", help="images of a person that are looked at, at most (10)")
    words.add_argument("--out", required=True, metavar="FILE.csv", help=f"table of {', '.join(COLUMNS)}: person is of A, other of B")
    words.add_argument(
        "--rest", metavar="FILE.csv", help="write the list of A without these people, which training reads (--data.reader list)"
    )
    add_inference_arguments(words)


def overlap(options: argparse.Namespace) -> dict[str, Any]:
    if options.images < 1:
        raise LimenError(f"--images {options.images}: give 1 or more")
    if options.detector or options.faces:
        raise LimenError("--detector: the sets have to be aligned faces of known people; run limen data align first")
    for path in filter(None, (options.out, options.rest)):
        if Path(path).suffix.lower() != ".csv":
            raise LimenError(f"{path}: is a table; give a name that ends in .csv")
    sources = [open_source(reader_of(path), path) for path in (options.first, options.second)]
    model = open_model(options.model, **model_options(options))
    threshold = chosen_threshold(model, options)
    people = []
    for path, source in zip((options.first, options.second), sources, strict=True):
        with progress_bar(f"embedding {path}") as progress:
            people.append(person_vectors(model, source, options.images, progress, **inference_options(options)))
    first, second = sources
    found = alike(people[0].vectors, people[1].vectors, threshold)
    names = {name: label for label, name in enumerate(second.class_names)}
    pairs = set(zip(found.first.tolist(), found.second.tolist(), strict=True))
    by_name = [(k, names[name]) for k, name in enumerate(first.class_names) if name in names and (k, names[name]) not in pairs]
    scores = [*found.score.tolist(), *(float(people[0].vectors[k] @ people[1].vectors[other]) for k, other in by_name)]
    rows = [
        {"person": first.class_names[k], "other": second.class_names[other], "score": round(score, 4) if np.isfinite(score) else None}
        for (k, other), score in zip([*zip(found.first.tolist(), found.second.tolist(), strict=True), *by_name], scores, strict=True)
    ]
    for row in rows:
        row["same_name"] = row["person"] == row["other"]
    both = {row["person"] for row in rows}
    kept = [k for k in range(len(first)) if first.class_names[first.labels[k]] not in both]
    if options.rest and not kept:
        raise LimenError(f"--rest {options.rest}: everybody of {options.first} is in {options.second} too; nothing would be left")
    write_csv(options.out, COLUMNS, ([row["person"], row["other"], row["score"], int(row["same_name"])] for row in rows))
    result = {
        "out": options.out,
        "people": [len(first.class_names), len(second.class_names)],
        "threshold": threshold,
        "model_sha256": model.description["model_sha256"],
        "people_in_both": len(both),
        "by_name_alone": len(by_name),
        "overlap": rows,
        "failures": [failure for one in people for failure in one.failures],
    }
    if options.rest:
        save_list(options.rest, [first.locate(k) for k in kept], [first.class_names[first.labels[k]] for k in kept])
        result |= {"rest": options.rest, "rest_images": len(kept)}
    return result


def overlap_text(result: dict[str, Any]) -> str:
    rows, failures = result["overlap"], result["failures"]
    lines = [f"{len(failures)} images could not be used:", *failures[:LISTED]] if failures else []
    named = {True: "  (same name)", False: ""}
    lines += [f"{row['score'] or float('nan'):7.4f}  {row['person']}  {row['other']}{named[row['same_name']]}" for row in rows[:LISTED]]
    lines += [f"and {len(rows) - LISTED} more; the table has them all"] if len(rows) > LISTED else []
    first, second = result["people"]
    lines.append(
        f"{result['people_in_both']} of {first} people are among the other {second}: cosine {result['threshold']:.4f} or more, or the same "
        f"name ({result['by_name_alone']} by name alone). Look at those near the threshold. {result['out']}"
    )
    return "\n".join([*lines, *([f"the others, {result['rest_images']} images: {result['rest']}"] if "rest" in result else [])])
