"""Pairs, a recogniser and qualities of the images -> error versus discard: how well each quality foretells the recogniser's errors."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from typing import Any, Literal

import numpy as np

from limen.data.pairs import PairSet, open_pairs
from limen.errors import LimenError
from limen.inference.table import Progress, without_quality
from limen.protocols.discard_figures import LIMITS, DiscardFigures, add_figures, area, mated_left, paired_areas, unresolved
from limen.protocols.image_quality import ImageQuality, score_images
from limen.protocols.intervals import Bootstrap, rates_asked
from limen.protocols.pair_scores import PairScores, check_both_kinds, pair_counts, people_switch
from limen.protocols.result import Discarding, Result
from limen.protocols.verification import Verification
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
    none (a number that is not finite), are left out for all of them, counted and named, so that all are judged on the same pairs.

    Args:
        pairs: a PairSet, or the path of a `.bin` file or of a text list of pairs.
        qualities: name -> a measure, or the qualities of all images of `pairs.source` (N,), higher for a better image. An array
            (S, N) is S orders whose areas and curves are averaged: `random_orders(N)` is the baseline. All others are compared with
            the first.
        images: the folder of the images, where `pairs` is a text list.
        fmr: false match rates; at one below 1/N_impostor all numbers are unresolved. The headline is at the first.
        threshold: "fixed", or "per_step" to stand beside CR-FIQA's tables (see `metrics.error_vs_discard`), which gives no intervals.
        flip, replicates, seed, level, switches: as in `Verification`.
        quality_switches: name of a quality -> what else its result should say of it.

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
    switches: Mapping[str, Any] = field(default_factory=dict)
    quality_switches: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if isinstance(self.pairs, str | PathLike):
            self.pairs = open_pairs(self.pairs, self.images)
        self.pair_set: PairSet = self.pairs
        if self.pair_set.templates is not None:
            raise LimenError(f"{self.pair_set.name}: compares templates, and error versus discard needs pairs of single images")
        if not self.qualities:
            raise LimenError(f"{self.pair_set.name}: no quality to judge; name a measure, a model with a quality head or a CSV file")
        if self.threshold not in THRESHOLDS:
            raise LimenError(f"threshold: {self.threshold!r} is not known; choose from {', '.join(THRESHOLDS)}")
        self.fmr = rates_asked("fmr", self.fmr, "below one")
        if not self.fmr:
            raise LimenError("fmr: no rate cannot be asked for; give rates between 0 and 1")
        self._bootstrap = Bootstrap(self.replicates, self.level, self.seed)
        self._scored: dict[str, ImageQuality] = {}

    @property
    def name(self) -> str:
        return self.pair_set.name

    def run(self, embedder: Recogniser, model: str = "", progress: Progress | None = None, **inference: Any) -> list[Result]:
        """One result for each quality; equals `judge` of the scores that `Verification` gives."""
        scores = Verification(self.pair_set, flip=self.flip).score(embedder, progress, **inference)
        return self.judge(scores, embedder.description, model, progress, **inference)

    def image_qualities(self, progress: Progress | None = None, **inference: Any) -> dict[str, ImageQuality]:
        """The qualities by name; measures see each image of a pair once, however many recognisers are judged."""
        if self._scored:
            return self._scored
        source, used = self.pair_set.source, np.unique(np.r_[self.pair_set.first, self.pair_set.second])
        measures = {name: quality for name, quality in self.qualities.items() if not isinstance(quality, np.ndarray)}
        scored = score_images(list(measures.values()), source, used, progress, **inference) if measures else []
        found = dict(zip(measures, scored, strict=True))
        for name, given in self.qualities.items():
            if isinstance(given, np.ndarray):
                values = np.atleast_2d(given)
                if values.shape[1] != len(source):
                    raise LimenError(
                        f"{name}: {values.shape[1]} qualities for the {len(source)} images of {self.pair_set.name}; give one each"
                    )
                found[name] = ImageQuality(values, without_quality(values, name, source, used))
        self._scored = {name: found[name] for name in self.qualities}
        return self._scored

    def judge(
        self, scores: PairScores, description: Mapping[str, Any], model: str = "", progress: Progress | None = None, **inference: Any
    ) -> list[Result]:
        """The results of given distances, one for each quality. Raises LimenError where no mated or no non-mated pair is left."""
        pairs, qualities = self.pair_set, self.image_qualities(progress, **inference)
        finite = {name: np.where(np.isfinite(quality.values), quality.values, np.nan) for name, quality in qualities.items()}
        per_pair = {name: np.minimum(values[:, pairs.first], values[:, pairs.second]) for name, values in finite.items()}
        usable = ~np.isnan(scores.distance) & ~np.isnan(np.concatenate(list(per_pair.values()))).any(0)
        judged = {name: quality[:, usable] for name, quality in per_pair.items()}
        score, same = 1 - scores.distance[usable] / 2, pairs.same[usable]
        first, second = pairs.subject[pairs.first[usable]], pairs.subject[pairs.second[usable]]
        check_both_kinds(pairs.name, same)

        figures = {name: DiscardFigures() for name in qualities}
        for rate in self.fmr:
            if rate * (~same).sum() < 1:
                for found in figures.values():
                    found.metrics += unresolved(rate)
                continue
            ends = self._bootstrap.of(paired_areas(score, same, judged, rate), first, second) if self.threshold == "fixed" else None
            add_figures(figures, score, same, judged, rate, self.threshold, first, second, self.level, ends)

        failures = {name: quality.failures | scores.failures for name, quality in qualities.items()}
        return [
            Result(
                name=pairs.name,
                kind="error versus discard",
                headline=area(None, self.fmr[0], LIMITS[1]).key,
                metrics=[*figures[name].metrics, *mated_left(figures[name].curves)],
                model=model,
                discarding=Discarding(name, self.threshold, len(quality.values)),
                counts=pair_counts(pairs, usable) | {"failures_to_acquire": len(failures[name])},
                switches=dict(description) | self._switches(description, name),
                curves=figures[name].curves,
                failures=[failures[name][image] for image in sorted(failures[name])],
            )
            for name, quality in qualities.items()
        ]

    def _switches(self, description: Mapping[str, Any], quality: str) -> dict[str, Any]:
        fixed = self.threshold == "fixed"
        return {
            "flip": description.get("flip", "the model's own rule") if self.flip is None else self.flip,
            "score": "cosine = 1 - |a - b|^2 / 2",
            "quality of a pair": "the lower of its images'",
            "edc threshold": THRESHOLDS[self.threshold],
            "area": AREAS[self.threshold],
            "bootstrap": "over subjects, of all qualities at once" if fixed else "none",
            **(people_switch(self.pair_set) | self._bootstrap.switches if fixed else {}),
            **self.pair_set.switches,
            **self.switches,
            **self.quality_switches.get(quality, {}),
        }
