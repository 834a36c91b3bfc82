"""What is told of searches besides their rates: how these change with the size of the gallery, and who was taken for whom."""

from collections.abc import Callable, Sequence
from os import PathLike

from limen.protocols import Metric, Result
from limen.tables import write_csv

LISTED = 5  # mistakes in the text; the CSV has them all
COLUMNS = ("evaluation", "gallery", "probe", "person", "enrolled", "taken_for", "score", "own_score")


def size_lines(result: Result, told: Callable[[Metric], str]) -> list[str]:
    """A line for each of the smaller galleries: each of its rates as `told` has it, those of the highest rank and mAP left out."""
    own = [metric for metric in result.metrics if "enrolled" in metric.at and metric.value is not None]
    sizes = sorted({metric.at["enrolled"] for metric in own})
    width = max((len(f"{size:,.0f}") for size in sizes), default=0)
    lines = []
    for size in sizes:
        shown = [m for m in own if m.at["enrolled"] == size and (m.quantity in ("tpir", "fpir") or m.at.get("rank") == 1)]
        lines.append(f"    {size:>{width},.0f} enrolled   {'   '.join(map(told, shown))}")
    return ["  smaller galleries within this one", *lines] if lines else []


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
