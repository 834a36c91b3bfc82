"""The pickles that verification sets are handed around in, read without running anything that stands in them."""

import io
import lzma
import pickle
import pickletools
import re
from pathlib import Path
from typing import Any, Literal

import numpy as np

from limen.errors import LimenError
from limen.files import read_plain_file

LARGEST = 8 << 30  # bytes; LFW has 60 MB


def read_pair_pickle(path: Path) -> tuple[list[bytes], np.ndarray]:
    """The encoded images, 2P of them, and the flags (P,) bool in a `.bin` file of Python 2 or 3, or in one packed as `.xz`.

    Reading takes a small multiple of the file's size in memory, whatever stands in it.

    Raises:
        LimenError: the file is damaged, asks for anything but bytes, lists, numbers and arrays, or holds something else.
    """
    data = read_plain_file(path, LARGEST)
    try:
        if path.suffix.lower() == ".xz":
            data = _unpacked(data)
        _check_sizes(data)
        # Only the strings of Python 2 are concerned by the encoding.
        entries, same = (_unwrapped(part) for part in _PlainUnpickler(io.BytesIO(data), encoding="bytes").load())
        if not isinstance(entries, list | tuple):
            raise TypeError(f"it holds a {type(entries).__name__} where the images should be")
        copies: dict[int, bytes] = {}  # an entry that stands there often is copied once
        for entry in entries:
            if id(entry) not in copies:
                copies[id(entry)] = _as_bytes(_unwrapped(entry))
        images = [copies[id(entry)] for entry in entries]
        flags = _as_flags(same)
    except Exception as error:  # A damaged pickle may raise anything.
        reason = (str(error).splitlines() or [""])[0][:200] or type(error).__name__
        raise LimenError(f"{path}: is no pair file that can be trusted ({reason}); fetch it from its publisher") from error
    if flags.ndim != 1 or flags.dtype.kind not in "biu" or not np.isin(flags, (0, 1)).all():
        raise LimenError(f"{path}: its second part is not a list of true and false; fetch it again")
    if len(images) != 2 * len(flags) or not images:
        raise LimenError(f"{path}: holds {len(images)} images for {len(flags)} pairs, not two for each; fetch it again")
    return images, flags.astype(bool)


def _unpacked(data: bytes) -> bytes:
    """What an .xz file holds, of whose size it is asked no more than a pack can have."""
    unpacking = lzma.LZMADecompressor(memlimit=LARGEST)
    unpacked = unpacking.decompress(data, max_length=LARGEST)
    if not unpacking.eof:
        raise ValueError("it is cut short, or larger than any pack")
    return unpacked


def _check_sizes(data: bytes) -> None:
    """Raises where the pickle would have memory set aside for more than it holds: a string, a frame, or a place in its memo."""
    operations: Any = enumerate(pickletools.genops(data))  # which raises for strings beyond the end
    for count, (code, value, place) in operations:
        if code.name in ("PUT", "BINPUT", "LONG_BINPUT") and value > count:
            raise pickle.UnpicklingError(f"it remembers its value {count} as number {value}")
        if code.name == "FRAME" and value > len(data) - place:
            raise pickle.UnpicklingError("it has a frame beyond its end")


def _unwrapped(value: Any) -> Any:
    return value.value if isinstance(value, _Array) else value


def _as_flags(same: Any) -> np.ndarray:
    """The array of plain numbers, one deep; lists and arrays in a list could stand for far more than the file holds."""
    is_plain = isinstance(same, list | tuple) and all(isinstance(item, bool | int | np.generic) for item in same)
    return np.asarray(same if is_plain or isinstance(same, np.ndarray) else None)


def _as_bytes(entry: Any) -> bytes:
    if isinstance(entry, bytes):
        return entry
    if isinstance(entry, np.ndarray) and entry.dtype == np.uint8:
        return entry.tobytes()
    raise TypeError(f"it holds a {type(entry).__name__} where the bytes of an image should be")


class _Callable:
    """What a pickle may call. Without attributes of its own, which a pickle could set for the whole process."""

    __slots__ = ()


class _Latin1(_Callable):
    """`_codecs.encode` as protocol 2 calls it to spell bytes, and in no other way."""

    def __call__(self, text: str, encoding: str) -> bytes:
        if encoding != "latin1":
            raise pickle.UnpicklingError(f"it wants the encoding {encoding!r}")
        return text.encode("latin1")


class _NoBytes(_Callable):
    """`bytes` as protocol 2 calls it: bytes(n) would take any amount of memory."""

    def __call__(self) -> bytes:
        return b""


class _PlainDtype(_Callable):
    """numpy's own instance of a plain type, which a pickle cannot alter as it could a copy."""

    def __call__(self, code: str | bytes, *_: Any) -> np.dtype:
        name = code.decode("latin1") if isinstance(code, bytes) else code
        if not re.fullmatch(r"[biuf]\d|O8?", name):
            raise pickle.UnpicklingError(f"it wants the array type {name!r}")
        return np.dtype(name)


class _Array:
    """What numpy's `_reconstruct` makes, an array that the pickle then fills; numpy itself would set memory aside before it looks."""

    __slots__ = ("value",)

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, is_fortran, raw = state
        if isinstance(raw, list):
            if shape != (len(raw),):
                raise pickle.UnpicklingError(f"it has {len(raw)} values for an array of {shape}")
            self.value: Any = raw
        else:
            self.value = np.frombuffer(raw, dtype).reshape(shape, order="F" if is_fortran else "C")


class _EmptyArray(_Callable):
    """numpy's `_reconstruct`."""

    def __call__(self, *_: Any) -> _Array:
        return _Array()


class _Number(_Callable):
    """numpy's `scalar`, for numbers: an object made from raw bytes would be any address in memory."""

    def __call__(self, dtype: np.dtype, raw: bytes) -> np.generic:
        return np.frombuffer(raw, dtype, 1)[0]


class _ArrayOfBuffer(_Callable):
    """numpy's `_frombuffer`, for numbers alone, as `np.frombuffer` makes sure."""

    def __call__(self, buffer: Any, dtype: np.dtype, shape: tuple[int, ...], order: Literal["C", "F"]) -> np.ndarray:
        return np.frombuffer(buffer, dtype).reshape(shape, order=order)


_ALLOWED: dict[tuple[str, str], Any] = {
    ("_codecs", "encode"): _Latin1(),
    ("__builtin__", "bytes"): _NoBytes(),
    ("builtins", "bytes"): _NoBytes(),
    ("numpy", "ndarray"): None,  # only ever an argument; the class itself would make arrays over any memory
    ("numpy", "dtype"): _PlainDtype(),
    ("numpy.core.multiarray", "_reconstruct"): _EmptyArray(),
    ("numpy._core.multiarray", "_reconstruct"): _EmptyArray(),
    ("numpy.core.multiarray", "scalar"): _Number(),
    ("numpy._core.multiarray", "scalar"): _Number(),
    ("numpy.core.numeric", "_frombuffer"): _ArrayOfBuffer(),
    ("numpy._core.numeric", "_frombuffer"): _ArrayOfBuffer(),
}


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ALLOWED:
            raise pickle.UnpicklingError(f"it wants to use {module}.{name}")
        return _ALLOWED[module, name]
