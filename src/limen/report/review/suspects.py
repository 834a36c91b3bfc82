"""The page of doubted labels: each image beside the person it is said to be and the person it may be.

Training doubts them (suspects.csv), or the audit of a gallery (its outliers).
"""

import os
from pathlib import Path
from typing import Any

from limen.data import FaceSource
from limen.data.feed.suspects import COLUMNS
from limen.decision.audit import OUTLIERS
from limen.errors import LimenError
from limen.inference.table import Progress
from limen.models.model import Model
from limen.names import visible
from limen.report.review.page import Pictures, key_of, write_deck
from limen.report.review.surest import model_hash, surest_images
from limen.tables import csv_columns, read_csv


def review_suspects(
    table: Path,
    source: FaceSource,
    model: Model | None,
    page: Path,
    count: int | None = None,
    progress: Progress | None = None,
    **reading: Any,
) -> dict[str, Any]:
    """Writes the page of the first `count` suspects in `table`, and returns what stands on it.

    The surest images of a person are those of `surest_images`, by `model` or by the vectors that `source` has.

    Raises LimenError for a table of neither kind, and for one that names images that `source` does not have.
    """
    rows = _read(table, source)
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
                "text": f"{visible(row['file'])} · {row['why']}",
            }
        )
    by = model_hash(source, model)
    return write_deck(
        pictures,
        items,
        title=f"Suspected labels: {visible(str(table))}",
        text="The surest suspects first. Right: the image shows the person it is labelled with. Wrong: it does not. "
        "Decisions are kept in this browser at once; save them as decisions.csv, and let limen data apply write the corrected data.",
        key=key_of([by, [[row["file"], row["person"]] for row in rows]]),
        model=by,
        next="Next: limen data apply decisions.csv",
        choices=["right", "wrong", "unsure", "move"],
        people=[{"name": name, "shown": visible(name)} for name in source.class_names],
    )


def _read(table: Path, source: FaceSource) -> list[dict[str, Any]]:
    """The rows of the table with `index` a number and `why` in words; `nearest` is empty where the table has none."""
    known = csv_columns(table)
    if "index" not in known and set(OUTLIERS) <= set(known):
        return _read_outliers(table, source)
    if absent := [name for name in COLUMNS[:6] if name not in known]:
        raise LimenError(f"{table}: lacks the column {absent[0]}; give the suspects.csv that a run with adaptive sampling left")
    columns = [name for name in COLUMNS if name in known]
    rows: list[dict[str, Any]] = []
    for line, row in read_csv(table, columns):
        index = int(row["index"]) if row["index"].isdecimal() and len(row["index"]) < 12 else -1
        if not 0 <= index < len(source) or source.class_names[source.labels[index]] != row["person"]:
            raise LimenError(f"{table}: line {line}: the data have no image {row['index']} of {row['person']}; give --data of that run")
        if Path(source.locate(index)).name != Path(row["file"]).name:
            raise LimenError(f"{table}: line {line}: image {index} is {source.locate(index)}, not {row['file']}; give --data of that run")
        if row.get("nearest") and row["nearest"] not in source.class_names:
            raise LimenError(f"{table}: line {line}: the data have no person {row['nearest']}; give --data of that run")
        why = f"score {row['score']} (1: the median image) · {row['looks']} looks"
        rows.append({"nearest": "", **row, "index": index, "why": why})
    if not rows:
        raise LimenError(f"{table}: names no suspect, so there is nothing to review")
    return rows


def _read_outliers(table: Path, source: FaceSource) -> list[dict[str, Any]]:
    number = {os.path.realpath(source.locate(index)): index for index in range(len(source))}
    names, rows = set(source.class_names), list[dict[str, Any]]()
    for line, row in read_csv(table, OUTLIERS):
        index = number.get(os.path.realpath(row["file"]), -1)
        if index < 0 or source.class_names[source.labels[index]] != row["person"] or row["nearest"] not in names:
            said = f"{row['file']} of {row['person']} beside {row['nearest']}"
            raise LimenError(f"{table}: line {line}: the data do not have {said}; give --data the file that was audited")
        why = f"cosine {row['score']} to the others of {visible(row['person'])}, {row['nearest_cosine']} to {visible(row['nearest'])}"
        rows.append({**row, "index": index, "why": why})
    if not rows:
        raise LimenError(f"{table}: names no outlier, so there is nothing to review")
    return rows
