"""Look through a gallery, or any embeddings of people, for what is wrong in it.

  limen audit gallery.npz
  limen audit gallery.npz --model model.safetensors --outliers outliers.csv --pairs pairs.csv
  limen audit faces.npz --threshold 0.45 --json

The file is what `limen embed` wrote, with --templates or without; the person in an image is then the name of its folder. Three things are
told:
  outliers        images that are more like another person than the rest of their own, with both cosines
  pairs           people too much alike: one person under two names, or two whom the model cannot tell apart
  best stranger   the score that half, 10 and 1 in 100 of the people reach with the stranger most like them, and its interval over people:
                  a threshold below it takes so many for somebody else

Two people are too much alike from --threshold on, or from the model's threshold at its lowest false match rate (--model); else where they
are as near to each other as either is to itself: the mean cosine of an image to the rest of its person.
"""

import argparse
from pathlib import Path
from typing import Any

from limen.cli.inference import chosen_threshold
from limen.decision.audit import OUTLIERS, PAIRS, audit
from limen.decision.gallery import check_made_by
from limen.decision.vectors_file import EmbeddedPeople
from limen.errors import LimenError
from limen.models.model import open_model
from limen.tables import write_csv

LISTED = 10  # lines of a list in the text; --json and the tables have them all


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("gallery", metavar="GALLERY.npz", help="what limen embed wrote")
    parser.add_argument("--threshold", type=float, metavar="X", help="cosine from which two people are too much alike")
    parser.add_argument("--model", metavar="MODEL", help="take the threshold of its lowest false match rate")
    parser.add_argument("--outliers", metavar="FILE.csv", help=f"write the outliers: {', '.join(OUTLIERS)}")
    parser.add_argument("--pairs", metavar="FILE.csv", help=f"write the pairs of people: {', '.join(PAIRS)}")


def run(options: argparse.Namespace) -> dict[str, Any]:
    for path in filter(None, (options.outliers, options.pairs)):
        if Path(path).suffix.lower() != ".csv":
            raise LimenError(f"{path}: is a table; give a name that ends in .csv")
    gallery = EmbeddedPeople(options.gallery)
    if options.outliers and gallery.vectors is None:
        raise LimenError(
            f"{options.gallery}: holds no vectors of images, so it has no outliers; write it anew with limen embed --templates"
        )
    model = open_model(options.model) if options.model else None
    if model:
        check_made_by(options.gallery, gallery.made_by, model)
    given = model is not None or options.threshold is not None
    found = audit(gallery, chosen_threshold(model, options) if given else None)
    for path, columns, rows in ((options.outliers, OUTLIERS, found.outliers), (options.pairs, PAIRS, found.alike)):
        if path:
            write_csv(path, columns, ([row[column] for column in columns] for row in rows or []))
    return {
        "gallery": options.gallery,
        "people": len(gallery.class_names),
        "images": len(gallery),
        "outliers": found.outliers,
        "alike": found.alike,
        "threshold": found.threshold,
        "people_of_one_image": found.unjudged,
        "best_strangers": [one._asdict() for one in found.best_strangers],
        "tables": [path for path in (options.outliers, options.pairs) if path],
    }


def text(result: dict[str, Any]) -> str:
    lists = {
        "images are more like another person than the rest of their own": [
            f"{row['file']}: {row['person']} {row['score']:.4f}, {row['nearest']} {row['nearest_cosine']:.4f}"
            for row in result["outliers"] or []
        ],
        "pairs of people are too much alike": [f"{row['score']:7.4f}  {row['person']}  {row['other']}" for row in result["alike"]],
    }
    lines = []
    for what, rows in lists.items():
        more = [f"  and {len(rows) - LISTED} more; --json has them all"] if len(rows) > LISTED else []
        lines += [f"{len(rows)} {what}{':' if rows else ''}", *(f"  {row}" for row in rows[:LISTED]), *more]
    if result["outliers"] is None:
        lines[0] = "outliers: the file holds no vectors of images; write it anew with limen embed --templates"
    if result["people_of_one_image"]:
        lines.append(f"{result['people_of_one_image']} people have one image, of which nothing can be told")
    lines += [
        f"the best stranger of {row['share']:.0%} of the people scores {row['score']:.4f} or more ({row['low']:.4f} to {row['high']:.4f})"
        for row in result["best_strangers"]
    ]
    rule = "as near as either is to itself" if result["threshold"] is None else f"cosine {result['threshold']:.4f} or more"
    return "\n".join([*lines, f"{result['people']} people, {result['images']} images; too much alike: {rule}", *result["tables"]])
