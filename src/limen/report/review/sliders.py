"""The pages with a slider: a quality from worst to best, and a threshold over the scores of pairs."""

from pathlib import Path
from typing import Any

import numpy as np

from limen.data import FileSource
from limen.errors import LimenError
from limen.metrics.intervals import proportion_interval
from limen.names import visible
from limen.protocols import Result
from limen.report.quality_sheet import COLUMNS
from limen.report.review.page import IN_PAGE, Pictures, write_page
from limen.tables import csv_columns, read_csv

START = 1e-3  # the FMR at which the slider stands at first
ELSEWHERE = "A threshold chosen on these pairs has to be reported on others: here its rates are too good."


def review_quality(table: Path, page: Path) -> dict[str, Any]:
    """Writes the page of a CSV file of `limen quality --csv`: its faces from worst to best, `IN_PAGE` at most, evenly spaced in rank.

    Raises LimenError for a table without qualities, or none of whose images is there.
    """
    calibrated = set(COLUMNS) <= set(csv_columns(table))
    columns = COLUMNS if calibrated else COLUMNS[:2]
    rows = []
    for line, row in read_csv(table, columns):
        try:
            values = [float(row[column]) for column in columns[1:] if row[column]]
        except ValueError as error:
            raise LimenError(f"{table}: line {line} holds no {', '.join(columns)} ({error}); correct it") from error
        if values and np.isfinite(values).all():  # a failure to acquire has an empty row
            rows.append((row["file"], values))
    if not rows:
        raise LimenError(f"{table}: holds no quality of any image; write it with limen quality --csv")
    calibrated = calibrated and all(len(values) == len(columns) - 1 for _, values in rows)
    rows.sort(key=lambda row: row[1][0])
    shown = np.unique(np.linspace(0, len(rows) - 1, min(len(rows), IN_PAGE)).round().astype(int)).tolist()
    source, pictures = FileSource([rows[rank][0] for rank in shown], size=None), Pictures(page)
    faces = []
    for place, rank in enumerate(shown):
        file, values = rows[rank]
        meaning = dict(zip(("percentile", "fnmr", "low", "high"), values[1:], strict=True)) if calibrated else {}
        face = {"rank": rank, "quality": values[0], "image": pictures.add(source, place), "shown": visible("/".join(Path(file).parts[-2:]))}
        faces.append(face | meaning)
    if len(pictures.gone) == len(faces):
        raise LimenError(f"{table}: none of its images is there (first: {pictures.gone[0]}); check the paths")
    said = (
        "Every face stands here."
        if len(shown) == len(rows)
        else f"{len(shown):,} of {len(rows):,} faces stand here, evenly spaced in rank."
    )
    text = f"From worst to best. The slider refuses the faces before it. {said}"
    if not calibrated:
        text += " The model is not calibrated, so a quality orders images and says no more: see limen calibrate."
    data = {"title": f"Quality: {visible(str(table))}", "text": text, "calibrated": calibrated, "total": len(rows), "faces": faces}
    write_page(page, ("quality.js",), data | {"images": pictures.addresses})
    return {"page": str(page), "items": len(faces), "pictures": len(faces), "gone": pictures.gone}


def review_threshold(results: list[Result], of: Path, page: Path) -> dict[str, Any]:
    """Writes the page of a threshold over the scores of the pairs of each of `results`, which were read from `of`.

    The thresholds are those of the ROC; intervals are Clopper and Pearson's, as if pairs were independent.
    Raises LimenError where no result has a ROC and a histogram.
    """
    found = [one for one in map(_scores, results) if one is not None]
    if not found:
        raise LimenError(f"{of}: holds no scores of pairs; evaluate pairs of images anew")
    text = f"{ELSEWHERE} Intervals take pairs for independent; those of people who stand in many pairs are wider, as the report's are."
    data = {"title": f"Threshold: {visible(str(of))}", "text": text, "results": found, "images": []}
    write_page(page, ("threshold.js",), data)
    return {"page": str(page), "items": len(found), "pictures": 0, "gone": []}


def _scores(result: Result) -> dict[str, Any] | None:
    roc, histogram = result.curve("roc"), result.curve("histogram")
    if roc is None or histogram is None:
        return None
    mated, non_mated = (result.counts.get(name, 0) for name in ("mated", "non_mated"))
    columns = [np.array(roc.points[name], float) for name in ("threshold", "far", "tar", "false_matches")]  # None becomes NaN
    points = np.stack(columns, 1)
    points = points[np.isfinite(points).all(1)]
    if not len(points) or not mated or not non_mated:
        return None
    threshold, far, tar, matches = points[np.argsort(points[:, 0], kind="stable")].T
    misses = np.round((1 - tar) * mated)
    rows = [threshold, far, matches, *proportion_interval(matches, non_mated), 1 - tar, misses, *proportion_interval(misses, mated)]
    return {
        "shown": visible(f"{result.name} · {result.model}"),
        **histogram.points,
        "mated_pairs": mated,
        "non_mated_pairs": non_mated,
        "points": np.stack(rows, 1).tolist(),
        "start": int(np.argmax(far <= START)) if (far <= START).any() else len(far) - 1,
    }
