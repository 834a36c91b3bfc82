"""Which images of a person are shown: those that are most surely of it."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from limen.data import FaceSource
from limen.data.pairs.pair_set import SubsetSource
from limen.decision.vectors_file import EmbeddedPeople
from limen.errors import LimenError
from limen.inference.table import Progress, embed_images
from limen.models.model import Model

SUREST = 3  # images of a person that are shown
LOOKED_AT = 10  # images of a person among which the surest are chosen


def surest_images(
    source: FaceSource,
    model: Model | None,
    people: Sequence[int],
    suspected: set[int],
    progress: Progress | None = None,
    **reading: Any,
) -> dict[int, list[int]]:
    """Label -> up to `SUREST` images of the person: of `LOOKED_AT` not suspected ones, those nearest to their mean direction.

    The vectors are those that the source has, else those of `model`. Raises LimenError where there are neither.
    """
    order = np.argsort(source.labels, kind="stable")
    bounds = np.searchsorted(source.labels[order], [(label, label + 1) for label in people])
    asked: dict[int, np.ndarray] = {}
    for label, (start, end) in zip(people, bounds, strict=True):
        own = np.array([index for index in order[start:end].tolist() if index not in suspected], np.int64)
        asked[label] = own[np.unique(np.linspace(0, len(own) - 1, min(len(own), LOOKED_AT)).round().astype(int))] if len(own) else own
    chosen = np.concatenate(list(asked.values()))
    if not len(chosen):
        return {label: [] for label in people}
    vectors = _vectors(source, model, chosen, progress, **reading)
    surest, start = {}, 0
    for label, own in asked.items():
        mine = vectors[start : start + len(own)]
        start += len(own)
        cosine = mine @ np.nansum(mine, 0)  # NaN of an image that cannot be read, which goes last
        surest[label] = own[np.argsort(-cosine, kind="stable")][: min(SUREST, int(np.isfinite(cosine).sum()))].tolist()
    return surest


def _vectors(source: FaceSource, model: Model | None, chosen: np.ndarray, progress: Progress | None, **reading: Any) -> np.ndarray:
    if isinstance(source, EmbeddedPeople) and source.vectors is not None:
        return np.asarray(source.vectors[chosen])
    if model is None:
        raise LimenError("--model: is needed to tell which images of a person are sure; add it")
    return embed_images(model, SubsetSource(source, chosen), progress=progress, **reading).vectors


def model_hash(source: FaceSource, model: Model | None) -> str:
    """The SHA-256 of the model whose vectors `surest_images` takes."""
    facts = source.made_by if isinstance(source, EmbeddedPeople) else model.description if model is not None else {}
    return str(facts.get("model_sha256", ""))
