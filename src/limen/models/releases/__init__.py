"""Published weights to bundles, one file a family. Nothing in a checkpoint is ever executed."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from limen.errors import LimenError
from limen.files import file_sha256
from limen.lookup import did_you_mean
from limen.models.bundle import Architecture, Bundle
from limen.models.embedder import Embedder
from limen.models.releases import curricularface, insightface, ir, magface, mobilefacenet
from limen.models.releases.published_file import colour_beside, read_checkpoint
from limen.models.releases.release import Release, check_finite

RELEASES: Mapping[str, Release] = {
    release.name: release
    for release in (
        ir.ADAFACE,
        insightface.ELASTICFACE,
        insightface.CRFIQA,
        insightface.INSIGHTFACE,
        magface.MAGFACE,
        curricularface.CURRICULARFACE,
        ir.CVLFACE,
        mobilefacenet.MOBILEFACENET,
    )
}

__all__ = ["RELEASES", "Release", "import_release"]


def import_release(checkpoint_path: str | Path, release: str, architecture: str | None = None) -> Embedder:
    """The embedder of a published checkpoint, with the colour order and the scaling that its release was trained with.

    Args:
        checkpoint_path: what the release's authors published: a PyTorch file, or .safetensors where they give one.
        release: "adaface", "elasticface", "crfiqa" (its quality layer is kept), "insightface", "magface", "curricularface", "cvlface" or
            "mobilefacenet".
        architecture: a name of `create_backbone`; None finds it from the names and shapes in the file.

    The bundle's `training` records the release, the checkpoint's SHA-256 and what was left out of it; save it with `Embedder.save`.
    Raises LimenError for a file that holds more than tensors and plain values, for one of another release or architecture (the unknown
    and the missing names are listed, and the nearest architecture is named), and for weights that are not finite.
    """
    if release not in RELEASES:
        raise LimenError(f"release: {release!r} is not known; {did_you_mean(release, RELEASES)}")
    path, family = Path(checkpoint_path), RELEASES[release]
    try:
        state, notes = read_checkpoint(path)
        if others := [] if family.holds(state) else [name for name, other in RELEASES.items() if other.holds(state)]:
            raise LimenError(f"its names are those of {' and '.join(others)}; choose that release")
        return Embedder(_bundle(path, family, state, notes, architecture))
    except LimenError as error:
        raise LimenError(f"cannot import {path} as {release}: {error}") from error


def _bundle(path: Path, family: Release, state: dict[str, Tensor], notes: dict[str, Any], architecture: str | None) -> Bundle:
    found, tensors, left_out = family.convert(state, architecture)
    check_finite(tensors)
    return Bundle(
        architecture=Architecture(found.name, found.embedding_size, found.options),
        tensors=tensors,
        preprocessing=replace(family.preprocessing, colour=colour_beside(path)) if family.colour_in_yaml else family.preprocessing,
        training={
            "release": family.name,
            "checkpoint": path.name,
            "checkpoint_sha256": file_sha256(path),
            **notes,
            **({"left_out": left_out} if left_out else {}),
            **family.remarks,
        },
        licence=family.licence,
    )
