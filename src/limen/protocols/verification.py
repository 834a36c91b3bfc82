"""Pairs of images on disk -> accuracy over folds, TAR@FAR and EER."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from typing import Any

import numpy as np

from limen import metrics
from limen.data.pairs import PairSet, open_pairs
from limen.errors import LimenError
from limen.inference.table import Progress, embed_images
from limen.protocols.at_far import LOOKUPS, Lookup, tar_metrics
from limen.protocols.intervals import Bootstrap, Figure
from limen.protocols.result import Curve, Metric, Result
from limen.recogniser import Recogniser

FAR = (1e-3, 1e-2)
VAL_FAR = 1e-3
HISTOGRAM_BINS = 80


@dataclass(frozen=True)
class PairScores:
    """What an embedder says of the pairs, before it is judged."""

    distance: np.ndarray  # (P,) squared distance of the unit vectors = 2 - 2 cosine; NaN where an image failed
    failures: dict[int, str]  # number -> file and reason of every image that could not be used


@dataclass
class Verification:
    """The k-fold verification protocol of LFW and of the `.bin` files (CFP-FP, AgeDB-30, CALFW, CPLFW, ...).

    Images that cannot be read are failures to acquire: their pairs are left out, counted, and reported a second time as errors.
    Folds are cut before anything is left out, so that a failure moves no other pair into another fold.

    Args:
        pairs: a PairSet, or the path of a `.bin` file or of a text list of pairs.
        images: the folder of the images, where `pairs` is a text list.
        folds: contiguous blocks of pairs; None is the pair set's own folds, ten if its file names none.
        flip: add the mirror image's embedding before normalising; None is the model's own rule.
        far: false accept rates of the TAR@FAR reported; one below 1/N_impostor is unresolved. None is the pair set's own, else `FAR`.
        lookup: "conservative", or "nearest" to stand beside published IJB tables (see `metrics.tar_at_far`), without intervals.
        replicates, seed, level: of the bootstrap over subjects.
        switches: what else the results should say of how they came about.

    Raises:
        LimenError: all pairs are of one kind.
    """

    pairs: PairSet | str | PathLike[str]
    images: str | PathLike[str] | None = None
    folds: int | None = None
    flip: bool | None = True
    far: tuple[float, ...] | None = None
    lookup: Lookup = "conservative"
    replicates: int = 1000
    seed: int = 0
    level: float = 0.95
    switches: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if isinstance(self.pairs, str | PathLike):
            self.pairs = open_pairs(self.pairs, self.images)
        self.pair_set: PairSet = self.pairs
        self.rates = tuple(self.far or self.pair_set.far or FAR)
        if not all(0 < rate <= 1 for rate in self.rates):
            raise LimenError(f"far: {', '.join(map(str, self.rates))} cannot be asked for; give rates between 0 and 1")
        check_both_kinds(self.pair_set.name, self.pair_set.same)
        self._bootstrap = Bootstrap(self.replicates, self.level, self.seed)

    @property
    def name(self) -> str:
        return self.pair_set.name

    def run(self, embedder: Recogniser, model: str = "", progress: Progress | None = None, **inference: Any) -> Result:
        """Equals `judge(score(embedder, progress, **inference), embedder.description, model)`."""
        return self.judge(self.score(embedder, progress, **inference), embedder.description, model)

    def score(self, embedder: Recogniser, progress: Progress | None = None, **inference: Any) -> PairScores:
        """Distances of all pairs, in the order of the pair set; each image is embedded once. `inference`: batch_size, workers and cache of
        `embed_images`."""
        pairs = self.pair_set
        embedded = embed_images(embedder, pairs.source, np.r_[pairs.first, pairs.second], self.flip, progress, **inference)
        difference = embedded.vectors[pairs.first].astype(float) - embedded.vectors[pairs.second]
        return PairScores(np.square(difference).sum(1), embedded.failures)

    def judge(self, scores: PairScores, description: Mapping[str, Any], model: str = "") -> Result:
        """The numbers of given distances, of an embedder so described. Raises LimenError where too few pairs are left for the folds, or
        one kind of them alone."""
        pairs, folds = self.pair_set, self.pair_set.folds if self.folds is None else self.folds
        usable = ~np.isnan(scores.distance)
        check_both_kinds(pairs.name, pairs.same[usable])
        judged = usable if folds is not None else np.ones(len(usable), bool)
        score, same = np.where(usable, 1 - scores.distance / 2, -np.inf)[judged], pairs.same[judged]
        first, second = pairs.subject[pairs.first[judged]], pairs.subject[pairs.second[judged]]
        try:
            tars = tar_metrics(score, same, first, second, self.rates, self._bootstrap, self.lookup)
            found = []
            if folds is not None:
                fold = _fold_numbers(folds, usable)
                found = self._bootstrap.figures(_accuracy(scores.distance[usable], score, same, fold, len(usable)), first, second)
        except ValueError as error:
            raise LimenError(f"{pairs.name}: {error}; use more pairs or fewer folds") from error
        return Result(
            name=pairs.name,
            kind="verification",
            headline="accuracy" if found else next((tar.key for tar in tars if tar.value is not None), tars[0].key),
            metrics=[*found, *tars],
            model=model,
            counts=pair_counts(pairs, judged) | {"failures_to_acquire": len(scores.failures)} | _missed(judged & ~usable),
            switches={**description, **self._switches(description, int(fold.max()) + 1 if found else 0), **pairs.switches, **self.switches},
            curves=[_histogram(score, same), _roc(score, same)],
            failures=list(scores.failures.values()),
        )

    def _switches(self, description: Mapping[str, Any], folds: int) -> dict[str, Any]:
        kfold = {
            "folds": folds,
            "accuracy threshold": "best on the other folds, kept fixed in the bootstrap",
            "val threshold": "interpolated on the other folds; found again in every bootstrap replicate",
        }
        return {
            "flip": description.get("flip", "the model's own rule") if self.flip is None else self.flip,
            "score": "cosine = 1 - |a - b|^2 / 2",
            **(kfold if folds else {"failures to acquire": "count in every rate, and are never accepted"}),
            "tar threshold": LOOKUPS[self.lookup],
            "bootstrap": "over subjects",
            **people_switch(self.pair_set),
            **self._bootstrap.switches,
        }


def _accuracy(distance: np.ndarray, score: np.ndarray, same: np.ndarray, fold: np.ndarray, asked: int) -> list[Figure]:
    """Of the usable pairs out of those `asked` for."""
    kfold = metrics.kfold_verification(distance, same, fold, VAL_FAR)
    val = metrics.weighted_val(distance, same, fold, VAL_FAR)
    return [
        Figure(Metric("accuracy", kfold.accuracy_mean), metrics.weighted_mean(kfold.correct), [np.ones(len(same), bool)]),
        Figure(Metric("accuracy", kfold.accuracy_std, variant=["std"])),
        Figure(Metric("threshold_cosine", 1 - kfold.thresholds.mean() / 2, "similarity")),
        _val(kfold.val, val, same, (distance < kfold.val_thresholds[fold])[~same].sum()),
        Figure(Metric("accuracy", kfold.correct.sum() / asked, variant=["with failures as errors"])),
        Figure(Metric("eer", metrics.eer(score[same], score[~same]).value), metrics.weighted_eer(score, same), [same, ~same]),
    ]


def _fold_numbers(folds: int | np.ndarray, usable: np.ndarray) -> np.ndarray:
    """The fold of each usable pair, from 0. Cut before anything is left out, so that a failure moves no other pair."""
    fold = folds if isinstance(folds, np.ndarray) else metrics.contiguous_folds(len(usable), folds)
    return np.unique(fold[usable], return_inverse=True)[1]


def _missed(missed: np.ndarray) -> dict[str, int]:
    return {"pairs_missed": int(missed.sum())} if missed.any() else {}


def pair_counts(pairs: PairSet, usable: np.ndarray) -> dict[str, int]:
    """What a Result counts of a pair set of which the pairs `usable` (P,) bool are judged."""
    same = pairs.same[usable]
    people = pairs.subject[np.r_[pairs.first[usable], pairs.second[usable]]]
    return {
        "pairs": len(same),
        "mated": int(same.sum()),
        "non_mated": int((~same).sum()),
        "images": len(np.unique(np.r_[pairs.first, pairs.second])),
        "subjects" if pairs.people == "named" else "groups_joined_by_mated_pairs": len(np.unique(people)),
        "pairs_left_out": int((~usable).sum()),
    }


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


def _val(value: float, statistic: metrics.Statistic, same: np.ndarray, events: int) -> Figure:
    """Unresolved where `VAL_FAR` allows less than one impostor of all."""
    if VAL_FAR * (~same).sum() < 1:
        return Figure(Metric("val", None, at={"far": VAL_FAR}, needed=round(1 / VAL_FAR)))
    return Figure(Metric("val", value, at={"far": VAL_FAR}, events=int(events)), statistic, [same])


def _roc(score: np.ndarray, same: np.ndarray) -> Curve:
    thin = metrics.thin_roc(metrics.roc_curve(score, same))
    events = np.rint(thin.far * (~same).sum()).astype(int)
    points = {"far": thin.far, "tar": thin.tar, "threshold": thin.threshold, "false_matches": events}
    return Curve("roc", {axis: values.tolist() for axis, values in points.items()})


def _histogram(score: np.ndarray, same: np.ndarray) -> Curve:
    edges = np.histogram_bin_edges(score[np.isfinite(score)], HISTOGRAM_BINS)
    mated, non_mated = (np.histogram(score[group], edges)[0].tolist() for group in (same, ~same))
    return Curve("histogram", {"edges": edges.tolist(), "mated": mated, "non_mated": non_mated})
