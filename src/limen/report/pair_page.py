"""Two faces and what `limen compare` says of them, as one page."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from markupsafe import Markup

from limen.report.html import Section, face_grid, write_report
from limen.report.quality_sheet import percent

SIDE = 224  # pixels of a face: two stand side by side on a desk, one above the other on a phone
ANSWERS = {"yes": "Yes, one person", "no": "No, two people", "not sure": "Not sure"}


def write_pair_page(path: str, result: Mapping[str, Any], faces: Sequence[np.ndarray]) -> None:
    """The page of what `limen compare` found of two `faces`, (H, W, 3) uint8 RGB each. Raises LimenError where it cannot be written."""
    images = [cv2.resize(face, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC) for face in faces]
    captions = [_caption(result, place) for place in range(2)]
    title = ANSWERS.get(result.get("answer", ""), f"Similarity {result['similarity']:.4f}")
    sections = [
        Section("The two faces", face_grid(images, captions), "As the network sees them."),
        Section("Similarity", _scale(result) + _table(_rows(result)), _reason(result)),
    ]
    write_report(path, title, [], sections)


def _caption(result: Mapping[str, Any], place: int) -> str:
    said = ["/".join(Path(result["ab"[place]]).parts[-2:])]
    if "quality" in result:
        said.append(f"quality {result['quality'][place]:.4f}")
    if "percentile" in result:
        said.append(f"percentile {result['percentile'][place]:.1f}")
    return ", ".join(said)


def _reason(result: Mapping[str, Any]) -> str:
    if "answer" not in result:
        return "No threshold is known, so there is no answer: `limen calibrate` finds the one of a false match rate."
    return f"{result['answer'].capitalize()}: {result['reason']}."


def _scale(result: Mapping[str, Any]) -> Markup:
    """The similarity as a mark on a line from -1 to 1, on which the interval of the threshold is a bar."""
    point = result.get("operating_point")
    said = f"similarity {result['similarity']:.4f}" + (f", threshold {point['low']:.4f} to {point['high']:.4f}" if point else "")
    line = '<line x1="{}" x2="{}" y1="{}" y2="{}" class="{}"/>'
    marks = [(0, 100, 5, 5, "rail")]
    marks += [(50 + 50 * point["low"], 50 + 50 * point["high"], 5, 5, "bar")] if point else []
    marks += [(50 + 50 * result["similarity"],) * 2 + (0, 10, "dot")]
    lines = Markup("").join(Markup(line).format(*mark) for mark in marks)
    shape = 'class="mark" style="--series: var(--series-0)" viewBox="0 0 100 10" preserveAspectRatio="none"'
    return Markup(f'<div><svg {shape} role="img" aria-label="{{}}">{{}}</svg></div>').format(said, lines)


def _rows(result: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    yield "cosine similarity, -1 to 1", f"{result['similarity']:.4f}"
    if point := result.get("operating_point"):
        yield "threshold and its 95 % interval", f"{point['threshold']:.4f} [{point['low']:.4f} to {point['high']:.4f}]"
        yield (
            "false match rate",
            (f"at most {point['fmr']:g}: {point['false_matches']:,} of {point['non_mated']:,} pairs of two people are accepted"),
        )
        yield "false non-match rate", f"{percent(point['fnmr'])} [{100 * point['fnmr_low']:.2f} to {100 * point['fnmr_high']:.2f}]"
        yield "found on", f"{point['people']:,} people of {point['reference']}"
    for place, letter in enumerate("ab"):
        if "quality" in result:
            yield f"quality of {result[letter]}", _caption(result, place).partition(", ")[2]
    if "expected_fnmr" in result:
        yield "false non-match rate expected at this quality", percent(result["expected_fnmr"])
    yield "model", f"{result['model']}, SHA-256 {result['model_sha256']}"


def _table(rows: Iterator[tuple[str, str]]) -> Markup:
    cells = Markup('<tr><th style="white-space: normal; width: 38%">{}</th><td>{}</td></tr>')
    return Markup("<table><tbody>{}</tbody></table>").format(Markup("").join(cells.format(*row) for row in rows))
