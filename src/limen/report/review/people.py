"""The page of pairs of people: are these two one person? Of two sets that overlap, or of one in which two are much alike."""

import math
from pathlib import Path
from typing import Any

import numpy as np

from limen.data import FaceSource
from limen.decision.audit import PAIRS
from limen.errors import LimenError
from limen.inference.table import Progress
from limen.models.model import Model
from limen.names import visible
from limen.report.review.page import Pictures, key_of, write_deck
from limen.report.review.surest import model_hash, surest_images
from limen.tables import read_csv


def review_people(
    table: Path,
    first: FaceSource,
    second: FaceSource | None,
    model: Model | None,
    page: Path,
    count: int | None = None,
    progress: Progress | None = None,
    **reading: Any,
) -> dict[str, Any]:
    """Writes the page of the first `count` pairs of people in `table`, and returns what stands on it.

    Columns: person, of `first`; other, of `second`, or of `first` too where there is no second; score, their cosine or nothing.
    A decision names a person by the surest of the images, for names may stand in both sets.

    Raises LimenError for a table that is none, and for people whom the data do not have.
    """
    sets = (first, second if second is not None else first)
    rows = _read(table, *sets)[:count]
    surest = [
        surest_images(source, model, sorted({row[0][side] for row in rows}), set(), progress, **reading) for side, source in enumerate(sets)
    ]
    pictures, items, keys = Pictures(page), [], []
    for pair, score in rows:
        names, files, numbers = [], [], []
        for label, source, sure in zip(pair, sets, surest, strict=True):
            own = sure[label] or np.flatnonzero(source.labels == label)[:1].tolist()
            names.append(source.class_names[label])
            files.append(source.locate(own[0]))
            numbers.append([pictures.add(source, index) for index in own])
        items.append(
            {
                "file": files[0],
                "person": names[0],
                "pair_with": files[1],
                "title": "one person",
                "shown": visible(" and ".join(names)) + "?",
                "images": [own[0] for own in numbers],
                "groups": [
                    {"role": role, "shown": visible(name), "images": own[1:], "none": "no other image of this person"}
                    for role, name, own in zip(("first", "second"), names, numbers, strict=True)
                ],
                "text": f"cosine {'unknown' if math.isnan(score) else f'{score:.4f}'}{' · the same name' * (names[0] == names[1])} · "
                f"{visible(files[0])} · {visible(files[1])}",
            }
        )
        keys.append([files[0], files[1]])
    by = model_hash(first, model)
    into = "limen data overlap ... --decisions decisions.csv" if second is not None else "limen data apply decisions.csv"
    return write_deck(
        pictures,
        items,
        title=f"Pairs of people: {visible(str(table))}",
        text="The most alike first. Those near the threshold are the most doubtful. Decisions are kept in this browser at once; save "
        f"them as decisions.csv, which {into} reads.",
        key=key_of([by, keys]),
        model=by,
        next=f"Next: {into}",
        choices=["same", "different", "unsure"],
        people=[],
    )


def _read(table: Path, first: FaceSource, second: FaceSource) -> list[tuple[tuple[int, int], float]]:
    """Labels in the first and the second set, and the score, in the order of the table."""
    numbers = [{name: label for label, name in enumerate(source.class_names)} for source in (first, second)]
    rows = []
    for line, row in read_csv(table, PAIRS):
        for column, number in zip(PAIRS[:2], numbers, strict=True):
            if row[column] not in number:
                raise LimenError(f"{table}: line {line}: the data have no person {row[column]}; give the sets that the table is of")
        try:
            score = float(row["score"] or "nan")
        except ValueError as error:
            raise LimenError(f"{table}: line {line}: {row['score']!r} is no score; correct it") from error
        rows.append(((numbers[0][row["person"]], numbers[1][row["other"]]), score))
    if not rows:
        raise LimenError(f"{table}: names no pair of people, so there is nothing to review")
    return rows
