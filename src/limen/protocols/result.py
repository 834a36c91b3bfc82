"""What a protocol found: numbers that know their unit, their interval and the events behind them, and the switches they hold for."""

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from os import PathLike
from typing import Any, Literal

import msgspec
import numpy as np

import limen
from limen.errors import LimenError
from limen.files import plain, read_json, write_json
from limen.protocols.older_results import upgraded

FORMAT = 2
PROMISED = "promised_fmr"  # in `at`: the false match rate that an operating point promises
EVENTS = 10  # behind an interval that holds the truth as often as it says: benchmarks/coverage.py
Unit = Literal["rate", "similarity", "area", "count", "number"]


@dataclass
class Interval:
    """Where a number lies with probability `level`, and how that was found."""

    low: float
    high: float
    level: float = 0.95
    method: str = "bootstrap over subjects"
    few_events: bool = False
    """It rests on fewer than EVENTS errors or accepted impostors, and may hold the truth less often (docs/results/judging.md)."""


@dataclass
class Metric:
    """One number and all that is known of it. A value that is not finite becomes None: the data cannot resolve the number.

    >>> from limen.protocols import Interval, Metric
    >>> Metric("accuracy", 0.98, interval=Interval(0.97, 0.99)).value
    0.98
    """

    quantity: str
    """What is measured: "accuracy", "tar", "pauc"; of one's own any word."""
    value: float | int | None
    unit: Unit = "rate"
    """A rate is a fraction, 0 to 1."""
    at: dict[str, float] = field(default_factory=dict)
    """The working point: {"far": 0.001}; of thresholds found elsewhere {"promised_fmr": 0.001} or {"threshold": 0.4}."""
    limit: float | None = None
    """The share discarded up to which an area is taken."""
    variant: list[str] = field(default_factory=list)
    """What sets it apart from others of its quantity and working point: ["std"], ["normalised", "best"]."""
    versus: str = ""
    """Where the value is a difference: what was taken away."""
    interval: Interval | None = None
    events: int | None = None
    """Impostors accepted at its threshold: what the number rests on."""
    threshold: float | None = None
    """The score from which a pair is accepted where the number holds."""
    threshold_interval: Interval | None = None
    """Of the threshold, found again in every replicate."""
    needed: int | None = None
    """Of a number that is unresolved: how many impostors it takes to resolve it."""
    promised: Literal["", "below", "inside", "above"] = ""
    """Of an FMR at an operating point: where the rate that was promised lies, seen from its interval."""
    drawn: str = field(default="", repr=False)
    """The number found again in each replicate of the bootstrap: float32, least byte first, in base64. Of numbers that models are compared
    by alone, see `comparable`."""
    key: str = ""
    """Its name within a Result: "tar@far=0.001", made of the fields above where none is given."""

    def __post_init__(self) -> None:
        self.value, self.threshold = plain(self.value), plain(self.threshold)
        ends = self.interval
        if ends and (self.value is None or not math.isfinite(ends.low) or not math.isfinite(ends.high)):
            self.interval = None
        if self.quantity == "fmr" and self.interval and (promised := self.at.get(PROMISED)) is not None:
            low, high = self.interval.low, self.interval.high
            self.promised = "below" if promised < low else "above" if promised > high else "inside"
        if not self.key:
            limit = "" if self.limit is None else f"({self.limit:g})"
            at = "@" + ",".join(f"{name}={value:g}" for name, value in self.at.items()) if self.at else ""
            variant = "".join("_" + word.replace(" ", "_") for word in self.variant)
            self.key = self.quantity + limit + at + variant + (f"_minus_{self.versus}" if self.versus else "")

    @property
    def comparable(self) -> bool:
        """Whether it is a rate of the whole, neither of a part of it nor a difference itself."""
        return self.unit == "rate" and not self.variant and not self.versus and "enrolled" not in self.at

    @property
    def replicates(self) -> np.ndarray:
        """(R,) float32 of `drawn`. Raises ValueError where that is damaged."""
        return np.frombuffer(base64.b64decode(self.drawn, validate=True), "<f4")

    def with_replicates(self, values: np.ndarray) -> "Metric":
        """The metric with `values` (R,) as its `drawn` where it is `comparable`, else as it is."""
        drawn = base64.b64encode(np.asarray(values, "<f4").tobytes()).decode()
        return replace(self, drawn=drawn) if self.comparable else self


@dataclass
class Curve:
    """Points to draw, by axis. "roc": far, tar, threshold, false_matches; "histogram": edges (K+1), mated (K), non_mated (K);
    "edc": discard, fnmr, mated_left; "fm-edc": discard, fmr, non_mated_left; "cmc": rank, rate; "det": fpir, fnir, threshold,
    false_positives. What is not finite becomes None."""

    kind: str
    points: dict[str, list[float | int | None]]
    at: dict[str, float] = field(default_factory=dict)
    of: str = ""
    """Which of several: the name of a gallery."""

    def __post_init__(self) -> None:
        self.points = {axis: plain(np.asarray(values)) for axis, values in self.points.items()}


@dataclass
class Mistake:
    """A probe that a search took for somebody else."""

    probe: str
    """The image, or the template."""
    person: str
    """Who it is; empty where nobody knows."""
    enrolled: bool
    """Whether that person is in the gallery."""
    taken_for: str
    score: float
    """Its similarity with whom it was taken for."""
    own_score: float | None = None
    """The best similarity with its own person; None where that is not enrolled, or its entries failed."""
    gallery: str = ""
    """Which of several."""


@dataclass
class HardPair:
    """Two images, or templates, about which a model is most wrong."""

    first: str
    second: str
    mated: bool
    score: float


@dataclass
class HardPerson:
    """How often a model fails a person at one threshold."""

    of: str
    """An image or a template of the person."""
    mated: int
    false_non_matches: int
    non_mated: int
    false_matches: int


@dataclass
class Training:
    """How a model was trained, as far as a comparison asks."""

    recipe_sha256: str
    """Of the recipe without its seed and its folder: equal where two runs differ by their seed alone."""
    seed: int
    margin: str = ""


@dataclass
class Discarding:
    """By what an error versus discard discards, and how its threshold is set."""

    quality: str
    threshold: Literal["fixed", "per_step"] = "fixed"
    orders: int = 1
    """Over how many orders the areas and curves are averaged; above one they are random."""


@dataclass
class Result:
    """One evaluation. Raises ValueError where two metrics have one key, or the headline is the key of none.

    >>> from limen import Result
    >>> from limen.protocols import Metric
    >>> result = Result("mine", "own", "rank_1", [Metric("rank", 0.98, at={"k": 1}, key="rank_1")])
    >>> result.value("rank_1")
    0.98
    """

    name: str
    """What was evaluated on, for people: "lfw"."""
    kind: str
    """The protocol: "verification"."""
    headline: str
    """The key of the metric that stands for the whole."""
    metrics: list[Metric]
    model: str = ""
    """What was evaluated, for people."""
    discarding: Discarding | None = None
    counts: dict[str, int] = field(default_factory=dict)
    switches: dict[str, Any] = field(default_factory=dict)
    """How the numbers came about, for people: preprocessing, flip, threshold rules, the model's hash. No program reads them."""
    curves: list[Curve] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    """Images that could not be used: file and reason, one line each."""
    mistakes: list[Mistake] = field(default_factory=list)
    """Of a search, surest first: mated probes whose best entry is another person's, and strangers accepted at the lowest FPIR resolved."""
    hard_pairs: list[HardPair] = field(default_factory=list)
    """Of pairs, the non-mated ones of the highest score, then the mated ones of the lowest."""
    hard_people: list[HardPerson] = field(default_factory=list)
    """Of pairs, the people with the most false non-matches, then those with the most false matches, at `hard_threshold`."""
    hard_threshold: float | None = None
    """That of the lowest FAR resolved, or the last one that was asked for."""
    operating_points: dict[str, float] = field(default_factory=dict)
    """The thresholds that the model's file names, by the false match rate they promise: {"FMR=0.001": 0.385}. Reports mark them."""
    draws_sha256: str = ""
    """Of what was judged and how its people are drawn again: numbers of equal ones are compared draw by draw. Empty where nobody knows."""
    training: Training | None = None
    """Of a model whose file says it."""
    limen: str = field(default_factory=lambda: limen.__version__)
    """The version that made it; empty where it is not known."""

    def __post_init__(self) -> None:
        keys = [metric.key for metric in self.metrics]
        if self.headline not in keys or len(set(keys)) < len(keys):
            raise ValueError(f"headline {self.headline!r} must be one of the metrics, and each key stand once: {', '.join(keys)}")

    @property
    def label(self) -> str:
        """The name, and the model and the quality where there are any."""
        return " · ".join(filter(None, (self.name, self.model, self.discarding.quality if self.discarding else "")))

    def metric(self, key: str) -> Metric | None:
        return next((metric for metric in self.metrics if metric.key == key), None)

    def value(self, key: str) -> float | int | None:
        """The value of the metric `key`; None where it is unresolved. Raises KeyError where there is no such metric."""
        if (found := self.metric(key)) is None:
            raise KeyError(key)
        return found.value

    def where(self, **fields: Any) -> list[Metric]:
        """The metrics that have these fields: `where(quantity="tar", variant=[])`."""
        return [metric for metric in self.metrics if all(getattr(metric, name) == value for name, value in fields.items())]

    def curve(self, kind: str, at: Mapping[str, float] | None = None) -> Curve | None:
        """The curve of a kind, at the working point given or at any."""
        return next((curve for curve in self.curves if curve.kind == kind and at in (None, curve.at)), None)

    def save(self, path: str | PathLike[str]) -> None:
        """Equals `save_results([self], path)`."""
        save_results([self], path)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> "Result":
        """The result in a file that holds exactly one. Raises LimenError as `load_results`, and where there are several."""
        found = load_results(path)
        if len(found) != 1:
            raise LimenError(f"{path}: holds {len(found)} results; read them with limen.protocols.load_results")
        return found[0]


@dataclass
class ResultFile:
    """Results of evaluations as limen writes them."""

    results: list[Result]
    format: int = FORMAT


def save_results(results: Sequence[Result], path: str | PathLike[str]) -> None:
    """Writes strict JSON of the schema docs/schema/result.json, all at once. Raises LimenError where the system refuses."""
    write_json(path, asdict(ResultFile(list(results))))


def load_results(path: str | PathLike[str]) -> list[Result]:
    """The results in a file that `save_results`, `limen evaluate` or limen 0.1.0 wrote. Raises LimenError for any other file."""
    stored = read_json(path)
    try:
        if not isinstance(stored, dict) or "format" not in stored:
            stored = upgraded(stored)
        if isinstance(stored["format"], int) and stored["format"] > FORMAT:
            raise LimenError(f"{path}: has the format {stored['format']}, and this limen reads up to {FORMAT}; update limen")
        return msgspec.convert(stored, ResultFile).results
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError, msgspec.ValidationError) as error:
        reason = f" ({error})" if isinstance(error, msgspec.ValidationError) else ""
        raise LimenError(f"{path}: not a result of an evaluation{reason}; name a result.json that `limen evaluate` wrote") from error


def result_schema() -> dict[str, Any]:
    """The JSON schema of a file of results, made of these dataclasses: docs/schema/result.json."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **msgspec.json.schema(ResultFile)}
