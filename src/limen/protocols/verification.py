"""Pairs of images or templates -> accuracy over folds, TAR@FAR and EER, and the rates of each group of people."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import Any

import numpy as np

from limen import metrics
from limen.data.pairs import PairSet, open_pairs
from limen.errors import LimenError
from limen.inference.table import Progress
from limen.models.operating_point import OperatingPoint
from limen.protocols.accuracy import accuracy_figures, fold_numbers
from limen.protocols.at_far import LOOKUPS, Lookup, tar_metrics
from limen.protocols.at_threshold import AtThreshold, check_at_threshold, error_rates, operating_points, told_of, working_points
from limen.protocols.groups import GROUP_THRESHOLDS, GroupedPairs, GroupThreshold, group_accuracies, group_rates
from limen.protocols.hardest import hardest_pairs, hardest_people
from limen.protocols.intervals import Bootstrap, Figure, rates_asked
from limen.protocols.pair_scores import PairScores, check_both_kinds, pair_counts, people_switch, pooling_switches, score_pairs
from limen.protocols.result import Curve, Metric, Result
from limen.recogniser import Recogniser

FAR = (1e-3, 1e-2)
HISTOGRAM_BINS = 80


@dataclass
class Verification:
    """Verification of pairs: the k-fold protocol of LFW and its kin, or TAR@FAR alone where a benchmark has no folds, as IJB-C.

    Images that cannot be used are failures to acquire, counted and named. In folds their pairs are left out, and reported a second time as
    errors; folds are cut before, so that a failure moves no other pair into another fold. Without folds their pairs are misses: counted in
    every rate, and never accepted. A template fails where none of its images can be used.

    Args:
        pairs: a PairSet, or the path of a `.bin` file or of a text list of pairs.
        images: the folder of the images, where `pairs` is a text list.
        folds: contiguous blocks of pairs; None is the pair set's own folds, ten if its file names none.
        flip: add the mirror image's embedding before normalising; None is the model's own rule.
        far: false accept rates of the TAR@FAR reported; one below 1/N_impostor is unresolved. None is the pair set's own, else `FAR`.
        lookup: "conservative", or "nearest" to stand beside published IJB tables (see `metrics.tar_at_far`), without intervals.
        norms, weights: of templates, see `score_pairs`.
        threshold: of the rates of groups: "global", or "per_group" to stand beside RFW's tables.
        at_threshold: also FMR and FNMR at this cosine, or at the model's "own" operating points, and whether their promise is kept.
        replicates, seed, level: of the bootstrap over subjects.
        switches: what else the results should say of how they came about.

    Raises:
        LimenError: all pairs are of one kind; a model judged at its "own" operating points has none, or was calibrated with another flip.
    """

    pairs: PairSet | str | PathLike[str]
    images: str | PathLike[str] | None = None
    folds: int | None = None
    flip: bool | None = True
    far: tuple[float, ...] | None = None
    lookup: Lookup = "conservative"
    norms: bool = True
    weights: bool = True
    threshold: GroupThreshold = "global"
    at_threshold: AtThreshold | None = None
    replicates: int = 1000
    seed: int = 0
    level: float = 0.95
    switches: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if isinstance(self.pairs, str | PathLike):
            self.pairs = open_pairs(self.pairs, self.images)
        self.pair_set: PairSet = self.pairs
        self.rates = rates_asked("far", self.far or self.pair_set.far or FAR)
        for what, given, known in (("lookup", self.lookup, LOOKUPS), ("threshold", self.threshold, GROUP_THRESHOLDS)):
            if given not in known:
                raise LimenError(f"{what}: {given!r} is not known; choose from {', '.join(known)}")
        check_at_threshold(self.at_threshold)
        check_both_kinds(self.pair_set.name, self.pair_set.same)
        self._bootstrap = Bootstrap(self.replicates, self.level, self.seed)

    @property
    def name(self) -> str:
        return self.pair_set.name

    def run(self, embedder: Recogniser, model: str = "", progress: Progress | None = None, **inference: Any) -> Result:
        """Equals `judge(score(embedder, progress, **inference), embedder.description, model, points(embedder, model))`."""
        points = self.points(embedder, model)  # before the images: a refusal should not cost their reading
        return self.judge(self.score(embedder, progress, **inference), embedder.description, model, points)

    def points(self, embedder: Recogniser, model: str = "") -> tuple[OperatingPoint, ...]:
        """The operating points that it is to be judged at. Raises LimenError where it cannot be."""
        return operating_points(self.at_threshold, embedder, self.flip, model)

    def score(self, embedder: Recogniser, progress: Progress | None = None, **inference: Any) -> PairScores:
        """`score_pairs` of the pair set; `inference`: batch_size, workers and cache of `embed_images`."""
        return score_pairs(self.pair_set, embedder, self.flip, self.norms, self.weights, progress, **inference)

    def judge(self, scores: PairScores, description: Mapping[str, Any], model: str = "", points: Sequence[OperatingPoint] = ()) -> Result:
        """The numbers of given distances, of an embedder so described that has these operating points. Raises LimenError where too few
        pairs are left for the folds, or one kind of them alone."""
        pairs, folds = self.pair_set, self.pair_set.folds if self.folds is None else self.folds
        usable = ~np.isnan(scores.distance)
        check_both_kinds(pairs.name, pairs.same[usable])
        judged = usable if folds is not None else np.ones(len(usable), bool)
        distance = scores.distance if usable.all() else np.where(usable, scores.distance, np.inf)[judged]
        score, same = 1 - distance / 2, pairs.same[judged]
        subject = pairs.subject.astype(np.int32)  # of 188 million pairs every byte is 188 MB
        first, second = subject[pairs.first[judged]], subject[pairs.second[judged]]
        figures: list[Figure] = []
        fold = None
        try:
            tars = tar_metrics(score, same, first, second, self.rates, self._bootstrap, self.lookup)
            if folds is not None:
                fold = fold_numbers(folds, usable)
                figures += accuracy_figures(distance, score, same, fold, len(usable))
            groups = {grouping: group[judged] for grouping, group in pairs.groups.items()}
            grouped = GroupedPairs(score, distance, same, fold, first, second)
            figures += group_accuracies(groups, grouped, self.threshold)
            found = self._bootstrap.figures(figures, first, second) if figures else []
            given = working_points(self.at_threshold, points)
            at_given = [metric for metric, _ in error_rates(given, score, same, first, second, self._bootstrap)]
            of_groups, small = group_rates(groups, grouped, self.rates, self.threshold, self._bootstrap, given)
        except ValueError as error:
            raise LimenError(f"{pairs.name}: {error}; use more pairs or fewer folds") from error
        known = [] if pairs.names is None else [pairs.names[person] for person in np.union1d(first, second)]
        told = told_of(points, pairs.name, known, pairs.sha256) | ({"groups too small to say": "; ".join(small)} if small else {})
        missed = {"pairs_missed": int((~usable & judged).sum()), "templates_without_images": len(scores.missed)}
        threshold = given[-1].threshold if given else _strictest([*found, *tars])
        return Result(
            name=pairs.name,
            kind="verification",
            headline="accuracy" if fold is not None else _headline(tars),
            metrics=[*found, *tars, *at_given, *of_groups],
            model=model,
            counts=pair_counts(pairs, judged) | {"failures_to_acquire": len(scores.failures)} | {k: v for k, v in missed.items() if v},
            switches={
                **description,
                **self._switches(description, fold),
                **told,
                **pairs.switches,
                **self.switches,
            },
            curves=[_histogram(score, same), _roc(score, same)],
            failures=[*scores.failures.values(), *(f"{name}: none of its images can be used" for name in scores.missed)],
            hard_pairs=hardest_pairs(pairs, judged, score),
            hard_people=[] if threshold is None else hardest_people(pairs, judged, score, threshold),
            hard_threshold=threshold,
            draws_sha256=self._bootstrap.draws_sha256(
                map(pairs.place, range(len(pairs.subject))), pairs.first[judged], pairs.second[judged], same, first, second
            ),
        )

    def _switches(self, description: Mapping[str, Any], fold: np.ndarray | None) -> dict[str, Any]:
        kfold: dict[str, Any] = {"failures to acquire": "count in every rate, and are never accepted"}
        if fold is not None:
            kfold = {
                "folds": int(fold.max()) + 1,
                "accuracy threshold": "best on the other folds, kept fixed in the bootstrap",
                "val threshold": "interpolated on the other folds; found again in every bootstrap replicate",
            }
        templates = self.pair_set.templates
        return {
            "flip": description.get("flip", "the model's own rule") if self.flip is None else self.flip,
            **({} if templates is None else pooling_switches(templates, self.norms, self.weights)),
            "score": "cosine = 1 - |a - b|^2 / 2",
            **kfold,
            **({"threshold of groups": GROUP_THRESHOLDS[self.threshold]} if self.pair_set.groups else {}),
            "tar threshold": LOOKUPS[self.lookup],
            "bootstrap": "over subjects",
            **people_switch(self.pair_set),
            **self._bootstrap.switches,
        }


def _headline(tars: list[Metric]) -> str:
    """At 1e-4, where papers compare; else the first that is resolved."""
    resolved = [tar for tar in tars if tar.value is not None] or tars
    return next((tar.key for tar in resolved if tar.at["far"] == 1e-4), resolved[0].key)


def _strictest(found: list[Metric]) -> float | None:
    """The threshold of the lowest FAR that is resolved, else that of the accuracy."""
    resolved = [metric for metric in found if metric.quantity == "tar" and not metric.variant and metric.threshold is not None]
    if resolved:
        return min(resolved, key=lambda metric: metric.at["far"]).threshold
    return next((float(metric.value) for metric in found if metric.quantity == "threshold_cosine" and metric.value is not None), None)


def _roc(score: np.ndarray, same: np.ndarray) -> Curve:
    thin = metrics.thin_roc(score, same)
    events = np.rint(thin.far * (~same).sum()).astype(int)
    points = {"far": thin.far, "tar": thin.tar, "threshold": thin.threshold, "false_matches": events}
    return Curve("roc", {axis: values.tolist() for axis, values in points.items()})


def _histogram(score: np.ndarray, same: np.ndarray) -> Curve:
    edges = np.histogram_bin_edges(score[np.isfinite(score)], HISTOGRAM_BINS)
    mated, non_mated = (np.histogram(score[group], edges)[0].tolist() for group in (same, ~same))
    return Curve("histogram", {"edges": edges.tolist(), "mated": mated, "non_mated": non_mated})
