"""`limen data overlap`: who stands in two sets of faces, training against test say, or two that are to be merged."""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from limen.cli.data_sets import add_form, save_set
from limen.cli.inference import add_inference_arguments, chosen_threshold, inference_options, model_options
from limen.cli.progress import progress_bar
from limen.data import FaceSource
from limen.data.decisions import decided_people, read_decisions
from limen.data.written import ChosenFaces, form_of
from limen.decision.gallery import check_made_by
from limen.decision.overlap import PersonVectors, in_both, person_vectors
from limen.decision.vectors_file import EmbeddedPeople, open_people
from limen.errors import LimenError
from limen.models.model import Model, open_model
from limen.tables import write_csv

LISTED = 10  # pairs in the text; --json and the table have them all
COLUMNS = ("person", "other", "score", "same_name", "decision")


def add_overlap(actions: Any) -> None:
    words = actions.add_parser("overlap", help="people who are in both of two sets of faces, by a model and by name, and what to leave out")
    words.add_argument(
        "first",
        metavar="A",
        help="the set to leave people out of: a folder of people, a train.rec, a list (FILE.csv), embeddings (FILE.npz)",
    )
    words.add_argument("second", metavar="B", help="the other set")
    words.add_argument("--model", metavar="MODEL", help="a bundle that limen wrote, or an ONNX file; not for two sets of embeddings")
    words.add_argument("--threshold", type=float, metavar="X", help="cosine from which two are one person (of the model's lowest FMR)")
    words.add_argument("--images", type=int, default=10, metavar="N", help="images of a person that are embedded, at most (10)")
    words.add_argument("--out", required=True, metavar="FILE.csv", help=f"table of {', '.join(COLUMNS)}: person is of A, other of B")
    words.add_argument("--rest", metavar="OUT", help="write A without these people: FILE.csv (a list), .tar, .arrow, or a new folder")
    add_form(words, "links")
    words.add_argument("--decisions", nargs="+", metavar="decisions.csv", help="what people decided of these pairs (limen review)")
    add_inference_arguments(words)


def overlap(options: argparse.Namespace) -> dict[str, Any]:
    if options.images < 1:
        raise LimenError(f"--images {options.images}: give 1 or more")
    if options.detector or options.faces:
        raise LimenError("--detector: the sets have to be aligned faces of known people; run limen data align first")
    if Path(options.out).suffix.lower() != ".csv":
        raise LimenError(f"{options.out}: is a table; give a name that ends in .csv")
    form = form_of(options.rest, options.to, "links") if options.rest else None
    paths = (options.first, options.second)
    first, second = (open_people(path) for path in paths)
    decided = decided_people(read_decisions(options.decisions).people, first, second) if options.decisions else {}
    model = _model(options, dict(zip(paths, (first, second), strict=True)))
    threshold = chosen_threshold(model, options)
    people = [_vectors(path, source, model, options) for path, source in zip(paths, (first, second), strict=True)]
    found = in_both((first.class_names, second.class_names), [one.vectors for one in people], threshold, decided)
    rows = [
        {
            "person": first.class_names[one.person],
            "other": second.class_names[one.other],
            "score": round(one.score, 4) if np.isfinite(one.score) else None,
            "same_name": one.same_name,
            "decision": one.decision,
        }
        for one in found
    ]
    both = {one.person for one in found if one.decision != "different"}
    kept = np.flatnonzero(~np.isin(first.labels, list(both))).tolist()
    if options.rest and not kept:
        raise LimenError(f"--rest {options.rest}: everybody of {options.first} is in {options.second} too; nothing would be left")
    write_csv(options.out, COLUMNS, ([*(row[name] for name in COLUMNS[:3]), int(bool(row["same_name"])), row["decision"]] for row in rows))
    by_name = {one.person for one in found if one.same_name and not one.score >= threshold} & both
    result = {
        "out": options.out,
        "people": [len(first.class_names), len(second.class_names)],
        "threshold": threshold,
        "model_sha256": model.description["model_sha256"] if model else getattr(first, "made_by", {}).get("model_sha256"),
        "people_in_both": len(both),
        "by_name_alone": len(by_name),
        "decided": {word: sum(one.decision == word for one in found) for word in ("same", "different")},
        "overlap": rows,
        "failures": [failure for one in people for failure in one.failures],
    }
    if form:
        rest = save_set(options, options.rest, form, ChosenFaces(first, kept))
        result |= {"rest": options.rest, "rest_images": rest["images"], "rest_left_out": rest["left_out"]}
    return result


def _model(options: argparse.Namespace, sources: dict[str, FaceSource]) -> Model | None:
    """The model of --model, which is needed where a set is not embedded yet; vectors of another one are refused."""
    embedded = dict[str, EmbeddedPeople]()
    for path, source in sources.items():
        if isinstance(source, EmbeddedPeople):
            embedded[path] = source
    if options.model is not None:
        model = open_model(options.model, **model_options(options))
        for path, vectors in embedded.items():
            check_made_by(path, vectors.made_by, model)
        return model
    if len(embedded) < len(sources):
        raise LimenError(f"{next(path for path in sources if path not in embedded)}: has to be embedded; add --model")
    networks = [vectors.made_by.get("network") for vectors in embedded.values()]
    if any(network != networks[0] for network in networks):
        raise LimenError(f"{options.second}: its vectors are of another model than those of {options.first}; embed both with one model")
    return None


def _vectors(path: str, source: FaceSource, model: Model | None, options: argparse.Namespace) -> PersonVectors:
    if isinstance(source, EmbeddedPeople):
        return PersonVectors(source.person_vectors(), [])
    assert model is not None  # see _model
    with progress_bar(f"embedding {path}") as progress:
        return person_vectors(model, source, options.images, progress, **inference_options(options))


def overlap_text(result: dict[str, Any]) -> str:
    rows, failures = result["overlap"], result["failures"]
    lines = [f"{len(failures)} images could not be used:", *failures[:LISTED]] if failures else []
    named = {True: "  (same name)", False: ""}
    said = {"": "", "same": "  decided: one person", "different": "  decided: two people, who stay"}
    lines += [
        f"{float('nan') if row['score'] is None else row['score']:7.4f}  {row['person']}  {row['other']}"
        f"{named[row['same_name']]}{said[row['decision']]}"
        for row in rows[:LISTED]
    ]
    lines += [f"and {len(rows) - LISTED} more; the table has them all"] if len(rows) > LISTED else []
    first, second = result["people"]
    lines.append(
        f"{result['people_in_both']} of {first} people are among the other {second}: cosine {result['threshold']:.4f} or more, or the same "
        f"name ({result['by_name_alone']} by name alone). To look at them: limen review {result['out']}"
    )
    lost = result.get("rest_left_out", [])
    lines += [*lost[:LISTED], f"{len(lost)} images cannot be read and are left out"] if lost else []
    return "\n".join([*lines, *([f"the others, {result['rest_images']} images: {result['rest']}"] if "rest" in result else [])])
