"""What a recogniser says of pairs of images or of templates, before it is judged."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from limen import metrics
from limen.data.pairs import PairSet
from limen.data.templates import Templates
from limen.errors import LimenError
from limen.inference.table import Progress, embed_images
from limen.recogniser import Recogniser

MANY, AT_ONCE = 2_000_000, 8192  # pairs


@dataclass(frozen=True)
class PairScores:
    """Of P pairs."""

    distance: np.ndarray  # (P,) squared distance of the unit vectors = 2 - 2 cosine; NaN where an image or a template failed
    failures: dict[int, str]  # number -> file and reason of every image that could not be used
    missed: list[str] = field(default_factory=list)  # names of the templates of which no image can be used


def score_pairs(
    pairs: PairSet,
    embedder: Recogniser,
    flip: bool | None,
    norms: bool = True,
    weights: bool = True,
    progress: Progress | None = None,
    **inference: Any,
) -> PairScores:
    """Distances of all pairs, in the order of the pair set; each image is embedded once.

    Args:
        norms: templates are pooled of features whose norms are kept; else of unit vectors.
        weights: templates are pooled with the weights of their rows, where they have any.
        inference: batch_size, workers and cache of `embed_images`.
    """
    if pairs.templates is None:
        table = embed_images(embedder, pairs.source, _compared(pairs), flip, progress, **inference)
        return PairScores(distances(table.vectors, pairs.first, pairs.second), table.failures)
    table = embed_images(embedder, pairs.source, pairs.templates.image, flip, progress, **inference)
    vectors = pooled(table.vectors, table.norms, pairs.templates, norms, weights)
    score = metrics.pair_scores(vectors, pairs.first, pairs.second).astype(float)
    failed = np.flatnonzero(np.isnan(vectors).any(1))
    return PairScores(np.where(np.isneginf(score), np.nan, 2 - 2 * score), table.failures, [str(pairs.templates.names[t]) for t in failed])


def distances(vectors: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(P,) float64; of millions of pairs from matrix products in the vectors' precision, else pair by pair to the last digit."""
    if len(first) > MANY:
        score = metrics.pair_scores(vectors, first, second)
        return np.where(np.isneginf(score), np.nan, 2 - 2 * score.astype(float))
    found = np.empty(len(first))
    for start in range(0, len(first), AT_ONCE):
        some = slice(start, start + AT_ONCE)
        found[some] = np.square(vectors[first[some]].astype(float) - vectors[second[some]]).sum(1)
    return found


def pooled(vectors: np.ndarray, norms: np.ndarray, templates: Templates, keep_norms: bool = True, weights: bool = True) -> np.ndarray:
    """(T, D) unit vectors of the templates, NaN for those without an image that can be used; see `metrics.pool_templates`.

    `vectors` (N, D) are unit vectors and are overwritten; `norms` (N,) are the lengths of their raw features.
    """
    if keep_norms:
        vectors *= norms[:, None]
    whole = len(templates.image) == len(vectors) and (templates.image == np.arange(len(vectors))).all()
    rows = vectors if whole else vectors[templates.image]  # of IJB-C's 469,375 features a copy is a gigabyte
    found, template = metrics.pool_templates(rows, templates.template, templates.media, templates.weight if weights else None)
    every = np.full((len(templates), vectors.shape[1]), np.nan, found.dtype)
    every[template] = found
    return every


def pooling_switches(templates: Templates, norms: bool, weights: bool) -> dict[str, Any]:
    """How templates are made, by the letters of the papers' tables."""
    return {
        "norms kept (N)": norms,
        "detector score as weight (D)": weights and templates.weight is not None,
        "pooling": "mean of a medium's images, sum over media, unit length",
    }


def pair_counts(pairs: PairSet, usable: np.ndarray) -> dict[str, int]:
    """What a Result counts of a pair set of which the pairs `usable` (P,) bool are judged."""
    same = pairs.same[usable]
    compared = _compared(pairs)
    people = pairs.subject[_compared(pairs, usable)]
    images = {"images": len(compared)}
    if pairs.templates is not None:
        images = {"images": len(np.unique(pairs.templates.image)), "templates": len(compared)}
    return {
        "pairs": len(same),
        "mated": int(same.sum()),
        "non_mated": int((~same).sum()),
        **images,
        "subjects" if pairs.people == "named" else "groups_joined_by_mated_pairs": len(np.unique(people)),
        "pairs_left_out": int((~usable).sum()),
    }


def _compared(pairs: PairSet, rows: np.ndarray | slice = slice(None)) -> np.ndarray:
    """The numbers of the images or templates in the pairs `rows`, each once, rising; without a sort."""
    sides = (np.bincount(side[rows], minlength=len(pairs.subject)) for side in (pairs.first, pairs.second))
    return np.flatnonzero(sum(sides))


def people_switch(pairs: PairSet) -> dict[str, str]:
    """Whom the bootstrap draws."""
    joined = "groups joined by mated pairs, for the file names no people; a list of them (--subjects FILE) makes the intervals exact"
    return {"subjects": "named" if pairs.people == "named" else joined}


def check_both_kinds(name: str, same: np.ndarray) -> None:
    """Raises LimenError where not both kinds of pairs are among `same` (P,) bool: a rate of errors needs both."""
    if same.all() or not same.any():
        raise LimenError(
            f"{name}: {int(same.sum())} of the {len(same)} usable pairs are mated, and both kinds are needed; use other pairs, or mend "
            "the images that failed"
        )
