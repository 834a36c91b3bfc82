"""Writing a file so that whoever reads it finds the whole old one or the whole new one."""

import fcntl
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from limen.errors import LimenError

# torch.save and safetensors report the system's refusal, a full disk for one, as exceptions of their own.
REFUSALS = (OSError, RuntimeError, SafetensorError)


def atomic_write(path: Path, write: Callable[[Path], None]) -> None:
    """Equals `write(path)`, except that `path` changes all at once, when its new content is safely on the disk, or not at all.

    `write` is given a temporary sibling of `path`, which is gone afterwards whatever happened.
    Raises LimenError where the system refuses, a full disk for one; any other exception of `write` passes through.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise LimenError(f"cannot save {path}: No such file or directory: {path.parent}; make that folder or choose another --out")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        write(temporary)
        with open(temporary, "rb+") as file:
            os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())  # safetensors writes for the owner alone
        os.replace(temporary, path)
    except REFUSALS as error:
        refusal = error.__context__ if isinstance(error.__context__, OSError) else error
        reason = getattr(refusal, "strerror", None) or str(refusal).splitlines()[0]
        raise LimenError(
            f"cannot save {path}: {reason}; the earlier file there is unchanged; free some space or choose another --out"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def read_small(path: Path, largest: int) -> bytes:
    """The bytes of a plain file of at most `largest` bytes. Raises LimenError for a larger one or a device; and OSError."""
    with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise LimenError(f"{path}: not a plain file; check the path")
        data = file.read(largest + 1)
    if len(data) > largest:
        raise LimenError(f"{path}: larger than the {largest} bytes that such a file may have; check the path")
    return data


@contextmanager
def sole_use(folder: Path) -> Iterator[None]:
    """Keeps every other process out of `folder` that asks in the same way, until the block is left or this process ends, however it does.

    Makes the folder where it is not there, and removes it again where nothing was written into it. Raises LimenError where another process
    has it, or the system refuses.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    lock = folder / ".lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(lock, os.O_RDWR | os.O_CREAT)
    except OSError as error:
        raise LimenError(f"{folder}: {error.strerror}; choose another --out") from error
    try:
        try:
            fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)  # not flock, which processes forked from this one would hold beyond its end
        except (BlockingIOError, PermissionError) as error:
            raise LimenError(f"{folder}: another process is training there; wait until it has ended, or choose another --out") from error
        except OSError as error:
            raise LimenError(f"{folder}: its file system has no locks ({error.strerror}); choose another --out") from error
        if not _is_open_file(handle, lock):  # removed by a process that has just ended
            raise LimenError(f"{folder}: another process was training there; try again")
        try:
            yield
        finally:
            _remove_if_unused(lock, made)
    finally:
        os.close(handle)


def _is_open_file(handle: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(handle), path.stat())
    except FileNotFoundError:
        return False


def _remove_if_unused(lock: Path, made: list[Path]) -> None:
    """Removes the lock, and the folders `made` for it (the innermost first), where it is all that they hold."""
    try:
        if [path.name for path in lock.parent.iterdir()] == [lock.name]:
            lock.unlink()
            for folder in made:
                folder.rmdir()
    except OSError:  # someone has put something there, or taken it away: it stays
        pass


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def file_sha256(path: Path) -> str:
    """The SHA-256 of the file's bytes, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()
