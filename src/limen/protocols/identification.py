"""Galleries searched by probes -> closed-set identification rates and mean average precision, and TPIR at FPIR of the open set."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from limen import metrics
from limen.errors import LimenError
from limen.inference.table import Progress, embed_images
from limen.metrics.rates import lowest_above
from limen.protocols.intervals import Bootstrap, Figure, has_few_events, with_interval
from limen.protocols.pair_scores import pooled, pooling_switches
from limen.protocols.result import Curve, Interval, Metric, Result
from limen.protocols.search_curves import search_curves
from limen.protocols.task import Gallery, SearchSet
from limen.recogniser import Recogniser

SearchLookup = Literal["conservative", "insightface"]
SEARCH_LOOKUPS = {
    "conservative": "conservative: the FPIR is not exceeded; found again in every bootstrap replicate",
    "insightface": "insightface: one merged gallery, and a threshold from all scores with other people, whatever their probe; no intervals",
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
    replicates: int = 1000
    seed: int = 0
    level: float = 0.95
    switches: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        searched, person = self.search_set, self.search_set.templates.person
        self._ranks, self._fpir = tuple(self.ranks or searched.ranks), searched.fpir if self.fpir is None else tuple(self.fpir)
        if not self._ranks or min(self._ranks) < 1:
            raise LimenError(f"{self.name}: ranks {self._ranks} cannot be asked for; give whole numbers from 1")
        if not all(0 < rate <= 1 for rate in self._fpir):
            raise LimenError(f"fpir: {', '.join(map(str, self._fpir))} cannot be asked for; give rates between 0 and 1")
        if self.lookup not in SEARCH_LOOKUPS:
            raise LimenError(f"lookup: {self.lookup!r} is not known to searches; choose from {', '.join(SEARCH_LOOKUPS)}")
        self._person = np.where(person < 0, person.max(initial=0) + 1 + np.arange(len(person)), person)  # nobody known is somebody else
        for gallery in searched.galleries or [Gallery("", np.empty(0, int), np.empty(0, int))]:
            where = f"{self.name} {gallery.name}".rstrip()
            if not len(gallery.gallery) or not len(gallery.probe):
                raise LimenError(f"{where}: {len(gallery.gallery)} gallery entries and {len(gallery.probe)} probes; both are needed")
            mated = int(self._mated(gallery).sum())
            if not mated or (self._fpir and mated == len(gallery.probe)):
                wanted = "both kinds, for an open set" if self._fpir else "some"
                raise LimenError(f"{where}: {mated} of {len(gallery.probe)} probes have their person in the gallery; it needs {wanted}")
        one = self._as_one()
        self._used = np.union1d(one.gallery, one.probe)
        self._bootstrap = Bootstrap(self.replicates, self.level, self.seed)

    @property
    def name(self) -> str:
        return self.search_set.name

    def run(self, embedder: Recogniser, model: str = "", progress: Progress | None = None, **inference: Any) -> Result:
        """Equals `judge(score(embedder, progress, **inference), embedder.description, model)`."""
        return self.judge(self.score(embedder, progress, **inference), embedder.description, model)

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
        return TemplateVectors(pooled(table.vectors, table.norms, templates, self.norms, self.weights), table.failures)

    def judge(self, scores: TemplateVectors, description: Mapping[str, Any], model: str = "") -> Result:
        """The numbers of given vectors, of an embedder so described."""
        searched, vectors = self.search_set, scores.vectors
        missed = np.isnan(vectors).any(1) & np.isin(np.arange(len(vectors)), self._used)
        searches = [self._search(vectors, gallery) for gallery in searched.galleries]
        closed = [self._as_one()] if searched.merged else searched.galleries
        found = [self._search(vectors, gallery) for gallery in closed] if searched.merged else searches
        measured = self._closed(found, closed) + self._open(searches)
        if self.lookup == "insightface":
            measured += self._merged(vectors)
        failed = {
            "templates_without_images": int(missed.sum()),
            "failed_entries": int(missed[np.unique(np.concatenate([g.gallery for g in searched.galleries]))].sum()),
            "failed_probes": int(missed[np.unique(np.concatenate([g.probe for g in searched.galleries]))].sum()),
        }
        names = [f"{searched.templates.names[row]}: none of its images can be used" for row in np.flatnonzero(missed)]
        return Result(
            name=self.name,
            kind="identification",
            headline=measured[0].key,
            metrics=measured,
            model=model,
            counts=self._counts(searches) | {"failures_to_acquire": len(scores.failures)} | failed | dict(searched.counts),
            switches={**description, **self._switches(description), **searched.switches, **self.switches},
            curves=[curve for one, found in zip(searched.galleries, searches, strict=True) for curve in self._curves(one, found)],
            failures=[*scores.failures.values(), *names],
        )

    def _mated(self, gallery: Gallery) -> np.ndarray:
        return np.isin(self._person[gallery.probe], self._person[gallery.gallery])

    def _search(self, vectors: np.ndarray, gallery: Gallery) -> metrics.Search:
        return metrics.search(vectors[gallery.probe], self._person[gallery.probe], vectors[gallery.gallery], self._person[gallery.gallery])

    def _as_one(self) -> Gallery:
        """All galleries, and all probes, each once."""
        galleries = self.search_set.galleries
        gallery, probe = (np.unique(np.concatenate([getattr(g, side) for g in galleries])) for side in ("gallery", "probe"))
        return Gallery("", gallery, probe)

    def _closed(self, searches: Sequence[metrics.Search], galleries: Sequence[Gallery]) -> list[Metric]:
        """The mean over galleries of each rate and of the average precision, then each gallery's own, one draw of people for all."""
        person = np.concatenate([found.person for found in searches])
        gallery = np.repeat(np.arange(len(searches)), [len(found.person) for found in searches])
        mated, rank = (np.concatenate([getattr(found, what) for found in searches]) for what in ("mated", "rank"))
        wanted = [({"rank": float(k)}, "identification_rate", (rank < k).astype(float)) for k in self._ranks]
        wanted.append(({}, "map", np.concatenate([found.average_precision for found in searches])))
        among = [mated & (gallery == number) for number in range(len(searches))]
        means, own = [], []
        for at, quantity, value in wanted:
            statistics = [metrics.weighted_mean(value, group) for group in among]
            values = [float(value[group].mean()) for group in among]
            means.append(Figure(Metric(quantity, float(np.mean(values)), at=at), _mean_of(statistics), among))
            for group, statistic, one, named in zip(among, statistics, values, galleries, strict=True):
                own.append(Figure(Metric(quantity, one, at=at, variant=[named.name]), statistic, [group]))
        return self._bootstrap.figures(means + (own if len(searches) > 1 else []), person, person)

    def _open(self, searches: Sequence[metrics.Search]) -> list[Metric]:
        """TPIR at each FPIR: of the only gallery with its threshold, or the mean and each gallery's own."""
        if not self._fpir:
            return []
        names = [gallery.name for gallery in self.search_set.galleries]
        own = [self._tpir(found, [name] * (len(names) > 1)) for found, name in zip(searches, names, strict=True)]
        if len(searches) == 1:
            return own[0]
        blocks = np.cumsum([0, *(len(found.person) for found in searches)])
        scored = [found.open_set_scores(self.search_set.open_rank) for found in searches]
        person, means = np.concatenate([found.person for found in searches]), []
        for number, rate in enumerate(self._fpir):
            values = [metric[number].value for metric in own]
            if any(value is None for value in values):
                needed = max(metric[number].needed or 0 for metric in own)
                means.append(Figure(Metric("tpir", None, at={"fpir": rate}, needed=needed)))
                continue
            each = [_of_block(metrics.weighted_tar_at_far(*s, [rate]), a, b) for s, a, b in zip(scored, blocks, blocks[1:], strict=False)]
            kinds = [np.concatenate([mated & (k == n) for n, (_, mated) in enumerate(scored)]) for k in range(len(scored))]
            value = float(np.mean([value for value in values if value is not None]))
            events = sum(metric[number].events or 0 for metric in own)
            means.append(Figure(Metric("tpir", value, at={"fpir": rate}, events=events), _mean_of(each), kinds))
        return self._bootstrap.figures(means, person, person) + [metric for metrics_ in own for metric in metrics_]

    def _tpir(self, found: metrics.Search, variant: list[str]) -> list[Metric]:
        rank = self.search_set.open_rank
        judged, told = found.open_set(self._fpir, rank), []
        told = np.flatnonzero(judged.resolved).tolist()
        rows = [
            Metric("tpir", tpir, at={"fpir": rate}, variant=variant, events=int(events), threshold=float(threshold))
            if resolved
            else Metric("tpir", None, at={"fpir": rate}, variant=variant, needed=int(np.ceil(1 / rate)))
            for rate, tpir, events, threshold, resolved in zip(
                self._fpir, judged.tpir, judged.false_positives, judged.thresholds, judged.resolved, strict=True
            )
        ]
        if not told:
            return rows
        b = self._bootstrap
        drawn = found.open_set_interval([self._fpir[number] for number in told], rank, b.replicates, b.level, b.seed)
        lows, highs = lowest_above(drawn.refused.low), lowest_above(drawn.refused.high)
        for place, number in enumerate(told):
            ends = np.array([drawn.tar.low[place], drawn.tar.high[place]])
            metric = with_interval(rows[number], ends, b.level, found.person, found.person, [found.mated])
            if np.isfinite([lows[place], highs[place]]).all():
                few = has_few_events(metric)
                metric.threshold_interval = Interval(float(lows[place]), float(highs[place]), b.level, few_events=few)
            rows[number] = metric
        return rows

    def _merged(self, vectors: np.ndarray) -> list[Metric]:
        """insightface's figures: all probes against all galleries as one."""
        merged = self._as_one()
        (probe, probe_id), (gallery, gallery_id) = ((vectors[rows], self._person[rows]) for rows in (merged.probe, merged.gallery))
        found = []
        for rank, rate in zip(self._ranks, metrics.rank_rates(probe, probe_id, gallery, gallery_id, self._ranks), strict=True):
            found.append(Metric("identification_rate", rate, at={"rank": float(rank)}, variant=["insightface"]))
        if self._fpir:
            judged = metrics.open_set(probe, probe_id, gallery, gallery_id, self._fpir, lookup="insightface")
            for rate, *row in zip(self._fpir, judged.tpir, judged.false_positives, judged.thresholds, strict=True):
                tpir, events, threshold = row
                at = {"fpir": rate}
                found.append(Metric("tpir", tpir, at=at, variant=["insightface"], events=int(events), threshold=float(threshold)))
        return found

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
            **pooling_switches(self.search_set.templates, self.norms, self.weights),
            "failures to acquire": "count in every rate: a failed probe finds nothing, a failed entry is never found",
            "ties": "other people come first",
            **({"galleries": apart} if several else {}),
            **({"fpir threshold": SEARCH_LOOKUPS[self.lookup], "mate within rank": self.search_set.open_rank} if self._fpir else {}),
            "bootstrap": "over the probes' people, the galleries as they are",
            **self._bootstrap.switches,
        }

    def _curves(self, gallery: Gallery, found: metrics.Search) -> list[Curve]:
        name = gallery.name if len(self.search_set.galleries) > 1 else ""
        return search_curves(name, found, len(gallery.gallery), self.search_set.open_rank if self._fpir else None)


def _mean_of(statistics: Sequence[metrics.Statistic]) -> metrics.Statistic:
    return lambda weight: np.mean([np.atleast_1d(statistic(weight)) for statistic in statistics], axis=0)


def _of_block(statistic: metrics.Statistic, first: int, last: int) -> metrics.Statistic:
    return lambda weight: statistic(weight[first:last])
