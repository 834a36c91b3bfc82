"""What is wrong in a gallery: images more like another person than their own, people too much alike, how near strangers come."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from limen import metrics
from limen.decision.overlap import Alike, alike
from limen.decision.vectors_file import EmbeddedPeople
from limen.errors import LimenError

OUTLIERS = ("file", "person", "score", "nearest", "nearest_cosine")  # columns of its tables
PAIRS = ("person", "other", "score")
BLOCK = 2048  # images that are compared with all people at a time
SHARES = (0.5, 0.1, 0.01)  # of the people, whose best stranger's score is told


class Likeness(NamedTuple):
    """Of each image (N,): the cosine to the rest of its own person, NaN where there is no rest; the person, other than its own, who is
    nearest, -1 where there is none; and the cosine to that one."""

    own: np.ndarray
    nearest: np.ndarray
    nearest_cosine: np.ndarray

    @property
    def outliers(self) -> np.ndarray:
        """(k,) the images that are more like another person than their own, the surest first: those with the largest difference."""
        excess = np.where(np.isfinite(self.own), self.nearest_cosine - self.own, -np.inf)
        order = np.argsort(-excess, kind="stable")
        return order[: int((excess > 0).sum())]


def likeness(vectors: np.ndarray, person: np.ndarray) -> Likeness:
    """How like its own person, and the nearest other, each image is.

    A person is the mean direction of their images; an image's own person is the mean direction of the others. Equals, for unit vectors x,
    own = cos(x_i, sum of x_j of the person, j != i) and nearest_cosine = max over other persons p of cos(x_i, sum of x_j of p).

    Args:
        vectors: (N, D) unit vectors; a row that is not finite is like nobody and belongs to nobody's mean.
        person: (N,) numbers of the people, 0 or above.
    """
    usable = np.isfinite(vectors).all(1)
    count = int(person.max()) + 1 if len(person) else 0
    sums = np.zeros((count, vectors.shape[1]), np.float32)
    np.add.at(sums, person[usable], vectors[usable])
    lengths = np.linalg.norm(sums, axis=1, keepdims=True)
    means = np.divide(sums, lengths, out=np.zeros_like(sums), where=lengths > 1e-6)
    rest = sums[person] - np.where(usable[:, None], vectors, 0)
    length = np.linalg.norm(rest, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        own = np.where((length > 1e-6) & usable, (vectors * rest).sum(1) / length, np.nan).astype(np.float32)
    nearest, cosine = np.full(len(vectors), -1), np.full(len(vectors), np.nan, np.float32)
    for start in range(0, len(vectors) if count > 1 else 0, BLOCK):
        rows = np.arange(start, min(start + BLOCK, len(vectors)))
        rows = rows[usable[rows]]
        scores = vectors[rows] @ means.T
        scores[:, lengths[:, 0] <= 1e-6] = -np.inf
        scores[np.arange(len(rows)), person[rows]] = -np.inf
        best = scores.argmax(1)
        found = np.isfinite(scores[np.arange(len(rows)), best])
        nearest[rows[found]], cosine[rows[found]] = best[found], scores[np.arange(len(rows)), best][found]
    return Likeness(own, nearest, cosine)


def alike_within(vectors: np.ndarray, threshold: float) -> Alike:
    """The pairs of rows i < j of `vectors` (G, D), unit vectors, whose cosine is `threshold` or more; the highest first."""
    found = alike(vectors, vectors, threshold)
    once = found.first < found.second
    return Alike(found.first[once], found.second[once], found.score[once])


def most_alike(vectors: np.ndarray, threshold: float, most: int) -> tuple[int, Alike]:
    """How many pairs `alike_within` would find, and the `most` of the highest cosine. No number of pairs is too many."""
    count, found = 0, Alike(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, vectors.dtype))
    for start in range(0, len(vectors), BLOCK):
        for other in range(start, len(vectors), BLOCK):
            score = vectors[start : start + BLOCK] @ vectors[other : other + BLOCK].T
            if start == other:
                score[np.tril_indices(len(score))] = -np.inf
            count += int(np.count_nonzero(score >= threshold))
            full = len(found.score) == most  # then a pair has to be above the last of them
            place = np.flatnonzero(score > found.score[-1] if full else score >= threshold)
            best = place[np.argsort(-score.ravel()[place], kind="stable")[:most]]
            block = Alike(start + best // score.shape[1], other + best % score.shape[1], score.ravel()[best])
            together = Alike(*map(np.concatenate, zip(found, block, strict=True)))
            order = np.argsort(-together.score, kind="stable")[:most]
            found = Alike(*(part[order] for part in together))
    return count, found


class BestStranger(NamedTuple):
    """The score that the share of the people reach or more with the stranger most like them, and its interval over people."""

    share: float
    score: float
    low: float
    high: float


def best_strangers(vectors: np.ndarray) -> tuple[np.ndarray, list[BestStranger]]:
    """(G,) the highest cosine of each person's template with another's; and that score at each of `SHARES` that the people suffice for."""
    people = np.arange(len(vectors))
    if len(vectors) < 2:
        return np.full(len(vectors), np.nan), []
    scores = metrics.search(vectors, people, vectors, people).other
    shares = [share for share in SHARES if share * len(vectors) >= 1]
    found = metrics.threshold_at_fmr(scores, shares, people, people)
    ends = zip(shares, found.threshold, found.low, found.high, strict=True)
    return scores, [BestStranger(share, float(at), float(low), float(high)) for share, at, low, high in ends]


class Audit(NamedTuple):
    """What `audit` found of G people.

    outliers       images that are more like another person than the rest of their own, the surest first (`outlier_rows`); None where the
                   file has no vectors of images
    alike          pairs of people too much alike, the most alike first: person, other, score
    threshold      the cosine from which they are; None where each pair has its own (see `audit`)
    unjudged       people with one image, of whom no image can be an outlier
    best_strangers (see `best_strangers`)
    """

    outliers: list[dict[str, Any]] | None
    alike: list[dict[str, Any]]
    threshold: float | None
    unjudged: int
    best_strangers: list[BestStranger]


def audit(gallery: EmbeddedPeople, threshold: float | None = None) -> Audit:
    """Looks through a gallery. Two people are too much alike from a cosine of `threshold` between their templates on.

    Without a threshold each pair has its own: the smaller of the two people's mean cosines of an image to the rest of the person. Two
    people as near as that are as near as one person is to itself. A person of one image then has none.
    Raises LimenError for fewer than two people, and where more than a million pairs are too much alike.
    """
    names, people = gallery.class_names, gallery.person_vectors()
    usable = np.flatnonzero(np.isfinite(people).all(1))
    if len(usable) < 2:
        raise LimenError(f"{gallery.path}: holds {len(usable)} person; an audit compares people with each other")
    found: Likeness | None = None
    within: np.ndarray = np.full(len(names), np.nan)
    if gallery.vectors is not None:
        found = likeness(gallery.vectors, gallery.labels)
        judged = np.isfinite(found.own)
        counts = np.bincount(gallery.labels[judged], minlength=len(names))
        sums = np.bincount(gallery.labels[judged], found.own[judged].astype(np.float64), minlength=len(names))
        within = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    least = threshold if threshold is not None else np.nanmin(within) if np.isfinite(within).any() else np.inf
    pairs = alike_within(people[usable], float(least)) if np.isfinite(least) else Alike(*np.zeros((3, 0), np.int64))
    rows = []
    for k, other, score in zip(usable[pairs.first].tolist(), usable[pairs.second].tolist(), pairs.score.tolist(), strict=True):
        if threshold is not None or score >= np.fmin(within[k], within[other]):
            rows.append({"person": names[k], "other": names[other], "score": round(score, 4)})
    outliers = None if found is None else outlier_rows(gallery.files.tolist(), names, gallery.labels, found)
    unjudged = int((np.bincount(gallery.labels, minlength=len(names))[usable] == 1).sum())
    return Audit(outliers, rows, threshold, unjudged, best_strangers(people[usable])[1])


def outlier_rows(files: Sequence[str], names: Sequence[str], person: np.ndarray, found: Likeness) -> list[dict[str, Any]]:
    """The outliers of `likeness`, the surest first, by file and names."""
    return [
        {
            "file": str(files[index]),
            "person": str(names[person[index]]),
            "score": round(float(found.own[index]), 4),
            "nearest": str(names[found.nearest[index]]),
            "nearest_cosine": round(float(found.nearest_cosine[index]), 4),
        }
        for index in found.outliers.tolist()
    ]
