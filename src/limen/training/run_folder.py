"""The folder of a run: who may write there, where the run goes on from, and what it leaves at its end."""

import dataclasses
from pathlib import Path

from limen.errors import LimenError
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
        save_bundle(path, dataclasses.replace(bundle, calibration=before.calibration, operating_points=before.operating_points))
