"""Who was taken for whom in a search: in the text, and as CSV."""

from collections.abc import Sequence
from os import PathLike

from limen.protocols import Result
from limen.tables import write_csv

LISTED = 5  # mistakes in the text; the CSV has them all
COLUMNS = ("evaluation", "gallery", "probe", "person", "enrolled", "taken_for", "score", "own_score")


def mistake_lines(result: Result) -> list[str]:
    """How many probes were taken for somebody else, and the surest of these mistakes."""
    if not result.mistakes:
        return []
    mated = sum(mistake.enrolled for mistake in result.mistakes)
    strangers = len(result.mistakes) - mated
    lines = [f"  taken for somebody else: {mated:,} probes of the enrolled, {strangers:,} others (misidentified.csv); the surest:"]
    for mistake in result.mistakes[:LISTED]:
        own = "its own entry failed" if mistake.own_score is None else f"{mistake.own_score:.3f} with its own"
        own = own if mistake.enrolled else "not enrolled"
        person = f" ({mistake.person})" if mistake.person else ""
        lines.append(f"    {mistake.probe}{person} for {mistake.taken_for}: {mistake.score:.3f}, {own}")
    return lines


def write_mistakes_csv(path: str | PathLike[str], results: Sequence[Result]) -> None:
    """The mistakes of all results, with the columns COLUMNS."""
    rows = [
        (result.label, m.gallery, m.probe, m.person, "yes" if m.enrolled else "no", m.taken_for, *map(_number, (m.score, m.own_score)))
        for result in results
        for m in result.mistakes
    ]
    write_csv(path, COLUMNS, rows)


def _number(score: float | None) -> str:
    return "" if score is None else f"{score:.6g}"
