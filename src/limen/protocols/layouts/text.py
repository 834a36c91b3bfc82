"""Lists as they circulate: with a byte-order mark, the line ends of any system, blank lines, and no last one."""

import csv
import io
import re
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from limen.errors import LimenError
from limen.files import MIB, open_plain_file, read_plain_file

LARGEST = 1024 * MIB
_ENDS = re.compile("\r\n|\n|\r")


def lines_of(path: Path) -> Iterator[tuple[int, str]]:
    """(number from 1, text) of each line that is not blank."""
    text = read_plain_file(path, LARGEST).decode("utf-8-sig", "surrogateescape")
    return ((number, line) for number, line in enumerate(_ENDS.split(text), start=1) if line.strip())


def rows_of(path: Path, fields: int | Sequence[int], separator: str | None = None, skip: int = 0) -> Iterator[tuple[int, list[str]]]:
    """(number from 1, its fields) of each line after the first `skip`.

    Args:
        fields: how many a line has; several numbers where lines may differ.
        separator: between fields; None is any white space.

    Raises:
        LimenError: names the file and the line that has another number of fields.
    """
    allowed = (fields,) if isinstance(fields, int) else tuple(fields)
    for place, (number, line) in enumerate(lines_of(path)):
        if place < skip:
            continue
        row = [field.strip() for field in line.split(separator)]
        if len(row) not in allowed:
            expected = f"{fields[0]} to {fields[-1]}" if isinstance(fields, range) else " or ".join(map(str, allowed))
            raise wrong_line(path, number, f"has {len(row)} fields where {expected} are expected")
        yield number, row


def csv_rows(path: Path) -> Iterator[tuple[int, list[str]]]:
    """(number of its last line, its cells) of each row of a comma table whose cells may be quoted. Raises LimenError for another."""
    with open_plain_file(path, LARGEST) as file, io.TextIOWrapper(file, "utf-8-sig", "surrogateescape", newline="") as lines:
        rows = csv.reader(lines)
        try:
            for row in rows:
                if row:
                    yield rows.line_num, row
        except csv.Error as error:
            raise wrong_line(path, rows.line_num, f"is no line of a table ({error})") from error


def wrong_line(path: Path, number: int, why: str) -> LimenError:
    return LimenError(f"{path}: line {number} {why}; correct it or fetch the file again")


def whole_number(path: Path, line: int, text: str) -> int:
    """`text` as a number from 0. Raises LimenError naming the line."""
    if not re.fullmatch("[0-9]{1,18}", text):
        raise wrong_line(path, line, f"has {text!r} where a whole number is expected")
    return int(text)


def numbers_of(path: Path, line: int, row: Sequence[str]) -> list[float]:
    """The fields of a line as numbers. Raises LimenError that names the line."""
    try:
        values = [float(text) for text in row]
    except ValueError as error:
        raise wrong_line(path, line, f"has a field that is no number ({error})") from error
    if not np.isfinite(values).all():
        raise wrong_line(path, line, "has a number that is not finite")
    return values


def number_table(path: Path, fields: int) -> np.ndarray:
    """(L, fields) int64 of a file of whole numbers, white space between them; of millions of lines.

    Raises LimenError as `rows_of`, and where something is no whole number.
    """
    with open_plain_file(path) as file, io.TextIOWrapper(file, "utf-8-sig") as lines, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of an empty file, which is said below
        try:
            table = np.loadtxt(lines, np.int64, comments=None, ndmin=2)
        except ValueError:
            table = np.empty((0, 0), np.int64)
    if table.shape[1] == fields and len(table):
        return table
    for line, row in rows_of(path, fields):  # again, to name the line
        for text in row:
            whole_number(path, line, text.removeprefix("-"))
    raise LimenError(f"{path}: holds no lines of {fields} whole numbers; fetch it again")
