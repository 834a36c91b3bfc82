"""Files of the system: read only where they are plain and of a sane size, written so that a reader finds the whole old or new one.

Nothing here needs a module that only some systems have, and nothing changes the state of the process: no umask, no working folder.
"""

import errno
import hashlib
import json
import math
import os
import re
import stat
import threading
import uuid
from collections.abc import Callable, Iterable
from contextlib import suppress
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

from safetensors import SafetensorError

from limen.errors import LimenError

MIB = 1 << 20
JSON_LIMIT = 64 * MIB

# torch.save and safetensors report the system's refusal, a full disk for one, as exceptions of their own.
REFUSALS = (OSError, RuntimeError, SafetensorError)

_FULL = ("the disk is full", "free some space or choose another place")
_DENIED = ("permission denied", "change its permissions or choose another place")
_MISSING = ("no such file or folder", "check the path")
_REFUSALS = {  # errno -> reason, remedy
    errno.ENOSPC: _FULL,
    errno.EDQUOT: ("the disk quota is used up", "free some space or choose another place"),
    errno.EFBIG: ("the file would be larger than the system allows", "raise that limit (ulimit -f) or choose another place"),
    errno.EACCES: _DENIED,
    errno.EPERM: _DENIED,
    errno.EROFS: ("the file system can only be read", "choose another place"),
    errno.ENOENT: _MISSING,
    errno.ENOTDIR: ("a part of the path is a file where a folder should be", "check the path"),
    errno.EISDIR: ("is a folder", "give a file"),
    errno.EEXIST: ("is there already", "choose another name"),
    errno.ENOTEMPTY: ("is a folder that holds something", "choose another name"),
    errno.ELOOP: ("symbolic links lead in a circle", "give the file itself"),
    errno.ENAMETOOLONG: ("the name is too long", "choose a shorter one"),
    errno.EMFILE: ("too many files are open", "raise that limit (ulimit -n)"),
    errno.ENXIO: ("is a socket or device", "give a plain file"),
    errno.EIO: ("the disk cannot be read or written", "check the disk"),
    errno.ENOTSUP: ("the file system cannot do that", "choose another place"),
}
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
# A pipe opens at once and is then refused; on Windows bytes stay bytes.
_READ = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_BINARY", 0)

_SEEKING = threading.Lock()


def reason_and_remedy(error: BaseException) -> tuple[str, str]:
    """What the system refuses, in words, and what to do about it; also where a library's exception hides the system's refusal."""
    hidden = error if isinstance(error, OSError) or not isinstance(error.__context__, OSError) else error.__context__
    number = getattr(hidden, "errno", None)
    if number is None and (said := re.search(r"os error (\d+)", str(error))):  # safetensors speaks Rust
        number = int(said[1])
    text = getattr(hidden, "strerror", None) or (str(error).splitlines() or [type(error).__name__])[0]
    return _REFUSALS.get(number or 0, (text, "check the path and the disk"))


def explain(error: BaseException) -> str:
    """`reason_and_remedy` as the end of a message."""
    return "; ".join(reason_and_remedy(error))


# ---- reading ----


def open_plain_file(path: str | PathLike[str], limit: int | None = None) -> BinaryIO:
    """`open(path, "rb")` of a plain file of at most `limit` bytes; every file from outside is opened here.

    A pipe, socket, device or folder is refused, and never waited for. Raises LimenError, also where the system refuses.
    """
    descriptor, _ = _open_descriptor(path, limit)
    return os.fdopen(descriptor, "rb")


def read_plain_file(path: str | PathLike[str], limit: int | None = None) -> bytes:
    """The bytes of `open_plain_file`, at a third of its price for a small file."""
    descriptor, size = _open_descriptor(path, limit)
    try:
        data = os.read(descriptor, size)
        while len(data) < size and (more := os.read(descriptor, size - len(data))):  # a read may be interrupted
            data += more
        return data
    except OSError as error:
        raise LimenError(f"{path}: {explain(error)}") from error
    finally:
        os.close(descriptor)


def read_at(descriptor: int, length: int, offset: int) -> bytes:
    """`length` bytes from `offset` of an open file, fewer at its end; threads and forked processes may share the descriptor."""
    if hasattr(os, "pread"):
        data = os.pread(descriptor, length, offset)
        while 0 < len(data) < length and (more := os.pread(descriptor, length - len(data), offset + len(data))):
            data += more
        return data
    with _SEEKING:  # Windows seeks and reads in two steps
        os.lseek(descriptor, offset, os.SEEK_SET)
        return os.read(descriptor, length)


def read_json(path: str | PathLike[str], limit: int = JSON_LIMIT) -> Any:
    """What a JSON file holds. Raises LimenError for anything but UTF-8 JSON, with a byte-order mark or without: nested too deep, a
    number of thousands of digits, NaN, and for a key that stands twice."""
    return parse_json(read_plain_file(path, limit), path)


def parse_json(data: bytes | str, where: str | PathLike[str]) -> Any:
    """`json.loads` of strict JSON; `where` it comes from begins the LimenError of anything else."""

    def refuse(name: str) -> None:
        raise ValueError(f"{name} is no number of JSON")

    try:
        text = data.decode("utf-8-sig") if isinstance(data, bytes) else data
        return json.loads(text, object_pairs_hook=unique_keys, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        reason = "nested too deep" if isinstance(error, RecursionError) else str(error)
        raise LimenError(f"{where}: is not JSON ({reason}); correct it or fetch it again") from error


def unique_keys(pairs: Iterable[tuple[Any, Any]]) -> dict[Any, Any]:
    """`dict(pairs)`; ValueError where a key stands twice, of which a reader of JSON or YAML would silently take the last.

    It is the `object_pairs_hook` of every `json.loads` of a file from outside, and what mappings of YAML are made by.
    """
    found: dict[Any, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"{str(key)[:40]!r} stands twice; keep one of them")
        found[key] = value
    return found


def file_sha256(path: str | PathLike[str]) -> str:
    """The SHA-256 of the file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with open_plain_file(path) as file:
        while block := file.read(MIB):
            digest.update(block)
    return digest.hexdigest()


def _open_descriptor(path: str | PathLike[str], limit: int | None) -> tuple[int, int]:
    """A descriptor of a plain file, and its size."""
    try:
        descriptor = os.open(path, _READ)
        found = os.fstat(descriptor)
    except OSError as error:
        raise LimenError(f"{path}: {explain(error)}") from error
    except ValueError as error:
        raise LimenError(f"{path!r}: is no name of a file ({error}); check it") from error
    if stat.S_ISREG(found.st_mode) and (limit is None or found.st_size <= limit):
        return descriptor, found.st_size
    os.close(descriptor)
    if stat.S_ISREG(found.st_mode):
        raise LimenError(f"{path}: is larger than the {limit:,} bytes that such a file may have; check that it is the right one")
    raise LimenError(f"{path}: is {_KINDS.get(stat.S_IFMT(found.st_mode), 'no plain file')}; give a plain file")


# ---- writing ----


def atomic_write(path: str | PathLike[str], write: Callable[[Path], object]) -> None:
    """Equals `write(path)`, except that `path` changes all at once, when its new content is safely on the disk, or not at all.

    `write` is given a temporary sibling of `path`, which no other process or thread is given and which is gone afterwards whatever
    happened. The new file has the permissions that `open` would give it.
    Raises LimenError where the system refuses, a full disk for one, or `path` is a folder, pipe or device; any other exception of
    `write` passes through.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name[:40]}.{uuid.uuid4().hex}.tmp")
    try:
        _check_replaceable(path)
        # Made here, so that the umask and the folder decide who may read it: safetensors writes for the owner alone.
        descriptor = os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666)
        mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
        os.close(descriptor)
        write(temporary)
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        if stat.S_IMODE(os.stat(temporary).st_mode) != mode:
            os.chmod(temporary, mode)
        os.replace(temporary, path)
    except REFUSALS as error:
        if not _is_refusal(error):
            raise
        reason, remedy = reason_and_remedy(error)
        unchanged = "the earlier file there is unchanged; " if path.exists() else ""
        raise LimenError(f"cannot save {path}: {reason}; {unchanged}{remedy}") from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)


def _is_refusal(error: BaseException) -> bool:
    """A RuntimeError may be of anything, a reading process that was killed for one, which torch raises wherever the main process is."""
    of_torch_save = isinstance(error.__context__, OSError) or "PytorchStreamWriter" in str(error) or "inline_container" in str(error)
    return not isinstance(error, RuntimeError) or of_torch_save


def write_text(path: str | PathLike[str], text: str, errors: str = "strict", newline: str | None = None) -> None:
    """`atomic_write` of a text in UTF-8; `errors` and `newline` as of `open`."""
    atomic_write(path, lambda temporary: temporary.write_text(text, "utf-8", errors, newline))


def write_json(path: str | PathLike[str], value: Any) -> None:
    """`write_text` of `strict_json(value)`."""
    write_text(path, strict_json(value) + "\n")


def strict_json(value: Any) -> str:
    """`plain(value)` as JSON that every reader of JSON takes, on several lines."""
    return json.dumps(plain(value), indent=2, allow_nan=False)


def plain(value: Any) -> Any:
    """`value` in types that strict JSON knows: arrays are lists, NaN and infinity None, what it knows nothing of text."""
    if hasattr(value, "tolist"):  # an array or number of numpy's
        return plain(value.tolist())
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)


def remove_temporary(folder: Path) -> None:
    """Removes what processes that were killed in `atomic_write` left in `folder` and below; others must not be writing there."""
    for file in folder.rglob(".*.tmp"):
        if re.fullmatch(r"\..*\.[0-9a-f]{32}\.tmp", file.name):
            file.unlink(missing_ok=True)


def _check_replaceable(path: Path) -> None:
    if not path.parent.is_dir():
        raise LimenError(f"cannot save {path}: there is no folder {path.parent}; make it or choose another place")
    with suppress(FileNotFoundError):
        kind = stat.S_IFMT(os.stat(path).st_mode)
        if kind != stat.S_IFREG:
            raise LimenError(f"cannot save {path}: it is {_KINDS.get(kind, 'no plain file')}; choose another name")
