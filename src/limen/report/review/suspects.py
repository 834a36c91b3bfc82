"""The page of suspects.csv: each image whose label is doubted, beside the person it is said to be and the person it may be."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from limen.data import FaceSource
from limen.data.feed.suspects import COLUMNS
from limen.data.pairs.pair_set import SubsetSource
from limen.errors import LimenError
from limen.inference.table import Progress, embed_images
from limen.models.model import Model
from limen.names import visible
from limen.report.review.page import Pictures, key_of, write_page
from limen.tables import csv_columns, read_csv

SUREST = 3  # images of a person that are shown
LOOKED_AT = 10  # images of a person among which the surest are chosen


def review_suspects(
    table: Path, source: FaceSource, model: Model, page: Path, count: int | None = None, progress: Progress | None = None, **reading: Any
) -> dict[str, Any]:
    """Writes the page of the first `count` suspects in `table`, and returns what stands on it.

    The surest images of a person are those of `LOOKED_AT` not suspected ones that are nearest to their mean direction, by `model`.

    Raises LimenError for a table that is none of suspects, or names images that `source` does not have at that number.
    """
    rows = read_suspects(table, source)
    suspected = {row["index"] for row in rows}
    rows = rows[:count]
    number = {name: label for label, name in enumerate(source.class_names)}
    people = [number[name] for name in dict.fromkeys(name for row in rows for name in (row["person"], row["nearest"]) if name)]
    surest = surest_images(source, model, people, suspected, progress, **reading)
    pictures = Pictures(page)
    items = []
    for row in rows:
        named, likely = number[row["person"]], number.get(row["nearest"])
        sides = [("labelled", named), *([] if likely is None else [("may be", likely)])]
        items.append(
            {
                "file": row["file"],
                "person": row["person"],
                "title": "is this",
                "shown": visible(row["person"]) + "?",
                "likely": None if likely is None else visible(row["nearest"]),
                "images": [pictures.add(source, row["index"])],
                "groups": [
                    {
                        "role": role,
                        "shown": visible(source.class_names[label]),
                        "images": [pictures.add(source, index) for index in surest[label]],
                        "none": "no image of this person that is not under suspicion itself",
                    }
                    for role, label in sides
                ],
                "text": f"{visible(row['file'])} · score {row['score']} (1: the median image) · {row['looks']} looks",
            }
        )
    model_hash = str(model.description["model_sha256"])
    data = {
        "title": f"Suspected labels: {visible(str(table))}",
        "text": "The surest suspects first. Right: the image shows the person it is labelled with. Wrong: it does not. "
        "Decisions are kept in this browser at once; save them as decisions.csv, and let limen data apply write the corrected data.",
        "key": key_of([model_hash, [[row["file"], row["person"]] for row in rows]]),
        "model": model_hash,
        "choices": ["right", "wrong", "unsure", "move"],
        "people": [{"name": name, "shown": visible(name)} for name in source.class_names],
        "items": items,
        "images": pictures.addresses,
    }
    write_page(page, ("decisions.js", "deck.js"), data)
    return {"page": str(page), "items": len(items), "pictures": len(pictures.addresses), "gone": pictures.gone}


def read_suspects(table: Path, source: FaceSource) -> list[dict[str, Any]]:
    """The rows of suspects.csv with `index` a number; `nearest` is empty where the table has none."""
    if absent := [name for name in COLUMNS[:6] if name not in csv_columns(table)]:
        raise LimenError(f"{table}: lacks the column {absent[0]}; give the suspects.csv that a run with adaptive sampling left")
    columns = [name for name in COLUMNS if name in csv_columns(table)]
    rows: list[dict[str, Any]] = []
    for line, row in read_csv(table, columns):
        index = int(row["index"]) if row["index"].isdecimal() and len(row["index"]) < 12 else -1
        if not 0 <= index < len(source) or source.class_names[source.labels[index]] != row["person"]:
            raise LimenError(f"{table}: line {line}: the data have no image {row['index']} of {row['person']}; give --data of that run")
        if Path(source.locate(index)).name != Path(row["file"]).name:
            raise LimenError(f"{table}: line {line}: image {index} is {source.locate(index)}, not {row['file']}; give --data of that run")
        if row.get("nearest") and row["nearest"] not in source.class_names:
            raise LimenError(f"{table}: line {line}: the data have no person {row['nearest']}; give --data of that run")
        rows.append({"nearest": "", **row, "index": index})
    if not rows:
        raise LimenError(f"{table}: names no suspect, so there is nothing to review")
    return rows


def surest_images(
    source: FaceSource, model: Model, people: Sequence[int], suspected: set[int], progress: Progress | None = None, **reading: Any
) -> dict[int, list[int]]:
    """Label -> up to `SUREST` images of the person, the surest first; those under suspicion are not asked."""
    order = np.argsort(source.labels, kind="stable")
    bounds = np.searchsorted(source.labels[order], [(label, label + 1) for label in people])
    asked: dict[int, np.ndarray] = {}
    for label, (start, end) in zip(people, bounds, strict=True):
        own = np.array([index for index in order[start:end].tolist() if index not in suspected], np.int64)
        asked[label] = own[np.unique(np.linspace(0, len(own) - 1, min(len(own), LOOKED_AT)).round().astype(int))] if len(own) else own
    chosen = np.concatenate(list(asked.values()))
    if not len(chosen):
        return {label: [] for label in people}
    vectors = embed_images(model, SubsetSource(source, chosen), progress=progress, **reading).vectors
    surest, start = {}, 0
    for label, own in asked.items():
        mine = vectors[start : start + len(own)]
        start += len(own)
        cosine = mine @ np.nansum(mine, 0)  # NaN of an image that cannot be read, which goes last
        surest[label] = own[np.argsort(-cosine, kind="stable")][: min(SUREST, int(np.isfinite(cosine).sum()))].tolist()
    return surest
