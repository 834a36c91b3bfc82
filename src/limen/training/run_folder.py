"""The folder of a run: who may write there, where the run goes on from, and what it leaves at its end."""

import dataclasses
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from limen.errors import LimenError
from limen.files import explain
from limen.models.bundle import Bundle, load_bundle, save_bundle
from limen.training.checkpoint.folder import checkpoints
from limen.training.run import Run
from limen.training.state import bundle_of

MODEL = "model.safetensors"


def starting_point(out: Path, resume: str | Path | None) -> Path | None:
    """The checkpoint that `resume` names in `out`, None to start afresh. Raises LimenError where that would overwrite another run."""
    found, model = checkpoints(out), out / MODEL
    if resume is None and (found or model.exists()):
        raise LimenError(f"{out} holds a run already; go on with it by --resume auto, or choose another --out")
    if resume == "auto":
        if not found and model.exists():
            raise LimenError(f"{out} holds a finished model and no checkpoint to go on from; choose another --out")
        return found[-1] if found else None
    if resume is None:
        return None
    start = Path(resume)
    if newer := [path for path in found if path.name >= start.name and path.resolve() != start.resolve()]:
        raise LimenError(f"{out} holds {newer[-1].name}, which is newer than {resume}; remove the newer ones, or choose another --out")
    return start


def finish(run: Run, out: Path) -> Path:
    """Writes the bundle, and then the tables of the run's parts: one that cannot be written costs no model. Returns the bundle's path."""
    path = out / MODEL
    with run.processes.together():
        if run.processes.first:
            _keep_bundle(path, bundle_of(run))
    tables = {name: write for part in run.parts for name, write in part.artifacts(run.around).items()}
    with run.processes.together():
        if run.processes.first:
            for name, write in tables.items():
                write(out / name)
    return path


def _keep_bundle(path: Path, bundle: Bundle) -> None:
    """Writes `bundle`, except over a file of the same weights: that one stays, with the calibration it may have been given."""
    try:
        before = load_bundle(path) if path.exists() else None
    except LimenError:  # damaged: the run can mend it
        before = None
    if before is None or before.weights_sha256 != bundle.weights_sha256:
        save_bundle(path, bundle)
    elif before.licence != bundle.licence:
        save_bundle(path, dataclasses.replace(bundle, calibration=before.calibration))


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
        handle = os.open(lock, os.O_RDWR | os.O_CREAT, 0o666)
    except OSError as error:
        raise LimenError(f"{folder}: {explain(error)} (--out)") from error
    try:
        if not _lock(handle, folder):
            raise LimenError(f"{folder}: another process is training there; wait until it has ended, or choose another --out")
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
