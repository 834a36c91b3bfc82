"""The threshold a model is used at, and all that it rests on. It travels with the weights; `limen.decision.operating_point` finds it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from limen.models.name_hashes import checked_hashes, person_hash

PEOPLE_KEPT = 2000


@dataclass(frozen=True)
class OperatingPoint:
    """A pair is accepted if its cosine is `threshold` or more; then the share of non-mated pairs accepted is at most `fmr`.

    fmr                    the false match rate asked for, above 0 and below 1: the budget
    threshold              the lowest cosine at which the non-mated pairs keep it
    low, high, level       its interval over people: from `high` on the budget is kept by other people too, (1 + level) / 2 of the time
    non_mated, mated       pairs it was found on
    false_matches          non-mated pairs accepted; false_non_matches: mated pairs refused
    fnmr_low, fnmr_high    interval over people of the false non-match rate, the threshold fixed
    flip                   whether the mirror image was fused in
    reference              name of the data, for people
    data_sha256            of the data
    people                 number of people in it
    people_sha256          hashes of their names: of all up to 2,000, else the 2,000 lowest. Empty where the data names nobody. They tell
                           that the people judged on are the same; whoever has a list of names can tell who was in the data
    """

    fmr: float
    threshold: float
    low: float
    high: float
    level: float
    non_mated: int
    false_matches: int
    mated: int
    false_non_matches: int
    fnmr_low: float
    fnmr_high: float
    flip: bool
    reference: str
    data_sha256: str
    people: int
    people_sha256: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for known in fields(self):
            value = getattr(self, known.name)
            kinds: dict[Any, tuple[type, ...]] = {float: (int, float), int: (int,), bool: (bool,), str: (str,)}
            if not isinstance(value, kinds.get(known.type, (tuple,))) or (isinstance(value, bool) and known.type is not bool):
                raise TypeError(f"{known.name} is {value!r}")
        rates = (self.fmr, self.level)
        if not np.isfinite([self.threshold, self.low, self.high]).all() or not all(0 < rate < 1 for rate in rates):
            raise ValueError("a finite threshold is needed, and a rate and a level between 0 and 1")
        if not self.low <= self.threshold <= self.high or not 0 <= self.fnmr_low <= self.fnmr_high <= 1:
            raise ValueError("threshold and rates must lie within their intervals")
        if not 0 <= self.false_matches <= self.fmr * self.non_mated * (1 + 1e-9) or not 0 <= self.false_non_matches <= self.mated:
            raise ValueError("more errors than the pairs or the rate allow")
        if self.mated < 1 or not 0 <= len(self.people_sha256) <= min(PEOPLE_KEPT, self.people):
            raise ValueError("mated pairs are needed, and not more hashes than people")
        checked_hashes(self.people_sha256)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "OperatingPoint":
        """The point whose `asdict` went through JSON. Raises ValueError or TypeError for other values."""
        stated: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        return cls(**stated)

    @property
    def fnmr(self) -> float:
        """False non-match rate on the pairs it was found on."""
        return self.false_non_matches / self.mated

    @property
    def summary(self) -> dict[str, Any]:
        """All but the hashes of people, and the FNMR."""
        return {name: value for name, value in vars(self).items() if not isinstance(value, tuple)} | {"fnmr": self.fnmr}

    def shared_people(self, names: Iterable[str]) -> tuple[list[str], float]:
        """Those of `names` who are among the people it was found on, and the share of the names that could be looked up."""
        known, names = set(self.people_sha256), sorted(set(names))
        last = max(known) if len(known) == PEOPLE_KEPT < self.people else "~"
        asked = {name: digest for name in names if (digest := person_hash(name)) <= last}
        return [name for name, digest in asked.items() if digest in known], len(asked) / max(1, len(names))


def people_hashes(names: Iterable[str]) -> tuple[str, ...]:
    """The lowest hashes of the names, rising, 2,000 at most: as good as drawn at random, and the same ones in every set."""
    return tuple(sorted({person_hash(name) for name in names})[:PEOPLE_KEPT])


def with_points(earlier: Sequence[OperatingPoint], later: Sequence[OperatingPoint]) -> tuple[OperatingPoint, ...]:
    """Both, in order of falling FMR; of two at one FMR the later."""
    return tuple(sorted({point.fmr: point for point in (*earlier, *later)}.values(), key=lambda point: -point.fmr))


def points_from_json(values: Any) -> tuple[OperatingPoint, ...]:
    """The points of a list of their JSON objects. Raises ValueError or TypeError for other values, and for two at one FMR."""
    if not isinstance(values, list) or not all(isinstance(value, dict) for value in values):
        raise TypeError(f"operating points are {values!r:.80}")
    points = tuple(OperatingPoint.from_json(value) for value in values)
    if with_points((), points) != points:
        raise ValueError("operating points must stand in order of falling FMR, each once")
    return points
