"""What a model's scores mean: its operating points and, where there is a measure, what a quality of its images foretells."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import numpy as np

from limen.data import ImageSource, PairSet
from limen.decision.fit_calibration import fit_calibration
from limen.decision.operating_point import find_operating_points
from limen.files import file_sha256
from limen.inference.table import embed_images, without_quality
from limen.metrics import ScoredPairs, all_pairs
from limen.models.model import Model
from limen.models.operating_point import OperatingPoint
from limen.names import name_bytes
from limen.quality import Calibration, QualityMeasure


@dataclass(frozen=True)
class CalibrationSet:
    """Images of people, compared in the pairs `first`, `second`, `same` (P,), or in all pairs where these are None.

    subject   (N,) the person in each image of `source`; names: of these people by number, None where nobody is named
    sha256    of the data
    """

    name: str
    source: ImageSource
    subject: np.ndarray
    names: Sequence[str] | None
    sha256: str
    first: np.ndarray | None = None
    second: np.ndarray | None = None
    same: np.ndarray | None = None

    @property
    def mated(self) -> tuple[np.ndarray, np.ndarray]:
        """The images of its mated pairs."""
        if self.first is not None and self.second is not None and self.same is not None:
            return self.first[self.same], self.second[self.same]
        order = np.argsort(self.subject, kind="stable")
        people = np.split(order, np.flatnonzero(np.diff(self.subject[order])) + 1)
        pairs = np.concatenate([images[np.stack(np.triu_indices(len(images), 1))] for images in people], axis=1)
        return pairs[0], pairs[1]

    def non_mated(self, vectors: np.ndarray, rate: float) -> ScoredPairs:
        """Its non-mated pairs both of whose `vectors` (N, D) are finite; of all pairs those that decide a threshold at `rate` or below."""
        usable = np.isfinite(vectors).all(1)
        if self.first is None or self.second is None or self.same is None:
            return all_pairs(vectors[usable], self.subject[usable], rate)[1]
        first, second = (side[~self.same & usable[self.first] & usable[self.second]] for side in (self.first, self.second))
        return ScoredPairs(cosines(vectors, first, second), self.subject[first], self.subject[second])


def set_of_pairs(pairs: PairSet, digest: str) -> CalibrationSet:
    """The pairs of a file with that SHA-256."""
    return CalibrationSet(pairs.name, pairs.source, pairs.subject, pairs.names, digest, pairs.first, pairs.second, pairs.same)


def folder_sha256(files: Sequence[str], names: Sequence[str]) -> str:
    """SHA-256 of what is in files and of the names of the people in them, whatever their order and place."""
    lines = sorted(name_bytes(f"{file_sha256(file)} {name}\n") for file, name in zip(files, names, strict=True))
    return sha256(b"".join(lines)).hexdigest()


def calibrate(
    embedder: Model,
    people: CalibrationSet,
    fmr: Sequence[float],
    impostors: CalibrationSet | None = None,
    measure: QualityMeasure | None = None,
    measured: str = "",
    **inference: Any,
) -> tuple[tuple[OperatingPoint, ...], Calibration | None, list[str]]:
    """Operating points at each false match rate, at the first the calibration of `measure` (name `measured`), and the images that failed.

    Mated pairs are those of `people`; non-mated ones those of `impostors`, or of `people` where there are none. Percentiles of a quality
    are among the images of `people`. `inference` is as of `embed_images`. Raises LimenError as `find_operating_points` does.
    """
    table = embed_images(embedder, people.source, measures=[measure] if measure else [], **inference)
    failures, vectors, first, second = dict(table.failures), table.vectors, *people.mated
    score = cosines(vectors, first, second)
    usable = ~np.isnan(score)
    mated = ScoredPairs(score[usable], people.subject[first[usable]], people.subject[second[usable]])
    reference, digest, names = people.name, people.sha256, people.names
    failed = list(failures.values())
    if impostors is None:
        non_mated = people.non_mated(vectors, max(fmr))
    else:
        others = embed_images(embedder, impostors.source, **inference)
        non_mated = impostors.non_mated(others.vectors, max(fmr))
        reference, digest = f"{people.name}, impostors of {impostors.name}", sha256(f"{digest} {impostors.sha256}".encode()).hexdigest()
        names = None if names is None or impostors.names is None else [*names, *impostors.names]
        failed += others.failures.values()
        shift = int(people.subject.max(initial=0)) + 1  # another set's numbers are other people
        images = None if non_mated.images is None else non_mated.images + shift
        non_mated = ScoredPairs(non_mated.score, non_mated.first + shift, non_mated.second + shift, images)
    points = find_operating_points(
        non_mated, mated, fmr, reference=reference, data_sha256=digest, flip=embedder.preprocessing.flip, names=names
    )
    if measure is None:
        return points, None, failed
    (quality,) = table.qualities
    failed = (
        list((without_quality(quality, measure.name, people.source, np.arange(len(people.source))) | failures).values())
        + (failed[len(failures) :])
    )
    point = next(point for point in points if point.fmr == fmr[0])
    every = np.ones(len(first), bool)
    return points, fit_calibration(measured, reference, quality, people.subject, first, second, score, every, fmr[0], point), failed


def cosines(vectors: np.ndarray, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(P,) float64; of vectors of NaN, NaN."""
    parts = range(0, len(first), 1 << 18)
    found = [
        np.einsum("ij,ij->i", vectors[first[k : k + (1 << 18)]].astype(float), vectors[second[k : k + (1 << 18)]].astype(float))
        for k in parts
    ]
    return np.concatenate(found) if found else np.zeros(0)
