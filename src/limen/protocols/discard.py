"""Pairs, a recogniser and qualities of the images -> error versus discard: how well each quality foretells the recogniser's errors."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from typing import Any, Literal

import numpy as np

from limen import metrics
from limen.data.pairs import PairSet, open_pairs
from limen.errors import LimenError
from limen.inference.table import Progress, without_quality
from limen.protocols.discard_figures import LIMITS, DiscardFigures, add_figures, add_unresolved, area_name, paired_areas
from limen.protocols.image_quality import ImageQuality, score_images
from limen.protocols.result import Result
from limen.protocols.verification import PairScores, Verification, pair_counts
from limen.quality import QualityMeasure
from limen.recogniser import Recogniser

THRESHOLDS = {
    "fixed": "fixed: of all impostors before anything is discarded, the FMR is not exceeded; found again in every bootstrap replicate",
    "per_step": "per_step: found again on the pairs left at each of 20 steps, the nearest FMR, as in CR-FIQA's tables; no intervals",
}
AREAS = {"fixed": "staircase, over the share of mated pairs", "per_step": "trapezoid, over the share of all pairs"}


@dataclass
class ErrorVersusDiscard:
    """Error versus discard of pairs (ISO/IEC 29794-1:2024, FNM-EDC and FM-EDC), for several qualities at once.

    The quality of a pair is the lower of its images'. Pairs of an image that cannot be read, or to which any of the qualities gives
    none (NaN), are left out for all of them, counted and named, so that all are judged on the same pairs.

    Args:
        pairs: a PairSet, or the path of a `.bin` file or of a text list of pairs.
        qualities: name -> a measure, or the qualities of all images of `pairs.source` (N,), higher for a better image. An array
            (S, N) is S orders whose areas and curves are averaged: `random_orders(N)` is the baseline. All others are compared with
            the first.
        images: the folder of the images, where `pairs` is a text list.
        fmr: false match rates; at one below 1/N_impostor all numbers are NaN, that is unresolved. The headline is at the first.
        threshold: "fixed", or "per_step" to stand beside CR-FIQA's tables (see `metrics.error_vs_discard`), which gives no intervals.
        flip, replicates, seed, level, progress: as in `Verification`.

    Raises:
        LimenError: no quality, or one of another length than the source.
    """

    pairs: PairSet | str | PathLike[str]
    qualities: Mapping[str, QualityMeasure | np.ndarray]
    images: str | PathLike[str] | None = None
    fmr: tuple[float, ...] = (1e-2, 1e-3, 1e-4)
    threshold: Literal["fixed", "per_step"] = "fixed"
    flip: bool | None = True
    replicates: int = 1000
    seed: int = 0
    level: float = 0.95
    progress: Progress | None = None

    def __post_init__(self) -> None:
        if isinstance(self.pairs, str | PathLike):
            self.pairs = open_pairs(self.pairs, self.images)
        self.pair_set: PairSet = self.pairs
        if not self.qualities:
            raise LimenError(f"{self.pair_set.name}: no quality to judge; name a measure, a model with a quality head or a CSV file")
        if self.threshold not in THRESHOLDS:
            raise LimenError(f"threshold: {self.threshold!r} is not known; choose from {', '.join(THRESHOLDS)}")
        if not self.fmr or not all(0 < rate < 1 for rate in self.fmr):
            raise LimenError(f"fmr: {', '.join(map(str, self.fmr)) or 'no rate'} cannot be asked for; give rates between 0 and 1")

    def run(self, embedder: Recogniser) -> list[Result]:
        """One result for each quality; equals `judge` of the scores that `Verification` gives."""
        scores = Verification(self.pair_set, flip=self.flip, progress=self.progress).score(embedder)
        return self.judge(scores, dict(embedder.description))

    @cached_property
    def image_qualities(self) -> dict[str, ImageQuality]:
        """The qualities by name; measures see each image of a pair once, however many recognisers are judged."""
        source, used = self.pair_set.source, np.unique(np.r_[self.pair_set.first, self.pair_set.second])
        measures = {name: quality for name, quality in self.qualities.items() if not isinstance(quality, np.ndarray)}
        scored = score_images(list(measures.values()), source, used, self.progress) if measures else []
        found = dict(zip(measures, scored, strict=True))
        for name, given in self.qualities.items():
            if isinstance(given, np.ndarray):
                values = np.atleast_2d(given)
                if values.shape[1] != len(source):
                    raise LimenError(
                        f"{name}: {values.shape[1]} qualities for the {len(source)} images of {self.pair_set.name}; give one each"
                    )
                found[name] = ImageQuality(values, without_quality(values, name, source, used))
        return {name: found[name] for name in self.qualities}

    def judge(self, scores: PairScores, description: dict[str, Any]) -> list[Result]:
        """The results of given distances, one for each quality. Raises LimenError where no mated or no non-mated pair is left."""
        pairs, qualities = self.pair_set, self.image_qualities
        per_pair = {name: np.minimum(q.values[:, pairs.first], q.values[:, pairs.second]) for name, q in qualities.items()}
        usable = ~np.isnan(scores.distance) & ~np.isnan(np.concatenate(list(per_pair.values()))).any(0)
        judged = {name: quality[:, usable] for name, quality in per_pair.items()}
        score, same = 1 - scores.distance[usable] / 2, pairs.same[usable]
        first, second = pairs.subject[pairs.first[usable]], pairs.subject[pairs.second[usable]]
        if not same.any() or same.all():
            raise LimenError(
                f"{pairs.name}: {int(same.sum())} of the {len(same)} usable pairs are mated, and both kinds are needed; "
                "use other pairs, or qualities of more of their images"
            )

        figures = {name: DiscardFigures() for name in qualities}
        for rate in self.fmr:
            if rate * (~same).sum() < 1:
                add_unresolved(figures, rate)
                continue
            interval = None
            if self.threshold == "fixed":
                statistic = paired_areas(score, same, judged, rate)
                interval = metrics.bootstrap_interval(statistic, first, second, self.replicates, self.level, self.seed)
            add_figures(figures, score, same, judged, rate, self.threshold, interval)

        counts = pair_counts(pairs, usable)
        failures = {name: quality.failures | scores.failures for name, quality in qualities.items()}
        return [
            Result(
                name=pairs.name,
                kind="error versus discard" + (", threshold per_step" if self.threshold == "per_step" else ""),
                headline=area_name(LIMITS[1], self.fmr[0]),
                metrics=figures[name].numbers,
                intervals=figures[name].intervals,
                events=figures[name].events,
                counts=counts | {"failures_to_acquire": len(failures[name])} | figures[name].left,
                switches={"quality": name} | description | self._switches(description, len(quality.values)),
                curves=figures[name].curves,
                failures=[failures[name][image] for image in sorted(failures[name])],
            )
            for name, quality in qualities.items()
        ]

    def _switches(self, description: dict[str, Any], orders: int) -> dict[str, Any]:
        bootstrap = {"replicates": self.replicates, "level": self.level, "seed": self.seed} if self.threshold == "fixed" else {}
        return {
            "flip": description.get("flip", "the model's own rule") if self.flip is None else self.flip,
            "score": "cosine = 1 - |a - b|^2 / 2",
            "quality of a pair": "the lower of its images'",
            "orders averaged": orders,
            "edc threshold": THRESHOLDS[self.threshold],
            "area": AREAS[self.threshold],
            "bootstrap": "over subjects, of all qualities at once" if bootstrap else "none",
        } | {f"bootstrap {name}": value for name, value in bootstrap.items()}
