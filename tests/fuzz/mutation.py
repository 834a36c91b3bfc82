"""Damaged and hostile variants of a file, each decided by its seed alone.

Any file: bits and bytes turned, pieces cut, doubled, moved or taken from others, and tokens put in (huge numbers, nesting, commands).
A file whose structure is known is also edited as what it holds, so that what lies behind the parser is reached: JSON and YAML, CSV, the
header of safetensors, the members of a zip file.
"""

import io
import json
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import yaml
from scipy.io import loadmat, savemat

CODE = b"touch ran"  # where it is run, it leaves a file (see trial.py)
TOKENS = [
    *(b"", b"\0", b"\xff\xff\xff\xff", b"\xff\xfe", b"\n", b"\t", b",", b'"', b"'", b"\x1b[31m", b"\xe9", b"\xe2\x80\xa8", b"\xcc\x81"),
    *(b"NaN", b"Infinity", b"-1", b"1e999", b"9" * 5000, b"0", b"null", b"true", b"[]", b"{}", b"[" * 3000, b'{"a":' * 3000),
    *(b"../../etc/passwd", b"/dev/zero", b"=1+1", b"os:system", b"canary:Class", b"&a [*a, *a]"),
    b"!!python/object/apply:os.system [" + CODE + b"]",
    b"cos\nsystem\n(S'" + CODE + b"'\ntR.",
    *((1 << bits).to_bytes(8, "little") for bits in (31, 32, 40, 62)),
    *((1 << bits).to_bytes(4, "big") for bits in (16, 30)),
]
VALUES: list[Any] = [
    *(None, True, False, 0, -1, 1, 2**31, 2**62, 2**70, 0.5, -1e308, 1e-320, "", "1", "x" * 300, "\ud800", "a\nb", "=1", "\0", "os:system"),
    *("canary:Class", "/dev/zero", "../up", [], {}, [1], [[]], {"a": 1}, [None], ["x", 1], {"": {}}),
]
RAW = ["NaN", "-Infinity", "1e999", "9" * 5000, "[" * 3000, '{"a":' * 3000, "0x10", "{}{}"]  # what a writer of JSON would not write

Change = Callable[[bytes, np.random.Generator, list[bytes]], bytes]


def mutated(data: bytes, rng: np.random.Generator, others: list[bytes], structure: str = "bytes") -> bytes:
    """`data` after one to four changes; of a known `structure` (a key of STRUCTURES) half of the inputs are edited as such."""
    if structure != "bytes" and rng.random() < 0.5:
        try:
            data = STRUCTURES[structure](data, rng, others)
        except (ValueError, KeyError, zipfile.BadZipFile, yaml.YAMLError):  # a seed that has another structure
            pass
        else:
            if rng.random() < 0.8:
                return data
    for _ in range(rng.integers(1, 5)):
        data = CHANGES[rng.integers(len(CHANGES))](data, rng, others)
    return data


# ---- any file ----


def _piece(data: bytes, rng: np.random.Generator) -> tuple[int, int]:
    start = int(rng.integers(len(data) + 1))
    return start, min(len(data), start + int(2 ** rng.uniform(0, 12)))


def _bits(data: bytes, rng: np.random.Generator, others: list[bytes]) -> bytes:
    changed = bytearray(data)
    for place in rng.integers(0, len(data), rng.integers(1, 9)) if data else ():
        changed[place] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def _bytes(data: bytes, rng: np.random.Generator, others: list[bytes]) -> bytes:
    start, end = _piece(data, rng)
    return data[:start] + rng.bytes(end - start) + data[end:]


def _cut(data: bytes, rng: np.random.Generator, others: list[bytes]) -> bytes:
    return data[: rng.integers(len(data) + 1)]


def _without(data: bytes, rng: np.random.Generator, others: list[bytes]) -> bytes:
    start, end = _piece(data, rng)
    return data[:start] + data[end:]


def _doubled(data: bytes, rng: np.random.Generator, others: list[bytes]) -> bytes:
    start, end = _piece(data, rng)
    return data[:end] + data[start:end] * int(rng.integers(1, 4)) + data[end:]


def _taken(data: bytes, rng: np.random.Generator, others: list[bytes]) -> bytes:
    other = others[rng.integers(len(others))]
    (start, end), place = _piece(other, rng), int(rng.integers(len(data) + 1))
    return data[:place] + other[start:end] + data[place + (end - start) * int(rng.integers(2)) :]


def _token(data: bytes, rng: np.random.Generator, others: list[bytes]) -> bytes:
    token, place = TOKENS[rng.integers(len(TOKENS))], int(rng.integers(len(data) + 1))
    return data[:place] + token + data[place + len(token) * int(rng.integers(2)) :]


def _word(data: bytes, rng: np.random.Generator, others: list[bytes]) -> bytes:
    """A token in place of a word, number or string of a text."""
    place = int(rng.integers(len(data) + 1))
    start = max((data.rfind(mark, 0, place) for mark in (b" ", b":", b",", b"\t", b"\n", b"[", b"{")), default=-1) + 1
    ends = [end for mark in (b" ", b",", b"\t", b"\n", b"]", b"}") if (end := data.find(mark, place)) >= 0]
    return data[:start] + TOKENS[rng.integers(len(TOKENS))] + data[min(ends, default=len(data)) :]


CHANGES: list[Change] = [_bits, _bits, _bytes, _cut, _without, _doubled, _taken, _token, _word, _word]


# ---- files whose structure is known ----


def _json(data: bytes, rng: np.random.Generator, others: list[bytes]) -> bytes:
    """One to three values exchanged, taken out, put in, nested, or under a key that then stands twice."""
    root = [json.loads(data)]
    raw = ""
    for _ in range(rng.integers(1, 4)):
        places = _places(root)
        container, key = places[rng.integers(len(places))]
        what = rng.integers(6)
        if what == 0 and container is not root:
            del container[key]
        elif what == 1:
            other, place = places[rng.integers(len(places))]
            container[key], other[place] = json.loads(json.dumps(other[place])), json.loads(json.dumps(container[key]))
        elif what == 2:
            container[key] = [container[key]] if rng.integers(2) else {"a": container[key]}
        elif what == 3 and isinstance(container, dict):
            container[f"{key}\x01"] = VALUES[rng.integers(len(VALUES))]
        elif what == 4:
            raw, container[key] = RAW[rng.integers(len(RAW))], "\x02"
        else:
            container[key] = VALUES[rng.integers(len(VALUES))]
    text = json.dumps(root[0]) if root else ""
    return text.replace("\\u0001", "").replace('"\\u0002"', raw).encode()


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every value within, as its container and its key there."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, one in list(inside) for place in ((value, key), *_places(one))]


def _yaml(data: bytes, rng: np.random.Generator, others: list[bytes]) -> bytes:
    return _json(json.dumps(yaml.safe_load(data)).encode(), rng, others)  # JSON is YAML


def _csv(data: bytes, rng: np.random.Generator, others: list[bytes]) -> bytes:
    return _table(data, rng, b",")


def _list(data: bytes, rng: np.random.Generator, others: list[bytes]) -> bytes:
    return _table(data, rng, next((mark for mark in (b"\t", b",", b" ") if mark in data), b"/"))


def _table(data: bytes, rng: np.random.Generator, separator: bytes) -> bytes:
    """Rows and columns exchanged, doubled or taken out, and cells exchanged."""
    rows = [line.split(separator) for line in data.splitlines()]
    for _ in range(rng.integers(1, 4)):
        if not rows:
            break
        row, other = (int(place) for place in rng.integers(len(rows), size=2))
        cell, what = int(rng.integers(max(1, len(rows[row])))), rng.integers(7)
        if what == 0:
            rows[row], rows[other] = rows[other], rows[row]
        elif what == 1:
            rows.insert(other, list(rows[row]))
        elif what == 2:
            del rows[row]
        elif what == 3:
            rows = [line + line[cell : cell + 1] for line in rows]
        elif what == 4:
            rows = [line[:cell] + line[cell + 1 :] for line in rows]
        elif what == 5:
            rows[row][cell : cell + 1], rows[other][cell : cell + 1] = rows[other][cell : cell + 1], rows[row][cell : cell + 1]
        else:
            rows[row][cell : cell + 1] = [TOKENS[rng.integers(len(TOKENS))]]
    return b"".join(separator.join(row) + b"\n" for row in rows)


def _safetensors(data: bytes, rng: np.random.Generator, others: list[bytes]) -> bytes:
    """The header, or a JSON text among its metadata, edited; its length is then right again."""
    length = int.from_bytes(data[:8], "little")
    header = data[8 : 8 + length]
    if rng.random() < 0.7:
        values = json.loads(header)
        name = sorted(values["__metadata__"])[0]
        values["__metadata__"][name] = _json(values["__metadata__"][name].encode(), rng, others).decode()
        header = json.dumps(values).encode()
    else:
        header = _json(header, rng, others)
    return len(header).to_bytes(8, "little") + header + data[8 + length :]


def _zip(data: bytes, rng: np.random.Generator, others: list[bytes]) -> bytes:
    """The bytes of one member changed, under checksums that are right."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    pickles = [name for name in members if name.endswith(".pkl")]
    names = pickles if pickles and rng.random() < 0.7 else list(members)
    chosen = names[rng.integers(len(names))]
    members[chosen] = CHANGES[rng.integers(len(CHANGES))](members[chosen], rng, others)
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def _matlab(data: bytes, rng: np.random.Generator, others: list[bytes]) -> bytes:
    """One to three cells or numbers exchanged, taken out, doubled or put in; or a variable left out, or of another type."""
    held = {name: value for name, value in loadmat(io.BytesIO(data)).items() if not name.startswith("__")}
    for _ in range(rng.integers(1, 4)):
        if not held:
            break
        name = sorted(held)[rng.integers(len(held))]
        value, what = held[name].copy(), rng.integers(7)
        cell = int(rng.integers(max(1, value.size)))
        if value.dtype == object and value.size and rng.random() < 0.5 and isinstance(value.flat[cell], np.ndarray):
            value.flat[cell] = _changed_array(value.flat[cell].copy(), rng, int(what))
        elif what == 6:
            del held[name]
            continue
        else:
            value = _changed_array(value, rng, int(what))
        held[name] = value
    savemat(file := io.BytesIO(), held)
    return file.getvalue()


def _changed_array(value: np.ndarray, rng: np.random.Generator, what: int) -> np.ndarray:
    if not value.size:
        return np.arange(3.0)
    one, other = (int(place) for place in rng.integers(value.size, size=2))
    if what == 0:
        value.flat[one], value.flat[other] = value.flat[other], value.flat[one]
    elif what == 1:
        return np.delete(value.ravel(), one)[:, None]
    elif what == 2:
        return np.insert(value.ravel(), one, value.flat[other])[:, None]
    elif what == 3 and value.dtype.kind in "iuf":
        return np.where(np.arange(value.size) == one, [np.nan, 0.5, -1, 1e300, 0][rng.integers(5)], value.ravel())[:, None]
    elif what == 4:
        value.flat[one] = value.flat[other]
    elif value.dtype == object:
        value.flat[one] = [5.0, "", "../../up.jpg", np.empty((0, 0)), "a" * 300][rng.integers(5)]
    return value


STRUCTURES: dict[str, Change] = {
    "json": _json,
    "yaml": _yaml,
    "csv": _csv,
    "list": _list,
    "safetensors": _safetensors,
    "zip": _zip,
    "matlab": _matlab,
}
