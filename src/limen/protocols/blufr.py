"""LFW BLUFR's trials -> verification rates at FAR .1 % and 1 %, and the open set's detection and identification rate at 1 %."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from limen import metrics
from limen.errors import LimenError
from limen.inference.table import Progress, Table, embed_images
from limen.metrics.rates import trials_needed
from limen.protocols.intervals import Bootstrap, Figure, rates_asked
from limen.protocols.result import Curve, Metric, Result
from limen.protocols.task import Trial, TrialSet
from limen.recogniser import Recogniser

VERIFICATION_FAR, IDENTIFICATION_FAR, RANK = (1e-3, 1e-2), (1e-2,), 1


@dataclass
class Blufr:
    """The benchmark of large-scale unconstrained face recognition: see `limen.metrics.blufr` for its thresholds.

    Of every rate the mean over the trials stands beside the benchmark's own number, which is mean - standard deviation (ddof 1). Images
    that cannot be read are failures to acquire: their pairs count and are never accepted, as probes they find nothing.

    Args:
        trials: what is compared and searched.
        far: false accept rates of both parts; None is .1 % and 1 % of the pairs, 1 % of the open set.
        flip: add the mirror image's embedding before normalising; None is the model's own rule.
        replicates, seed, level: of the bootstrap over subjects, each drawn into all trials at once; the thresholds are kept.
        switches: what else the results should say of how they came about.

    Raises:
        LimenError: rates that cannot be asked for.
    """

    trials: TrialSet
    far: tuple[float, ...] | None = None
    flip: bool | None = True
    replicates: int = 1000
    seed: int = 0
    level: float = 0.95
    switches: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.far = rates_asked("far", self.far) if self.far else None
        self._bootstrap = Bootstrap(self.replicates, self.level, self.seed)

    @property
    def name(self) -> str:
        return self.trials.name

    def run(self, embedder: Recogniser, model: str = "", progress: Progress | None = None, **inference: Any) -> Result:
        """Equals `judge(embed_images(embedder, trials.source, images of a trial, flip), embedder.description, model)`."""
        wanted = np.unique(np.concatenate([trial.test for trial in self.trials.trials]))
        table = embed_images(embedder, self.trials.source, wanted, self.flip, progress, **inference)
        return self.judge(table, embedder.description, model)

    def judge(self, table: Table, description: Mapping[str, Any], model: str = "") -> Result:
        """The numbers of given features, of an embedder so described. Raises LimenError for a trial without pairs of one kind, or without
        probes of one."""
        trials = self.trials.trials
        try:
            verified = [self._verify(table.vectors, trial) for trial in trials]
            searched = [self._search(table.vectors, trial) for trial in trials]
        except ValueError as error:
            raise LimenError(f"{self.name}: {error}; correct its trials") from error
        found = [
            *self._rates("vr", {}, self.far or VERIFICATION_FAR, verified),
            *self._rates("dir", {"rank": float(RANK)}, self.far or IDENTIFICATION_FAR, searched),
        ]
        return Result(
            name=self.name,
            kind="blufr",
            headline=next((metric.key for metric in found if metric.quantity == "vr_less_std" and metric.value is not None), found[0].key),
            metrics=found,
            model=model,
            counts=self._counts(verified, searched) | {"failures_to_acquire": len(table.failures)},
            switches={**description, **self._switches(description), **self.trials.switches, **self.switches},
            curves=[_of_trials("vr", self.far or VERIFICATION_FAR, verified), _of_trials("dir", self.far or IDENTIFICATION_FAR, searched)],
            failures=list(table.failures.values()),
            draws_sha256=self._bootstrap.draws_sha256(
                map(self.trials.source.locate, range(len(self.trials.person))),
                self.trials.person,
                *(numbers for trial in trials for numbers in (trial.test, trial.gallery, trial.probe)),
            ),
        )

    def _verify(self, vectors: np.ndarray, trial: Trial) -> metrics.BlufrTrial:
        return metrics.blufr_verification_trial(vectors[trial.test], self.trials.person[trial.test], self.far or VERIFICATION_FAR)

    def _search(self, vectors: np.ndarray, trial: Trial) -> metrics.BlufrTrial:
        far, person = self.far or IDENTIFICATION_FAR, self.trials.person
        found = metrics.blufr_identification_trial(vectors, person, trial.gallery, trial.probe, far, [RANK])
        return found.of_rank(0)

    def _rates(self, quantity: str, at: Mapping[str, float], far: Sequence[float], trials: Sequence[metrics.BlufrTrial]) -> list[Metric]:
        """At each rate the mean over the trials, then mean - std."""
        people = np.unique(np.concatenate([trial.person for trial in trials]))
        accepted = np.zeros((len(trials), len(far), len(people)))
        compared = np.zeros((len(trials), 1, len(people)))
        for number, trial in enumerate(trials):
            of = np.searchsorted(people, trial.person)
            accepted[number][:, of], compared[number][:, of] = trial.accepted, trial.compared
        summary = metrics.blufr_summary(np.stack([trial.rates for trial in trials]))
        figures = []
        for row, rate in enumerate(far):
            point, impostors = {"far": rate, **at}, min(trial.impostors for trial in trials)
            if rate * impostors < 1:
                lacking = [Metric(name, None, at=point, needed=trials_needed(rate)) for name in (quantity, f"{quantity}_less_std")]
                figures += [Figure(metric) for metric in lacking]
                continue
            events = sum(int(trial.false_matches[row]) for trial in trials)
            for name, values, number in ((quantity, summary[0], 0), (f"{quantity}_less_std", summary[1], 1)):
                metric = Metric(name, float(values[row]), at=point, events=events)
                figures.append(Figure(metric, _summed(accepted[:, row], compared[:, 0], number)))
        return self._bootstrap.figures(figures, people, people)

    def _counts(self, verified: Sequence[metrics.BlufrTrial], searched: Sequence[metrics.BlufrTrial]) -> dict[str, int]:
        """Of all trials together, but people and images."""
        trials = self.trials.trials
        images = np.unique(np.concatenate([trial.test for trial in trials]))
        return {
            "trials": len(trials),
            "images": len(images),
            "subjects": len(np.unique(self.trials.person[images])),
            "mated": sum(int(trial.compared.sum()) for trial in verified),
            "non_mated": sum(trial.impostors for trial in verified),
            "gallery_entries": sum(len(trial.gallery) for trial in trials),
            "probes": sum(len(trial.probe) for trial in trials),
            "probes_without_mate": sum(trial.impostors for trial in searched),
        }

    def _switches(self, description: Mapping[str, Any]) -> dict[str, Any]:
        return {
            "flip": description.get("flip", "the model's own rule") if self.flip is None else self.flip,
            "score": "cosine",
            "threshold": "BLUFR's: the impostor of number FAR * N, rounded, is itself accepted; of each trial, kept in the bootstrap",
            "over trials": "mean, and mean - standard deviation (ddof 1), which is the benchmark's number",
            "failures to acquire": "count in every rate, and are never accepted",
            "impostors and events": "of all trials together",
            "bootstrap": "over subjects, each drawn into all trials",
            **self._bootstrap.switches,
        }


def _summed(accepted: np.ndarray, compared: np.ndarray, number: int) -> metrics.Statistic:
    """Number 0 or 1 of `metrics.blufr_summary`, of the counts (T, S) of each person."""

    def found(weight: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            return np.atleast_1d(metrics.blufr_summary((accepted @ weight) / (compared @ weight))[number])

    return found


def _of_trials(quantity: str, far: Sequence[float], trials: Sequence[metrics.BlufrTrial]) -> Curve:
    """ "vr trials": of each trial and rate the rate found, its threshold, and the impostors behind it."""
    points: dict[str, list] = {"trial": [], "far": [], quantity: [], "threshold": [], "false_matches": []}
    for number, trial in enumerate(trials, start=1):
        for row, rate in enumerate(far):
            values = (number, rate, trial.rates[row], trial.thresholds[row], trial.false_matches[row])
            for axis, value in zip(points, values, strict=True):
                points[axis].append(value)
    return Curve(f"{quantity} trials", points)
