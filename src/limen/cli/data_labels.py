"""`limen data apply`: what people decided about labels becomes data to train on."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from limen.cli.data_sets import add_form, save_set
from limen.data import FaceSource, open_source
from limen.data.decisions import corrected, read_decisions
from limen.data.joint import open_data
from limen.data.source import READERS, reader_of
from limen.data.written import RelabelledFaces, form_of
from limen.errors import LimenError
from limen.models.bundle import load_bundle

LISTED = 10  # changes in the text; --json has them all


def add_apply(actions: Any) -> None:
    words = actions.add_parser(
        "apply", help="correct labels by the decisions.csv of `limen review`: a new list or folder of links; deletes nothing"
    )
    words.add_argument("decisions", nargs="+", metavar="decisions.csv", help="decisions; where two on one image differ, nothing is written")
    words.add_argument(
        "--data", required=True, metavar="PATH", help="the faces that were reviewed: a folder, a list, ...; or the model trained on them"
    )
    words.add_argument("--reader", help=f"of --data: {', '.join(READERS)}, or package.module:Class (told by PATH)")
    words.add_argument("--out", required=True, metavar="OUT", help="FILE.csv (file and person), .tar, .arrow, or a new folder of links")
    add_form(words, "links")


def apply(options: argparse.Namespace) -> dict[str, Any]:
    form = form_of(options.out, options.to, "links")
    decisions = read_decisions(options.decisions)
    source = faces_of(options.data, options.reader)
    found = corrected(source, decisions.images, decisions.people)
    if not found.indices:
        raise LimenError(f"{options.data}: the decisions leave no image; nothing is written")
    written = save_set(options, options.out, form, RelabelledFaces(source, found.indices, found.people))
    return {
        **written,
        **{f"decided_{kind}": count for kind, count in found.decided.items()},
        "decided_pairs_passed_over": decisions.pairs,
        "changes": [one._asdict() for one in found.changes],
        "people_gone": found.people_gone,
    }


def faces_of(path: str, reader: str | None) -> FaceSource:
    """The faces at `path`; where that is a bundle, those that it was trained on, of several sources perhaps."""
    if reader is None and Path(path).suffix.lower() == ".safetensors":
        return open_trained_on(load_bundle(path).facts, path)
    return open_source(reader or reader_of(path), path)


def open_trained_on(facts: Mapping[str, Any], where: str) -> FaceSource:
    """The faces that a model of these facts was trained on. Raises LimenError where it does not say, or they are not there."""
    if not (data := facts.get("recipe", {}).get("data")):
        raise LimenError(f"{where}: does not say which faces it is of; add --data")
    try:
        return open_data(data)
    except LimenError as error:
        raise LimenError(f"{error} (the model was trained there; --data names another place)") from error


def apply_text(result: dict[str, Any]) -> str:
    changes = [
        f"{row['file']}: {row['person']} -> {row['new_person']}" if row["new_person"] else f"{row['file']}: left out, not {row['person']}"
        for row in result["changes"]
    ]
    more = [f"and {len(changes) - LISTED} more; --json has them all"] if len(changes) > LISTED else []
    gone = [f"no image is left of {', '.join(result['people_gone'])}"] if result["people_gone"] else []
    pairs = result["decided_pairs_passed_over"]
    passed = [f"{pairs} decisions on pairs are passed over: they do not say which of two images is wrong"] if pairs else []
    counts = f"{result['decided_move']} moved, {result['decided_wrong']} left out, {result['decided_right']} right and "
    counts += f"{result['decided_unsure']} unsure stay as they were"
    if result["decided_same"]:
        counts += f"; {result['decided_same']} pairs of people are one now, of the name of the one with more images"
    lost = result["left_out"]
    unread = [*lost[:LISTED], f"{len(lost)} images cannot be read and are left out"] if lost else []
    return "\n".join(
        [
            *changes[:LISTED],
            *more,
            *gone,
            *unread,
            *passed,
            counts,
            f"{result['images']} images of {result['people']} people: {result['out']}",
        ]
    )
