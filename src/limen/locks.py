"""A folder that one process at a time may write to."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from limen.errors import LimenError
from limen.files import explain


@contextmanager
def sole_use(folder: Path, doing: str) -> Iterator[None]:
    """Keeps every other process out of `folder` that asks in the same way, until the block is left or this process ends, however it does.

    Makes the folder where it is not there, and removes it again where nothing was written into it. `doing` says what the other process does
    there, such as "training". Raises LimenError where another process has it, or the system refuses.
    """
    made = [path for path in (folder, *folder.parents) if not path.exists()]
    lock = folder / ".lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise LimenError(f"{folder}: {explain(error)} (--out)") from error
    try:
        if not _lock(handle, folder):
            raise LimenError(f"{folder}: another process is {doing} there; wait until it has ended, or choose another --out")
        if not _is_open_file(handle, lock):  # removed by a process that has just ended
            raise LimenError(f"{folder}: another process was {doing} there; try again")
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
    with suppress(OSError):  # someone has put something there, or taken it away: it stays
        if [path.name for path in lock.parent.iterdir()] == [lock.name]:
            lock.unlink()
            for folder in made:
                folder.rmdir()


def _lock(handle: int, folder: Path) -> bool:
    """Whether the file is now this process's own. Processes forked from this one do not hold it beyond its end, as they would a flock."""
    import portalocker.portalocker as locks  # here, for it needs what only some systems have

    locker = locks.MsvcrtLocker() if sys.platform == "win32" else locks.LockfLocker()
    try:
        locker.lock(handle, locks.LockFlags.EXCLUSIVE | locks.LockFlags.NON_BLOCKING)
    except locks.exceptions.AlreadyLocked:
        return False
    except locks.exceptions.LockException as error:
        raise LimenError(f"{folder}: its file system has no locks ({error.strerror or error}); choose another --out") from error
    return True
