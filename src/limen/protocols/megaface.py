"""Probes among distractors -> MegaFace's rates, of all images and of those that its noise lists leave."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from limen import metrics
from limen.errors import LimenError
from limen.inference.table import Progress, Table, embed_images
from limen.metrics.rates import lowest_above, trials_needed
from limen.protocols.at_far import LOOKUPS
from limen.protocols.intervals import Bootstrap, Figure, has_few_events, rates_asked, with_interval
from limen.protocols.result import Curve, Interval, Metric, Result
from limen.protocols.task import DistractorSet
from limen.recogniser import Recogniser

RANKS, FAR = (1, 5, 10), (1e-6,)
Refined = Literal["dropped", "replaced"]
NOISE = {
    "kept": "kept: all images of the lists",
    "dropped": "dropped: noisy probes and distractors are left out",
    "replaced": "replaced: noisy distractors are left out, and a noisy probe is the centre of its person's other probes, as peers do; "
    "this flatters",
}


@dataclass
class MegaFaceChallenge:
    """MegaFace challenge 1 (see `metrics.megaface_rates`): one result of all images, and a refined one where there are noise lists.

    Each image of a person is a probe, and each other one its mate in turn, alone among the distractors. Images that cannot be used are
    failures to acquire: pairs of such a probe are misses, such a distractor is never found, and both count.

    Args:
        distractor_set: what is searched.
        ranks: of the identification rates. far: of the verification; None are `RANKS` and `FAR`.
        refined: "dropped", or "replaced" to stand beside the tables of peers; it is a part of the result's name.
        flip: add the mirror image's embedding before normalising; None is the model's own rule.
        replicates, seed, level: of the bootstrap over the probes' people; the distractors stay as they are.
        switches: what else the results should say of how they came about.

    Raises:
        LimenError: rates or ranks that cannot be asked for, no distractors, nobody with two images.
    """

    distractor_set: DistractorSet
    ranks: tuple[int, ...] | None = None
    far: tuple[float, ...] | None = None
    refined: Refined = "dropped"
    flip: bool | None = True
    replicates: int = 1000
    seed: int = 0
    level: float = 0.95
    switches: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        task = self.distractor_set
        self._ranks, self._far = tuple(self.ranks or RANKS), rates_asked("far", self.far or FAR)
        if min(self._ranks) < 1:
            raise LimenError(f"{self.name}: ranks {self._ranks} cannot be asked for; give whole numbers from 1")
        if self.refined not in ("dropped", "replaced"):
            raise LimenError(f"refined: {self.refined!r} is not known; choose from dropped, replaced")
        if (task.noisy_probe is None) != (task.noisy_distractor is None):
            raise LimenError(f"{self.name}: noise is known of probes or of distractors alone; both are needed, or neither")
        self._bootstrap = Bootstrap(self.replicates, self.level, self.seed)
        for noise in self._forms:
            probes, skip = self._kept(noise)
            if (skip is not None and skip.all()) or not len(task.distractor):
                raise LimenError(f"{self.name}: noise {noise}: no distractor is left; check the lists")
            if not (np.unique(task.person[probes], return_counts=True)[1] > 1).any():
                raise LimenError(f"{self.name}: noise {noise}: nobody has two probes, and so none has a mate; check the lists")

    @property
    def name(self) -> str:
        return self.distractor_set.name

    @property
    def names(self) -> list[str]:
        """Of the results, in their order."""
        return [f"{self.name}{suffix}" for suffix in self._forms.values()]

    def run(self, embedder: Recogniser, model: str = "", progress: Progress | None = None, **inference: Any) -> list[Result]:
        """Equals `judge(embed_images(embedder, source, images of the lists, flip), embedder.description, model)`."""
        task = self.distractor_set
        wanted = np.union1d(task.probe, task.distractor)
        return self.judge(embed_images(embedder, task.source, wanted, self.flip, progress, **inference), embedder.description, model)

    def judge(self, table: Table, description: Mapping[str, Any], model: str = "") -> list[Result]:
        """The results of given vectors, of an embedder so described."""
        return [self._result(noise, name, table, description, model) for noise, name in zip(self._forms, self.names, strict=True)]

    @property
    def _forms(self) -> dict[str, str]:
        """How noise is treated -> what that adds to the name."""
        if self.distractor_set.noisy_probe is None:
            return {"kept": ""}
        return {"kept": "", self.refined: " refined" + (" (replaced)" if self.refined == "replaced" else "")}

    def _kept(self, noise: str) -> tuple[np.ndarray, np.ndarray | None]:
        """(P,) bool of the probes that take part, and the distractors (N,) bool to skip."""
        task, whole = self.distractor_set, np.ones(len(self.distractor_set.probe), bool)
        noisy = task.noisy_probe if noise == "dropped" else None
        return whole if noisy is None else ~noisy, None if noise == "kept" else task.noisy_distractor

    def _result(self, noise: str, name: str, table: Table, description: Mapping[str, Any], model: str) -> Result:
        task = self.distractor_set
        taking_part, skip = self._kept(noise)
        person, probes = task.person[taking_part], table.vectors[task.probe[taking_part]]
        failed = int(np.isnan(probes[:, 0]).sum())
        try:
            if noise == "replaced" and task.noisy_probe is not None:
                probes = metrics.replace_noisy_probes(probes, person, task.noisy_probe)
            found = metrics.megaface_rates(probes, person, _rows(table.vectors, task.distractor), self._ranks, self._far, skip)
        except ValueError as error:
            raise LimenError(f"{self.name}: {error}") from error
        return Result(
            name=name,
            kind="megaface",
            headline=f"identification_rate@rank={self._ranks[0]}",
            metrics=self._figures(found),
            model=model,
            counts={
                "gallery_entries": found.impostors // len(person),
                "probes": len(person),
                "probes_without_mate": int((np.bincount(person)[person] < 2).sum()),
                "subjects": len(np.unique(person)),
                "mated": len(found.pair_rank),
                "non_mated": found.impostors,
                "failures_to_acquire": len(table.failures),
                "failed_probes": failed,
                **self._noise_counts(noise),
            },
            switches={**description, **self._switches(description, noise), **task.switches, **self.switches},
            curves=[_cmc(found, max(self._ranks))],
            failures=list(table.failures.values()),
            draws_sha256=self._bootstrap.draws_sha256(
                map(task.source.locate, task.probe[taking_part].tolist()),
                person,
                task.distractor if skip is None else task.distractor[~skip],
            ),
        )

    def _figures(self, found: metrics.MegaFace) -> list[Metric]:
        every = np.ones(len(found.pair_rank), bool)
        hits = [(found.pair_rank < rank, Metric("identification_rate", 0.0, at={"rank": float(rank)})) for rank in self._ranks]
        for hit, metric in hits:
            metric.value = float(hit.mean())
        figures = [Figure(metric, metrics.weighted_mean(hit), [every]) for hit, metric in hits]
        rates = self._bootstrap.figures(figures, found.person, found.person)
        return [*rates, *self._verified(found)]

    def _verified(self, found: metrics.MegaFace) -> list[Metric]:
        """The TAR at each rate, the threshold found again in every replicate."""
        thresholds, b = lowest_above(found.thresholds), self._bootstrap
        rows = [
            Metric("tar", float(tar), at={"far": rate}, events=int(events), threshold=float(threshold))
            if rate * found.impostors >= 1
            else Metric("tar", None, at={"far": rate}, needed=trials_needed(rate))
            for rate, tar, events, threshold in zip(self._far, found.tar, found.false_matches, thresholds, strict=True)
        ]
        told = [number for number, metric in enumerate(rows) if metric.value is not None]
        if not told:
            return rows
        people, every = found.probe_people(), np.ones(len(found.pair_rank), bool)
        ends = b.of(found.weighted_tar([self._far[number] for number in told]), people, people)
        for number, tar, refused in zip(told, ends, lowest_above(ends[len(told) :].astype(found.thresholds.dtype)), strict=False):
            metric = with_interval(rows[number], tar, b.level, found.person, found.person, [every])
            if np.isfinite(refused).all():
                low, high = (float(end) for end in refused)
                metric.threshold_interval = Interval(low, high, b.level, few_events=has_few_events(metric))
            rows[number] = metric
        return rows

    def _noise_counts(self, noise: str) -> dict[str, int]:
        task = self.distractor_set
        if task.noisy_probe is None or task.noisy_distractor is None:
            return {}
        return {f"noisy_probes_{noise}": int(task.noisy_probe.sum()), "noisy_distractors": int(task.noisy_distractor.sum())}

    def _switches(self, description: Mapping[str, Any], noise: str) -> dict[str, Any]:
        listed = self.distractor_set.noisy_probe is not None
        return {
            "flip": description.get("flip", "the model's own rule") if self.flip is None else self.flip,
            "score": "cosine",
            "noise": NOISE[noise] if listed else "kept: no noise lists at hand, uncleaned",
            "ties": "hits",
            "tar threshold": f"of all probes with all distractors; {LOOKUPS['conservative']}",
            "failures to acquire": "count in every rate; probes are misses, distractors are never found",
            "bootstrap": "over the probes' people",
            **self._bootstrap.switches,
        }


def _rows(vectors: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """`vectors[numbers]`; of numbers that follow each other a view, for a million features are gigabytes."""
    start, count = int(numbers[0]), len(numbers)
    return vectors[start : start + count] if (numbers == np.arange(start, start + count)).all() else vectors[numbers]


def _cmc(found: metrics.MegaFace, upto: int) -> Curve:
    ranks = list(range(1, upto + 1))
    return Curve("cmc", {"rank": [*ranks], "rate": [float((found.pair_rank < rank).mean()) for rank in ranks]})
