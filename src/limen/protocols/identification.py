"""Galleries searched by probes -> closed-set identification rates and mean average precision, and TPIR at FPIR of the open set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from limen import metrics
from limen.errors import LimenError
from limen.inference.table import Progress, embed_images
from limen.models.operating_point import OperatingPoint
from limen.protocols.at_threshold import (
    AtThreshold,
    WorkingPoint,
    check_at_threshold,
    error_rates,
    operating_points,
    told_of,
    working_points,
)
from limen.protocols.intervals import Bootstrap, rates_asked
from limen.protocols.mistakes import mistakes_of
from limen.protocols.pair_scores import pooled, pooling_switches
from limen.protocols.result import Curve, Metric, Result
from limen.protocols.search_curves import search_curves
from limen.protocols.search_figures import NOWHERE, closed_figures, insightface_figures, open_figures
from limen.protocols.task import Gallery, SearchSet
from limen.recogniser import Recogniser

SearchLookup = Literal["conservative", "insightface"]
SEARCH_LOOKUPS = {
    "conservative": "conservative: the FPIR is not exceeded; found again in every bootstrap replicate",
    "insightface": "insightface: one merged gallery, and a threshold from all scores with other people, whatever their probe; no intervals",
}

STRANGERS = {
    "others": "the probes whose person is not in the gallery",
    "everyone": "every probe, its own person taken out of the gallery",
}


@dataclass(frozen=True)
class TemplateVectors:
    """What an embedder makes of the templates, before they are judged."""

    vectors: np.ndarray  # (T, D) unit vectors; NaN for a template of which no image can be used
    failures: dict[int, str]  # number -> file and reason of every image that could not be used


@dataclass
class Identification:
    """Each gallery of a SearchSet searched by its probes: IJB-B, IJB-C, IJB-S, TinyFace, SCface, SurvFace, one's own folders.

    Closed set: the share of probes with a mate in the gallery whose mate is among the best k entries, and the mean average precision.
    Open set: TPIR, the share of them whose mate is within the set's `open_rank` and at or above the threshold, at which at most the share
    FPIR of the other probes finds anybody. Rates of several galleries are averaged. A failure to acquire counts: a failed probe finds
    nothing, a failed entry is never found. See `metrics.search`.

    Args:
        search_set: what is searched.
        ranks, fpir: of the rates reported; None is the set's own.
        flip: add the mirror image's embedding before normalising; None is the model's own rule.
        norms, weights: how templates are pooled, see `pooled`.
        at_threshold: also FPIR, where there are strangers, and FNIR, which is 1 - TPIR, of each gallery at this cosine or at the model's
            "own" operating points. Their FMR is of one comparison; a search makes as many as there are entries.
        lookup: "conservative", or "insightface" to stand beside tables made by its script: another quantity of the same name.
        replicates, seed, level: of the bootstrap over the probes' people, the galleries as they are.
        switches: what else the results should say of how they came about.

    Raises:
        LimenError: rates or ranks that cannot be asked for, galleries without entries or probes, an open set without both kinds of probes.
    """

    search_set: SearchSet
    ranks: tuple[int, ...] | None = None
    fpir: tuple[float, ...] | None = None
    flip: bool | None = True
    norms: bool = True
    weights: bool = True
    lookup: SearchLookup = "conservative"
    at_threshold: AtThreshold | None = None
    replicates: int = 1000
    seed: int = 0
    level: float = 0.95
    switches: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        searched, person = self.search_set, self.search_set.templates.person
        self._ranks = tuple(self.ranks or searched.ranks)
        self._fpir = rates_asked("fpir", searched.fpir if self.fpir is None else self.fpir)
        if not self._ranks or min(self._ranks) < 1:
            raise LimenError(f"{self.name}: ranks {self._ranks} cannot be asked for; give whole numbers from 1")
        if self.lookup not in SEARCH_LOOKUPS:
            raise LimenError(f"lookup: {self.lookup!r} is not known to searches; choose from {', '.join(SEARCH_LOOKUPS)}")
        check_at_threshold(self.at_threshold)
        self._person = np.where(person < 0, person.max(initial=0) + 1 + np.arange(len(person)), person)  # nobody known is somebody else
        for gallery in searched.galleries or [Gallery("", np.empty(0, int), np.empty(0, int))]:
            where = f"{self.name} {gallery.name}".rstrip()
            if not len(gallery.gallery) or not len(gallery.probe):
                raise LimenError(f"{where}: {len(gallery.gallery)} gallery entries and {len(gallery.probe)} probes; both are needed")
            mated = int(self._mated(gallery).sum())
            without = mated == len(gallery.probe) and searched.strangers == "others"
            if not mated or (self._fpir and without):
                wanted = "both kinds, for an open set" if self._fpir else "some"
                raise LimenError(f"{where}: {mated} of {len(gallery.probe)} probes have their person in the gallery; it needs {wanted}")
        one = self._as_one()
        self._used = np.union1d(one.gallery, one.probe)
        self._bootstrap = Bootstrap(self.replicates, self.level, self.seed)

    @property
    def name(self) -> str:
        return self.search_set.name

    @property
    def _norms(self) -> bool:
        return self.norms and not self.search_set.unit

    def run(self, embedder: Recogniser, model: str = "", progress: Progress | None = None, **inference: Any) -> Result:
        """Equals `judge(score(embedder, progress, **inference), embedder.description, model, points(embedder, model))`."""
        points = self.points(embedder, model)  # before the images: a refusal should not cost their reading
        return self.judge(self.score(embedder, progress, **inference), embedder.description, model, points)

    def points(self, embedder: Recogniser, model: str = "") -> tuple[OperatingPoint, ...]:
        """The operating points that it is to be judged at. Raises LimenError where it cannot be."""
        return operating_points(self.at_threshold, embedder, self.flip, model)

    def score(self, embedder: Recogniser, progress: Progress | None = None, **inference: Any) -> TemplateVectors:
        """The vectors of the templates that are searched or found; each image is embedded once. `inference`: batch_size, workers and
        cache of `embed_images`."""
        templates = self.search_set.templates
        rows = np.isin(templates.template, self._used)
        if not rows.all():
            weight = None if templates.weight is None else templates.weight[rows]
            row_of = {name: getattr(templates, name)[rows] for name in ("image", "template", "media")}
            templates = replace(templates, **row_of, weight=weight)
        table = embed_images(embedder, self.search_set.source, templates.image, self.flip, progress, **inference)
        return TemplateVectors(pooled(table.vectors, table.norms, templates, self._norms, self.weights), table.failures)

    def judge(
        self, scores: TemplateVectors, description: Mapping[str, Any], model: str = "", points: Sequence[OperatingPoint] = ()
    ) -> Result:
        """The numbers of given vectors, of an embedder so described that has these operating points."""
        searched, vectors, given = self.search_set, scores.vectors, working_points(self.at_threshold, points)
        missed = np.isnan(vectors).any(1) & np.isin(np.arange(len(vectors)), self._used)
        searches = [self._search(vectors, gallery) for gallery in searched.galleries]
        closed = [self._as_one()] if searched.merged else searched.galleries
        found = [self._search(vectors, gallery) for gallery in closed] if searched.merged else searches
        measured = closed_figures(found, [gallery.name for gallery in closed], self._ranks, self._bootstrap) + self._open(searches)
        for smaller in searched.nested:
            at = {"enrolled": float(len(np.unique(self._person[smaller.gallery])))}
            one = self._search(vectors, smaller)
            measured += closed_figures([one], [""], self._ranks, self._bootstrap, at) + self._open([one], at)
            measured += self._at_points([one], given, at)
        measured += self._at_points(searches, given)
        if self.lookup == "insightface":
            measured += insightface_figures(*self._sides(vectors, self._as_one()), self._ranks, self._fpir)
        failed = {
            "templates_without_images": int(missed.sum()),
            "failed_entries": int(missed[np.unique(np.concatenate([g.gallery for g in searched.galleries]))].sum()),
            "failed_probes": int(missed[np.unique(np.concatenate([g.probe for g in searched.galleries]))].sum()),
        }
        several = np.bincount(searched.templates.template, minlength=len(vectors)) != 1  # of one image its failure is told already
        names = [f"{searched.templates.names[row]}: none of its images can be used" for row in np.flatnonzero(missed & several)]
        judged = np.unique(searched.templates.person[self._used])
        told = told_of(points, self.name, [searched.people[person] for person in judged if 0 <= person < len(searched.people)])
        return Result(
            name=self.name,
            kind="identification",
            headline=measured[0].key,
            metrics=measured,
            model=model,
            counts=self._counts(searches) | {"failures_to_acquire": len(scores.failures)} | failed | dict(searched.counts),
            switches={**description, **self._switches(description), **told, **searched.switches, **self.switches},
            curves=[curve for one, found in zip(searched.galleries, searches, strict=True) for curve in self._curves(one, found)],
            failures=[*scores.failures.values(), *names],
            mistakes=mistakes_of(searched, searches, measured),
            draws_sha256=self._bootstrap.draws_sha256(
                searched.templates.names, self._person, *(side for one in searched.galleries for side in (one.gallery, one.probe))
            ),
        )

    def _mated(self, gallery: Gallery) -> np.ndarray:
        return np.isin(self._person[gallery.probe], self._person[gallery.gallery])

    def _search(self, vectors: np.ndarray, gallery: Gallery) -> metrics.Search:
        return metrics.search(*self._sides(vectors, gallery))

    def _sides(self, vectors: np.ndarray, gallery: Gallery) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        return vectors[gallery.probe], self._person[gallery.probe], vectors[gallery.gallery], self._person[gallery.gallery]

    def _open(self, searches: Sequence[metrics.Search], at: Mapping[str, float] = NOWHERE) -> list[Metric]:
        names = [gallery.name for gallery in self.search_set.galleries]
        found = [self._with_strangers(one) for one in searches]
        return open_figures(found, names, self._fpir, self.search_set.open_rank, self._bootstrap, at)

    def _at_points(
        self, searches: Sequence[metrics.Search], given: Sequence[WorkingPoint], at: Mapping[str, float] = NOWHERE
    ) -> list[Metric]:
        points = [WorkingPoint({**point.at, **at}, point.threshold) for point in given]
        rows: list[Metric] = []
        for one, gallery in zip(searches, self.search_set.galleries, strict=False):
            found, variant = self._with_strangers(one), [gallery.name] if len(searches) > 1 else []
            score, sides = found.decisive_scores(self.search_set.open_rank), (found.person, found.person)
            judged = error_rates(points, score, found.mated, *sides, self._bootstrap, variant=variant, quantities=("fpir", "fnir"))
            rows += [metric for metric, _ in judged]
        return rows

    def _with_strangers(self, found: metrics.Search) -> metrics.Search:
        return found.with_everyone_a_stranger() if self.search_set.strangers == "everyone" else found

    def _as_one(self) -> Gallery:
        """All galleries, and all probes, each once."""
        galleries = self.search_set.galleries
        gallery, probe = (np.unique(np.concatenate([getattr(g, side) for g in galleries])) for side in ("gallery", "probe"))
        return Gallery("", gallery, probe)

    def _counts(self, searches: Sequence[metrics.Search]) -> dict[str, int]:
        galleries, templates = self.search_set.galleries, self.search_set.templates
        mated = np.concatenate([gallery.probe[found.mated] for gallery, found in zip(galleries, searches, strict=True)])
        probes = np.unique(np.concatenate([gallery.probe for gallery in galleries]))
        entries = np.unique(np.concatenate([gallery.gallery for gallery in galleries]))
        return {
            "galleries": len(galleries),
            "gallery_entries": len(entries),
            "probes": len(probes),
            "probes_without_mate": len(probes) - len(np.unique(mated)),
            "images": len(np.unique(templates.image[np.isin(templates.template, self._used)])),
            "subjects": len(np.unique(self._person[np.r_[entries, probes]])),
        }

    def _switches(self, description: Mapping[str, Any]) -> dict[str, Any]:
        several = len(self.search_set.galleries) > 1
        apart = "as one in the closed set; in the open set " * self.search_set.merged + "each searched apart, rates averaged"
        return {
            "flip": description.get("flip", "the model's own rule") if self.flip is None else self.flip,
            "score": "cosine",
            **pooling_switches(self.search_set.templates, self._norms, self.weights),
            "failures to acquire": "count in every rate: a failed probe finds nothing, a failed entry is never found",
            "ties": "other people come first",
            **({"galleries": apart} if several else {}),
            **({"fpir threshold": SEARCH_LOOKUPS[self.lookup], "mate within rank": self.search_set.open_rank} if self._fpir else {}),
            **({"strangers": STRANGERS[self.search_set.strangers]} if self._fpir else {}),
            "bootstrap": "over the probes' people, the galleries as they are",
            **self._bootstrap.switches,
        }

    def _curves(self, gallery: Gallery, found: metrics.Search) -> list[Curve]:
        name = gallery.name if len(self.search_set.galleries) > 1 else ""
        return search_curves(name, self._with_strangers(found), len(gallery.gallery), self.search_set.open_rank if self._fpir else None)
