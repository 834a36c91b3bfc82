"""Pairs of images on disk -> accuracy over folds, TAR@FAR and EER."""

import math
from dataclasses import dataclass, field
from os import PathLike
from typing import Any

import numpy as np

from limen import metrics
from limen.data.pairs import PairSet, open_pairs
from limen.errors import LimenError
from limen.inference.table import Progress, embed_images
from limen.protocols.result import Result
from limen.recogniser import Recogniser

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
        folds: contiguous blocks of pairs; None is the pair set's own number, ten if its file names none.
        flip: add the mirror image's embedding before normalising; None is the model's own rule.
        far: false accept rates of the TAR@FAR reported; one below 1/N_impostor is NaN, that is unresolved.
        replicates, seed, level: of the bootstrap over subjects.
        progress: called with (images done, images in all).
    """

    pairs: PairSet | str | PathLike[str]
    images: str | PathLike[str] | None = None
    folds: int | None = None
    flip: bool | None = True
    far: tuple[float, ...] = (1e-3, 1e-2)
    replicates: int = 1000
    seed: int = 0
    level: float = 0.95
    progress: Progress | None = None

    def __post_init__(self) -> None:
        if isinstance(self.pairs, str | PathLike):
            self.pairs = open_pairs(self.pairs, self.images)
        self.pair_set: PairSet = self.pairs

    def run(self, embedder: Recogniser) -> Result:
        """Equals `judge(score(embedder), embedder.description)`."""
        return self.judge(self.score(embedder), dict(embedder.description))

    def score(self, embedder: Recogniser) -> PairScores:
        """Distances of all pairs, in the order of the pair set; each image is embedded once."""
        pairs = self.pair_set
        embedded = embed_images(embedder, pairs.source, np.r_[pairs.first, pairs.second], self.flip, self.progress)
        difference = embedded.vectors[pairs.first].astype(float) - embedded.vectors[pairs.second]
        return PairScores(np.square(difference).sum(1), embedded.failures)

    def judge(self, scores: PairScores, description: dict[str, Any]) -> Result:
        """The numbers of given distances. Raises LimenError where too few pairs are left for the folds."""
        pairs = self.pair_set
        usable = ~np.isnan(scores.distance)
        distance, same = scores.distance[usable], pairs.same[usable]
        first, second = pairs.subject[pairs.first[usable]], pairs.subject[pairs.second[usable]]
        try:
            fold = np.unique(metrics.contiguous_folds(len(usable), self.folds or pairs.folds)[usable], return_inverse=True)[1]
            kfold = metrics.kfold_verification(distance, same, fold, VAL_FAR)
        except ValueError as error:
            raise LimenError(f"{pairs.name}: {error}; use more pairs or fewer folds") from error

        score = 1 - distance / 2
        figures = _fold_figures(kfold, distance, same, fold)
        figures.numbers["accuracy_with_failures_as_errors"] = float(kfold.correct.sum() / len(usable))
        curves = {"histogram": _histogram(score, same)}
        if same.any() and not same.all():
            roc = metrics.roc_curve(score, same)
            thin = metrics.thin_roc(roc)
            curves["roc"] = {"far": thin.far.tolist(), "tar": thin.tar.tolist()}
            figures.add("eer", metrics.eer(score[same], score[~same]).value, metrics.weighted_eer(score, same))
            for far in self.far:
                tar, events = metrics.tar_at_far(score, same, [far])[0], metrics.impostor_events(roc, [far], int((~same).sum()))[0]
                figures.add_at_far(f"tar@far={far:g}", tar, metrics.weighted_tar_at_far(score, same, [far]), far, same, events)

        return Result(
            name=pairs.name,
            kind="verification",
            headline="accuracy",
            metrics=figures.numbers,
            intervals=self._intervals(figures.statistics, first, second),
            events=figures.events,
            counts=pair_counts(pairs, usable) | {"failures_to_acquire": len(scores.failures)},
            switches=description | self._switches(description, folds=int(fold.max()) + 1),
            curves=curves,
            failures=list(scores.failures.values()),
        )

    def _intervals(self, statistics: dict[str, metrics.Statistic], first: np.ndarray, second: np.ndarray) -> dict[str, tuple[float, float]]:
        def all_at_once(weight: np.ndarray) -> np.ndarray:
            return np.concatenate([np.atleast_1d(statistic(weight)) for statistic in statistics.values()])

        interval = metrics.bootstrap_interval(all_at_once, first, second, self.replicates, self.level, self.seed)
        return dict(zip(statistics, zip(interval.low.tolist(), interval.high.tolist(), strict=True), strict=True))

    def _switches(self, description: dict[str, Any], folds: int) -> dict[str, Any]:
        return {
            "flip": description.get("flip", "the model's own rule") if self.flip is None else self.flip,
            "score": "cosine = 1 - |a - b|^2 / 2",
            "folds": folds,
            "accuracy threshold": "best on the other folds, kept fixed in the bootstrap",
            "val threshold": "interpolated on the other folds, kept fixed in the bootstrap",
            "tar threshold": "conservative: the FAR is not exceeded; found again in every bootstrap replicate",
            "bootstrap": "over subjects",
            "bootstrap replicates": self.replicates,
            "bootstrap level": self.level,
            "bootstrap seed": self.seed,
        }


def pair_counts(pairs: PairSet, usable: np.ndarray) -> dict[str, int]:
    """What a Result counts of a pair set of which the pairs `usable` (P,) bool are judged."""
    same = pairs.same[usable]
    people = pairs.subject[np.r_[pairs.first[usable], pairs.second[usable]]]
    return {
        "pairs": len(same),
        "mated": int(same.sum()),
        "non_mated": int((~same).sum()),
        "images": len(np.unique(np.r_[pairs.first, pairs.second])),
        "subjects": len(np.unique(people)),
        "pairs_left_out": int((~usable).sum()),
    }


@dataclass
class _Figures:
    """Numbers, and how each is found again in a bootstrap replicate."""

    numbers: dict[str, float] = field(default_factory=dict)
    events: dict[str, int] = field(default_factory=dict)
    statistics: dict[str, metrics.Statistic] = field(default_factory=dict)

    def add(self, name: str, value: float, statistic: metrics.Statistic) -> None:
        self.numbers[name], self.statistics[name] = float(value), statistic

    def add_at_far(self, name: str, value: float, statistic: metrics.Statistic, far: float, same: np.ndarray, events: int) -> None:
        """As `add` with the impostors behind the number; NaN alone where `far` allows less than one impostor of all."""
        if far * (~same).sum() < 1:
            self.numbers[name] = math.nan
        else:
            self.add(name, value, statistic)
            self.events[name] = int(events)


def _fold_figures(kfold: metrics.KFold, distance: np.ndarray, same: np.ndarray, fold: np.ndarray) -> _Figures:
    figures = _Figures()
    figures.add("accuracy", kfold.accuracy_mean, metrics.weighted_mean(kfold.correct))
    figures.numbers["accuracy_std"] = kfold.accuracy_std
    figures.numbers["threshold_cosine"] = float(1 - kfold.thresholds.mean() / 2)
    passed = distance < kfold.val_thresholds[fold]
    name, events = f"val@far={VAL_FAR:g}", (passed & ~same).sum()
    figures.add_at_far(name, kfold.val, metrics.weighted_mean(passed, among=same), VAL_FAR, same, events)
    return figures


def _histogram(score: np.ndarray, same: np.ndarray) -> dict[str, list[float]]:
    edges = np.histogram_bin_edges(score, HISTOGRAM_BINS)
    mated, non_mated = (np.histogram(score[group], edges)[0].tolist() for group in (same, ~same))
    return {"edges": edges.tolist(), "mated": mated, "non_mated": non_mated}
