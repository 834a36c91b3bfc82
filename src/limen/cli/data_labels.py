"""`limen data apply`: what people decided about labels becomes data to train on."""

import argparse
from pathlib import Path
from typing import Any

from limen.data import open_source
from limen.data.decisions import corrected, read_decisions, save_links
from limen.data.readers.listed import save_list
from limen.data.source import READERS, reader_of
from limen.errors import LimenError

LISTED = 10  # changes in the text; --json has them all


def add_apply(actions: Any) -> None:
    words = actions.add_parser(
        "apply", help="correct labels by the decisions.csv of `limen review`: a new list or folder of links; deletes nothing"
    )
    words.add_argument("decisions", nargs="+", metavar="decisions.csv", help="decisions; where two on one image differ, nothing is written")
    words.add_argument(
        "--data", required=True, metavar="PATH", help="the faces that were reviewed: a folder of people, or a list (FILE.csv)"
    )
    words.add_argument("--reader", help=f"of --data: {', '.join(READERS)}, or package.module:Class (told by PATH)")
    words.add_argument(
        "--out", required=True, metavar="FILE.csv|DIR", help="a list of file and person, or a new folder of people with links"
    )


def apply(options: argparse.Namespace) -> dict[str, Any]:
    out = Path(options.out)
    decisions = read_decisions(options.decisions)
    source = open_source(options.reader or reader_of(options.data), options.data)
    found = corrected(source, decisions.images, decisions.people)
    if not found.files:
        raise LimenError(f"{options.data}: the decisions leave no image; nothing is written")
    if out.suffix.lower() == ".csv":
        if out.exists():
            raise LimenError(f"--out {out}: is there already; name a new file")
        save_list(out, found.files, found.people)
    else:
        save_links(out, found.files, found.people)
    return {
        "out": str(out),
        "images": len(found.files),
        "people": len(set(found.people)),
        **{f"decided_{kind}": count for kind, count in found.decided.items()},
        "decided_pairs_passed_over": decisions.pairs,
        "changes": [one._asdict() for one in found.changes],
        "people_gone": found.people_gone,
    }


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
    return "\n".join(
        [*changes[:LISTED], *more, *gone, *passed, counts, f"{result['images']} images of {result['people']} people: {result['out']}"]
    )
