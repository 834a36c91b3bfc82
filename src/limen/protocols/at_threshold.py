"""Error rates at thresholds that were found elsewhere, and whether they keep what was promised there."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from limen import metrics
from limen.errors import LimenError, LimenWarning
from limen.models.operating_point import OperatingPoint
from limen.protocols.intervals import Bootstrap, with_share_interval
from limen.protocols.result import PROMISED, Metric
from limen.recogniser import Recogniser

AtThreshold = float | Literal["own"]
"""A cosine, or the operating points that the model's file holds."""
FEW = 5


@dataclass(frozen=True)
class WorkingPoint:
    """A threshold, and what a metric there has as its `at`."""

    at: Mapping[str, float]
    threshold: float


def check_at_threshold(at_threshold: AtThreshold | None) -> None:
    """Raises LimenError for what is neither None, "own" nor a cosine."""
    if isinstance(at_threshold, str) or at_threshold is None:
        known = at_threshold in (None, "own")
    else:
        known = -1 <= at_threshold <= 1
    if not known:
        raise LimenError(f"at_threshold: {at_threshold!r} is neither a cosine from -1 to 1 nor 'own', the model's operating points")


def operating_points(at_threshold: AtThreshold | None, embedder: Recogniser, flip: bool | None, model: str) -> tuple[OperatingPoint, ...]:
    """Those of the model where it is to be judged at its "own"; none for another `at_threshold`.

    Raises LimenError where it has none, or where they hold for other embeddings than those that `flip` asks for.
    """
    if at_threshold != "own":
        return ()
    points: tuple[OperatingPoint, ...] = getattr(embedder, "operating_points", ())
    name = model or "the model"
    if not points:
        raise LimenError(f"{name}: has no operating point to be judged at; run `limen calibrate`, or give --at-threshold a cosine")
    fused = embedder.description.get("flip") if flip is None else flip
    for point in points:
        if isinstance(fused, bool) and point.flip != fused:
            without, remedy = ("with", "leave --no-flip out") if point.flip else ("without", "add --no-flip")
            raise LimenError(f"{name}: its operating point at FMR {point.fmr:g} was found {without} the mirror image; {remedy}")
    return points


def working_points(at_threshold: AtThreshold | None, points: Sequence[OperatingPoint]) -> list[WorkingPoint]:
    """The thresholds to be judged at."""
    if at_threshold is None or isinstance(at_threshold, str):
        return [WorkingPoint({PROMISED: point.fmr}, point.threshold) for point in points]
    return [WorkingPoint({"threshold": at_threshold}, at_threshold)]


def error_rates(
    points: Sequence[WorkingPoint],
    score: np.ndarray,
    same: np.ndarray,
    first: np.ndarray,
    second: np.ndarray,
    bootstrap: Bootstrap,
    own: np.ndarray | slice = slice(None),
    variant: Sequence[str] = (),
    seed: int | None = None,
    quantities: tuple[str, str] = ("fmr", "fnmr"),
) -> Iterator[tuple[Metric, metrics.BootstrapInterval]]:
    """FMR of the non-mated pairs at each point, then FNMR of the mated ones, with intervals over people; none of a kind without pairs.
    Of searches, whose scores are those of `Search.open_set_scores`, the same are FPIR and FNIR.

    Args:
        score, same, first, second: (P,) of the pairs; minus infinity for a failure to acquire. own: which of them.
        variant: of the metrics. seed: of the bootstrap, where it is another.
    """
    score, same, first, second = (array[own] for array in (score, same, first, second))
    for quantity, kind in zip(quantities, (~same, same), strict=True):
        if not points or not kind.any():
            continue
        missed = quantity == quantities[1]
        scores, people = score[kind], (first[kind], second[kind])
        given = [point.threshold for point in points]
        drawn = metrics.rate_interval(
            scores, *people, given, bootstrap.replicates, bootstrap.level, bootstrap.seed if seed is None else seed
        )
        for place, point in enumerate(points):
            one = _of(drawn, place, missed)
            events = None if missed else int(np.count_nonzero(scores >= point.threshold))
            metric = Metric(quantity, float(one.value[0]), at=dict(point.at), variant=[*variant], events=events, threshold=point.threshold)
            wrong = scores < point.threshold if missed else scores >= point.threshold
            metric = with_share_interval(metric, wrong, *people, bootstrap.level)
            yield metric.with_replicates(one.replicates[:, 0]), one


def told_of(points: Sequence[OperatingPoint], where: str, names: Sequence[str], sha256: str | None = None) -> dict[str, str]:
    """What a result says of where the operating points come from. Warns where they were found on the data they are judged on, of that
    SHA-256, or on people of the `names` that are judged: such a test of their promise is worth less."""
    found = {}
    for point in points:
        said, seen = f"{point.threshold:.4f}, found on {point.people:,} people of {point.reference}", ""
        shared, share = point.shared_people(names)
        if sha256 is not None and sha256 == point.data_sha256:
            seen = "these very pairs"
        elif shared:
            of = f"{len(names):,}" if share == 1 else f"the {round(share * len(names)):,} of {len(names):,} who can be looked up"
            seen = f"{len(shared):,} of {of} people who are judged ({', '.join(shared[:FEW])})"
        elif not names or not point.people_sha256:
            said += "; whether on some of the people who are judged cannot be told, as one of the two sets names nobody"
        if seen:
            text = f"the operating point at FMR {point.fmr:g} was found on {seen}; judge it on other people"
            warnings.warn(f"{where}: {text}", LimenWarning, stacklevel=3)
            said += f"; on {seen}"
        found[f"operating point, FMR={point.fmr:g}"] = said
    return found


def _of(drawn: metrics.BootstrapInterval, place: int, rejected: bool) -> metrics.BootstrapInterval:
    """The interval of one threshold, of the share accepted or of that `rejected`."""
    one = [part[..., place : place + 1] for part in (drawn.value, drawn.low, drawn.high, drawn.replicates)]
    value, low, high, replicates = (1 - one[0], 1 - one[2], 1 - one[1], 1 - one[3]) if rejected else one
    return metrics.BootstrapInterval(value, low, high, replicates)
