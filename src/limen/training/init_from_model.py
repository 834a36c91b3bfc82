"""Where weights come from when a run does not begin from nothing: another model, and the centres of the people that it knows."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import torch

from limen.errors import LimenError
from limen.models.bundle import Bundle, Preprocessing, load_bundle
from limen.models.name_hashes import class_names_sha256
from limen.names import without_source
from limen.training.checkpoint.folder import checkpoints
from limen.training.checkpoint.load import read_class_names, read_rows, read_shapes, verify
from limen.training.run import Run


def init_from_model(run: Run, path: Path) -> str:
    """Gives `run` the backbone of the bundle in `path`, its quality head where both have one, and from the newest checkpoint beside it the
    centres and class margins of the people whose names it knows; all others stay as they were drawn. Returns what was found, in a line.

    Each process reads the rows of its own classes. Raises LimenError for a model that does not fit the recipe.
    """
    bundle = load_bundle(path)
    _check_fit(run, bundle, path)
    run.backbone.load_state_dict(bundle.group("backbone"))
    parts = ["backbone"]
    if run.quality is not None and bundle.group("quality"):
        run.quality.load_state_dict(bundle.group("quality"))
        parts.append("quality head")
    found = f"{' and '.join(parts)} of {path}; "
    beside = checkpoints(path.parent)
    if not beside:
        return f"{found}no checkpoint beside it, so all class centres start afresh"
    verify(run.processes, beside[-1])
    names = read_class_names(beside[-1])
    if class_names_sha256(names) != bundle.class_names_sha256:
        return f"{found}the checkpoint beside it is of other people, so all class centres start afresh"
    rows = torch.tensor(known_rows(run.source.class_names, names))
    mine = rows[run.head.centers.first : run.head.centers.last]
    saved = read_shapes(beside[-1])
    for name in ("centers.weight", *(f"margin.{name}" for name in run.margin.per_class)):
        if f"head.{name}" in saved:
            read_rows(beside[-1], f"head.{name}", mine, run.head.get_parameter(name).data)
    known = int((rows >= 0).sum())
    return f"{found}centres of {known} of {len(rows)} people from {beside[-1].name}, the others start afresh"


def known_rows(people: Sequence[str], known: Sequence[str]) -> list[int]:
    """Of each of `people` the place of the same name in `known`, -1 where it is not there. Ann@a and Ann are one where no other of
    `people`, and none of `known`, is an Ann."""
    exact = {name: row for row, name in enumerate(known)}
    ours, theirs = (Counter(map(without_source, names)) for names in (people, known))
    bare = {own: row for row, name in enumerate(known) if theirs[own := without_source(name)] == 1}
    return [exact.get(name, bare.get(own, -1) if ours[own := without_source(name)] == 1 else -1) for name in people]


def _check_fit(run: Run, bundle: Bundle, path: Path) -> None:
    wanted, found = run.recipe.backbone, bundle.architecture
    if (wanted.name, wanted.embedding_size) != (found.name, found.embedding_size):
        raise LimenError(
            f"init: {path} is a {found.name} of embedding size {found.embedding_size}, not a {wanted.name} of {wanted.embedding_size}; "
            f"set backbone.name to {found.name} and backbone.embedding_size to {found.embedding_size}"
        )
    ours, theirs = Preprocessing(), bundle.preprocessing
    if any(getattr(ours, name) != getattr(theirs, name) for name in ("size", "colour", "mean", "std")):
        raise LimenError(
            f"init: {path} takes {theirs.colour} images of {theirs.size} pixels less {theirs.mean} over {theirs.std}, and training gives "
            f"{ours.colour} of {ours.size} less {ours.mean} over {ours.std}; start from a model of `limen train`"
        )
