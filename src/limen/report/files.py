"""The folder of an evaluation: result.json, report.html; where there are any tables tables.*, where qualities are
judged edc.csv, and of searches misidentified.csv."""

import sys
from collections.abc import Sequence
from pathlib import Path

from limen.errors import LimenError
from limen.protocols import Result, load_results, save_results
from limen.report.comparison_tables import tables_of
from limen.report.curves import write_edc_csv
from limen.report.html import Section, write_report
from limen.report.number_tables import write_tables
from limen.report.searches import write_mistakes_csv


def check_earlier(out: Path, judged: set[tuple[str, str]]) -> None:
    """Raises LimenError where OUT holds the results of others than the `judged` (name, model); says on stderr that it replaces them."""
    earlier = out / "result.json"
    if not earlier.exists():
        return
    found = {(result.name, result.model) for result in load_results(earlier)}
    if found != judged:
        pairs, model = next(iter(found - judged or found), ("nothing", ""))
        raise LimenError(f"{out}: holds the report of {model or 'another model'} on {pairs}; choose another --out, or remove it")
    print(f"{out}: the earlier report of the same models and pairs is replaced", file=sys.stderr)


def write_evaluation(out: Path, title: str, results: Sequence[Result], sections: Sequence[Section] = ()) -> dict[str, str]:
    """What was written, by what it is: "report", "result" and, where there are any, "tables", "curves" and "mistakes"."""
    out.mkdir(parents=True, exist_ok=True)
    files = {"report": out / "report.html", "result": out / "result.json"}
    save_results(results, files["result"])
    write_report(files["report"], title, results, sections)
    if tables := tables_of(results):
        files |= write_tables(out, tables)
    if any(result.discarding for result in results):
        files["curves"] = out / "edc.csv"
        write_edc_csv(files["curves"], results)
    if any(result.mistakes for result in results):
        files["mistakes"] = out / "misidentified.csv"
        write_mistakes_csv(files["mistakes"], results)
    return {name: str(path) for name, path in files.items()}
