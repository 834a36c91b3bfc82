"""MATLAB files of version 5 are read as scipy reads them, and damaged ones are refused: scipy's reader crashes on some."""

import io
import struct
import zlib

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from limen.errors import LimenError
from limen.protocols.layouts.mat5 import variables
from limen.protocols.layouts.matlab import read_matlab
from search_trees import cells

LIMIT = 1 << 20
HELD = {
    "names": cells(["18_3.jpg", "Zoë_1.jpg", ""]),
    "ids": np.array([[1], [2], [70000]], np.uint32),
    "small": np.array([[7]], np.uint8),
    "real": np.array([[0.5, -1e300, np.nan], [1, 2, 3]]),
    "flags": np.array([[True, False]]),
    "none": np.empty((0, 0)),
    "rows": np.array(["abc", "def"]),
    "deep": cells([cells([np.array([[1, 2], [3, 4]], np.int16)]), np.float32([[2.5]])]),
    "record": np.array([[("ann", 41.0), ("bo", 42.0)]], [("stem", object), ("age", object)]),
}


def saved(held, **options):
    savemat(file := io.BytesIO(), held, **options)
    return file.getvalue()


def same(one, other):
    if isinstance(one, np.ndarray) and one.dtype.names:
        return one.dtype.names == other.dtype.names and all(same(one[name], other[name]) for name in one.dtype.names)
    if isinstance(one, np.ndarray) and one.dtype == object:
        return one.shape == other.shape and all(map(same, one.flat, other.flat))
    return np.array_equal(one, other, equal_nan=one.dtype.kind == "f")


@pytest.mark.parametrize("compressed", [False, True])
def test_it_reads_what_scipy_reads(compressed):
    data = saved(HELD, do_compression=compressed)
    found, theirs = variables(data, LIMIT), loadmat(io.BytesIO(data))
    assert list(found) == list(HELD)
    for name, value in found.items():
        assert same(value, theirs[name]), (name, value, theirs[name])


def test_the_other_order_of_bytes():
    def element(kind, data):
        return struct.pack(">II", kind, len(data)) + data + bytes(-len(data) % 8)

    matrix = element(6, struct.pack(">II", 6, 0)) + element(5, struct.pack(">ii", 1, 2)) + element(1, b"ids")
    matrix += element(9, struct.pack(">dd", 3, 4))
    found = variables(b"MATLAB 5.0".ljust(124) + b"\x01\x00MI" + element(14, matrix), LIMIT)
    np.testing.assert_array_equal(found["ids"], [[3.0, 4.0]])


def bomb():
    return saved({"a": np.zeros((1, 2 * LIMIT), np.uint8)}, do_compression=True)


def cell_bomb():
    data = bytearray(saved({"a": cells(["x"])}))
    place = data.index(struct.pack("<ii", 1, 1))
    data[place : place + 8] = struct.pack("<ii", 1 << 30, 1)
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "does not begin as files of version 5 do"),
        (b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM", "save it in MATLAB with -v7"),
        (saved(HELD)[:-9], "cut short"),
        (saved(HELD)[:-9] + b"\xff" * 9, "where|cut short|class"),
        (bomb(), "cut short or too large"),
        (cell_bomb(), "cut short"),
        (saved({"a": np.array([[1 + 2j]])}), "a value of class 6"),
        (saved({"a": HELD["ids"]}) + saved({"a": HELD["ids"]})[128:], "a stands twice"),
        (saved(HELD)[:128] + struct.pack("<II", 15, 4) + zlib.compress(b"")[:4], "cut short"),
    ],
)
def test_what_is_no_whole_file_is_refused(tmp_path, monkeypatch, data, reason):
    monkeypatch.setattr("limen.protocols.layouts.matlab.LARGEST", LIMIT)
    (tmp_path / "a.mat").write_bytes(data)
    with pytest.raises(LimenError, match=rf"a.mat: is no MATLAB file that can be read \(.*({reason})"):
        read_matlab(tmp_path / "a.mat", "ids")


def test_a_variable_that_is_absent_is_named(tmp_path):
    (tmp_path / "a.mat").write_bytes(saved({"gallery": HELD["ids"]}))
    with pytest.raises(LimenError, match=r"a.mat: lacks ids; it holds gallery; is it the right file\?"):
        read_matlab(tmp_path / "a.mat", "ids")
