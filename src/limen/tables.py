"""CSV files: written so that no spreadsheet runs a cell, read back as they were written."""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from limen.errors import LimenError
from limen.files import atomic_write, read_plain_file

LIMIT = 1 << 30  # bytes of a CSV file that is read
# A spreadsheet takes a cell that begins so for a formula. A quote before it, the spreadsheets' own sign for text, is put there in writing
# and taken away in reading; cells that begin with quotes before such a sign get one more, so that none is lost.
_FORMULA = re.compile("'*[=+\\-@\t\r\n＝＋－＠]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(inf|nan)", re.IGNORECASE | re.ASCII)


def write_csv(path: str | PathLike[str], header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Writes the table all at once, in UTF-8 but for the bytes of names that are not. Raises LimenError where the system refuses."""

    def write(temporary: Path) -> None:
        with open(temporary, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            table = csv.writer(file)
            table.writerow(header)
            table.writerows([_guarded(cell) for cell in row] for row in rows)

    atomic_write(path, write)


def read_csv(path: str | PathLike[str], columns: Sequence[str]) -> Iterator[tuple[int, dict[str, str]]]:
    """The number of the line and the cells by column of every row of a CSV file that has `columns`; other columns are passed over.

    Raises LimenError for no plain file, a file without the columns or with one of them twice, and a row that lacks a cell.
    """
    wanted = ", ".join(columns)
    try:
        data = read_plain_file(path, LIMIT)
    except LimenError as error:
        raise LimenError(f"{error}; it needs the columns {wanted}") from error
    table = csv.DictReader(io.StringIO(data.decode("utf-8-sig", "surrogateescape"), newline=""))
    try:
        if missing := [column for column in columns if column not in (table.fieldnames or ())]:
            lacking = f"column{'s' * (len(missing) > 1)} {' and '.join(missing)}"
            raise LimenError(f"{path}: lacks the {lacking}; the first line is {','.join(columns)}")
        for column in columns:
            if list(table.fieldnames or ()).count(column) > 1:
                raise LimenError(f"{path}: has the column {column} twice; take one of them out")
        for row in table:
            if short := [column for column in columns if row[column] is None]:
                raise LimenError(f"{path}: line {table.line_num} is no {wanted} (it has no {short[0]}); correct it")
            yield table.line_num, {column: _bare(row[column]) for column in columns}
    except csv.Error as error:
        raise LimenError(f"{path}: line {table.line_num} is no {wanted} ({error}); correct it") from error


def csv_columns(path: str | PathLike[str]) -> list[str]:
    """The names in the first line of a CSV file. Raises LimenError for no plain file, one without a first line, and a name twice."""
    text = read_plain_file(path, LIMIT).decode("utf-8-sig", "surrogateescape")
    try:
        columns = [_bare(cell) for cell in next(csv.reader(io.StringIO(text, newline="")), [])]
    except csv.Error as error:
        raise LimenError(f"{path}: is no CSV file ({error}); correct it") from error
    if not columns or len(set(columns)) < len(columns):
        raise LimenError(f"{path}: the first line has to name the columns, each once; it is {','.join(columns) or 'empty'}")
    return columns


def _guarded(cell: Any) -> Any:
    return f"'{cell}" if isinstance(cell, str) and _FORMULA.match(cell) and not _NUMBER.fullmatch(cell) else cell


def _bare(cell: str) -> str:
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell
