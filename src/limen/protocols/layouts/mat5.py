"""MATLAB's MAT-files of version 5, read without leaving the file's bytes: scipy's reader crashes the process on some damaged files.

MathWorks, "MAT-File Format", chapter 1. Numbers, texts, cells and structures are read; what holds another kind of value is refused.
"""

import math
import struct
import zlib
from typing import Any, NamedTuple

import numpy as np

HEADER, TAG = 128, 8
NUMBERS = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
MATRIX, COMPRESSED = 14, 15
CELL, STRUCTURE, TEXT, FIRST_NUMERIC, LAST_NUMERIC = 1, 2, 4, 6, 15
COMPLEX = 0x800
ENCODINGS = {1: "latin-1", 2: "latin-1", 4: "utf-16", 16: "utf-8", 17: "utf-16", 18: "utf-32"}
DEEPEST = 8  # cells in one another


class Element(NamedTuple):
    kind: int
    data: memoryview


def variables(data: bytes, limit: int) -> dict[str, Any]:
    """Name -> value of each variable. Raises ValueError for anything but a whole file of version 5, of at most `limit` bytes unpacked.

    A number array is one of numpy, a text an array (rows,) of str, cells an object array of such values, and a structure an array with
    an object field for each of its own. All have MATLAB's dimensions but texts.
    """
    if data[:6] == b"MATLAB" and data[124:128] in (b"\x00\x02IM", b"\x02\x00MI"):
        raise ValueError("it is of version 7.3; save it in MATLAB with -v7")
    if len(data) < HEADER or data[126:128] not in (b"IM", b"MI"):
        raise ValueError("it does not begin as files of version 5 do")
    order = "<" if data[126:128] == b"IM" else ">"
    found: dict[str, Any] = {}
    rest = memoryview(data)[HEADER:]
    while len(rest):
        element, rest = _next(rest, order)
        if element.kind == COMPRESSED:
            inflate = zlib.decompressobj()
            try:
                unpacked = inflate.decompress(element.data, limit)
            except zlib.error as error:
                raise ValueError(str(error)) from error
            if not inflate.eof:
                raise ValueError("a variable is cut short or too large")
            limit -= len(unpacked)
            element, _ = _next(memoryview(unpacked), order)
        if element.kind != MATRIX:
            raise ValueError(f"an element of type {element.kind} where a variable is expected")
        name, value = _matrix(element.data, order, DEEPEST)
        if name in found:
            raise ValueError(f"{name[:40]} stands twice")
        found[name] = value
    return found


def _next(rest: memoryview, order: str) -> tuple[Element, memoryview]:
    """The first element, and what follows it and its padding."""
    if len(rest) < TAG:
        raise ValueError("it is cut short")
    kind, size = struct.unpack_from(order + "II", rest)
    start = TAG
    if kind >> 16:  # a small element: its size beside its type, its data where else the size is
        kind, size, start = kind & 0xFFFF, kind >> 16, TAG // 2
        if size > TAG // 2:
            raise ValueError("an element says that it is larger than it is")
    end = start + size
    if end > len(rest):
        raise ValueError("it is cut short")
    following = end if kind == COMPRESSED else -(-end // TAG) * TAG
    return Element(kind, rest[start:end]), rest[min(following, len(rest)) :]


def _numbers(element: Element, order: str) -> np.ndarray:
    if element.kind not in NUMBERS or len(element.data) % int(NUMBERS[element.kind][1]):
        raise ValueError(f"an element of type {element.kind} and {len(element.data)} bytes where numbers are expected")
    return np.frombuffer(element.data, order + NUMBERS[element.kind]).astype(NUMBERS[element.kind])


def _matrix(data: memoryview, order: str, depth: int) -> tuple[str, Any]:
    """The name, empty within cells, and the value of a matrix."""
    if not len(data):
        return "", np.empty((0, 0))
    if not depth:
        raise ValueError("cells in one another, too deep")
    flags, rest = _next(data, order)
    dimensions, rest = _next(rest, order)
    name, rest = _next(rest, order)
    kinds, shape = _numbers(flags, order), _numbers(dimensions, order).tolist()
    if len(kinds) != 2 or len(shape) < 2 or min(shape) < 0:
        raise ValueError(f"a variable of the dimensions {shape}")
    kind, count, title = int(kinds[0]) & 0xFF, math.prod(shape), bytes(name.data).decode("latin-1")
    if FIRST_NUMERIC <= kind <= LAST_NUMERIC and not int(kinds[0]) & COMPLEX:
        element, _ = _next(rest, order)
        numbers = _numbers(element, order)
        if len(numbers) != count:
            raise ValueError(f"{len(numbers)} numbers of {shape}")
        return title, numbers.reshape(shape, order="F")
    if kind == TEXT:
        return title, _text(_next(rest, order)[0], order, shape)
    if kind == CELL:
        return title, _cells(rest, order, count, depth).reshape(shape, order="F")
    if kind == STRUCTURE:
        length, rest = _next(rest, order)
        names, rest = _next(rest, order)
        size = int(_numbers(length, order).max(initial=0))
        texts = [bytes(names.data[at : at + size]).partition(b"\0")[0].decode("latin-1") for at in range(0, len(names.data), size or 1)]
        if not size or not texts or len(set(texts)) < len(texts) or "" in texts:
            raise ValueError("a structure whose fields have no names of their own")
        values = _cells(rest, order, count * len(texts), depth).reshape(count, len(texts))
        found = np.empty(count, [(text, object) for text in texts])
        for column, text in enumerate(texts):
            found[text] = values[:, column]
        return title, found.reshape(shape, order="F")
    raise ValueError(f"a value of class {kind}, which is neither numbers, text, cells nor a structure")


def _cells(rest: memoryview, order: str, count: int, depth: int) -> np.ndarray:
    """(count,) object, in the order of the file."""
    if count * TAG > len(rest):
        raise ValueError("it is cut short")
    found = np.empty(count, object)
    for place in range(count):
        element, rest = _next(rest, order)
        if element.kind != MATRIX:
            raise ValueError(f"an element of type {element.kind} in a cell")
        found[place] = _matrix(element.data, order, depth - 1)[1]
    return found


def _text(element: Element, order: str, shape: list[int]) -> np.ndarray:
    """(rows,) str; none of an empty one. Rows of several stand column by column."""
    if element.kind not in ENCODINGS or len(shape) != 2:
        raise ValueError(f"a text of type {element.kind} and the dimensions {shape}")
    encoding = ENCODINGS[element.kind]
    if encoding in ("utf-16", "utf-32"):
        encoding += "-le" if order == "<" else "-be"
    text = bytes(element.data).decode(encoding)  # a UnicodeDecodeError is a ValueError
    rows, columns = shape
    if rows == 1 and columns:
        return np.array([text])
    if len(text) != rows * columns:
        raise ValueError(f"{len(text)} letters of {shape}")
    return np.array([text[row::rows] for row in range(rows)] if columns else [], str)
