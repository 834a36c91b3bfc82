"""What one command writes as CSV every other reads, and no spreadsheet runs."""

import csv
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limen.errors import LimenError
from limen.tables import read_csv, write_csv

names = st.binary(max_size=12).map(lambda data: os.fsdecode(data.replace(b"\0", b"0"))) | st.text("='+-@\t1a ", max_size=6)
FORMULAS = ["=1+1", "+cmd|' /C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", '=HYPERLINK("http://x")', "＝1+1", "'=1"]


@settings(deadline=None)
@given(st.lists(st.tuples(names, names), max_size=5))
def test_any_names_are_read_back_as_they_were_written(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    write_csv(path, ["file", "person"], rows)
    assert [(row["file"], row["person"]) for _, row in read_csv(path, ["file", "person"])] == rows


@pytest.mark.parametrize("name", FORMULAS)
def test_no_cell_is_a_formula(tmp_path, name):
    write_csv(tmp_path / "t.csv", ["file", "score"], [[name, -0.5]])
    with open(tmp_path / "t.csv", newline="") as file:
        _, (cell, number) = csv.reader(file)
    assert cell == "'" + name
    assert number == "-0.5"
    ((_, row),) = read_csv(tmp_path / "t.csv", ["file"])
    assert row == {"file": name}


@pytest.mark.parametrize("number", [-1, -0.25, 1e-300, float("-inf"), "-0.1234", "+3", None])
def test_numbers_stay_numbers(tmp_path, number):
    write_csv(tmp_path / "t.csv", ["score", "x"], [[number, 1]])
    assert (tmp_path / "t.csv").read_text().splitlines()[1] == f"{'' if number is None else number},1"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "lacks the columns file and score"),
        (b"file\na\n", "lacks the column score"),
        (b"file,score,score\na,1,2\n", "has the column score twice; take one of them out"),
        (b"file,score\na\n", r"line 2 is no file, score \(it has no score\)"),
        (b'file,score\n"' + b"a" * 200_000, r"line . is no file, score \(field larger"),
    ],
)
def test_other_files_are_refused_in_one_line(tmp_path, text, reason):
    (tmp_path / "t.csv").write_bytes(text)
    with pytest.raises(LimenError, match=rf"t\.csv: {reason}"):
        list(read_csv(tmp_path / "t.csv", ["file", "score"]))
