"""Identification: a probe is compared with everybody in a gallery.

Closed set: rank rates and mean average precision. Open set: TPIR@FPIR.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from limen.metrics.bootstrap import BootstrapInterval
from limen.metrics.pair_bootstrap import rate_interval, tar_at_far_interval
from limen.metrics.rates import allowed_events, checked_ranks, checked_rates, lowest_above, refused_scores
from limen.metrics.scores import LargestScores, blocks_with_mates, checked_features, person_numbers, usable_rows
from limen.metrics.thresholds import Thresholds, threshold_at_fmr

NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class OpenSet:
    """Of F false positive identification rates."""

    tpir: np.ndarray  # (F,) share of mated probes whose mate is within the rank and at or above the threshold
    fpir: np.ndarray  # (F,) share of non-mated probes whose best score is at or above the threshold
    thresholds: np.ndarray  # (F,)
    false_positives: np.ndarray  # (F,) int64 non-mated probes at or above it: the events that the threshold rests on
    non_mated: int
    resolved: np.ndarray  # (F,) bool: one false positive of all non-mated probes does not exceed the rate asked for


@dataclass(frozen=True)
class Search:
    """What P probes found in a gallery."""

    person: np.ndarray  # (P,) id of the probe
    mated: np.ndarray  # (P,) bool: the person is in the gallery
    mate: np.ndarray  # (P,) the best score with an entry of the same person; minus infinity where there is none or one of them failed
    other: np.ndarray  # (P,) the best score with anybody else; minus infinity where the probe failed
    rank: np.ndarray  # (P,) int64 other people's entries at or above `mate`: 0 is rank 1; NEVER without a mate
    average_precision: np.ndarray  # (P,) mean over the mates of the share of mates among the entries down to it; NaN without a mate
    nearest: np.ndarray  # (P,) int64 number of the gallery entry that `other` is the score with; -1 where there is none

    def with_everyone_a_stranger(self) -> "Search":
        """The same search with each mated probe a second time, as a stranger's: its person is taken out of the gallery.

        So the false positives of a gallery are found where every probe has its person in it. That gallery is one person smaller.
        """
        count = int(self.mated.sum())
        return Search(
            person=np.concatenate([self.person, self.person[self.mated]]),
            mated=np.concatenate([self.mated, np.zeros(count, bool)]),
            mate=np.concatenate([self.mate, np.full(count, -np.inf, self.mate.dtype)]),
            other=np.concatenate([self.other, self.other[self.mated]]),
            rank=np.concatenate([self.rank, np.full(count, NEVER)]),
            average_precision=np.concatenate([self.average_precision, np.full(count, np.nan)]),
            nearest=np.concatenate([self.nearest, self.nearest[self.mated]]),
        )

    def rank_rates(self, ranks: Sequence[int]) -> np.ndarray:
        """(K,) share of the mated probes with a mate among the k best entries."""
        return (self._mated_ranks() < checked_ranks(ranks)[:, None]).mean(1)

    def rank_interval(self, ranks: Sequence[int], replicates: int = 1000, level: float = 0.95, seed: int = 0) -> BootstrapInterval:
        """Interval of `rank_rates` over the probes' people, the gallery as it is."""
        score = np.where(self._mated_ranks() == NEVER, -np.inf, -self._mated_ranks().astype(float))
        person = self.person[self.mated]
        return rate_interval(score, person, person, (1 - checked_ranks(ranks)).tolist(), replicates, level, seed)

    def mean_average_precision(self) -> float:
        """Mean of `average_precision` over the mated probes."""
        self._mated_ranks()
        return float(self.average_precision[self.mated].mean())

    def open_set(self, fpir: Sequence[float], rank: int = 1) -> OpenSet:
        """TPIR at each FPIR: the threshold is the lowest at which the share of non-mated probes does not exceed the rate."""
        rates, (score, mated) = checked_rates(fpir), self.open_set_scores(rank)
        refused = refused_scores(score[~mated], rates)
        accepted = score > refused[:, None]
        return OpenSet(
            tpir=accepted[:, mated].mean(1),
            fpir=accepted[:, ~mated].mean(1),
            thresholds=lowest_above(refused),
            false_positives=accepted[:, ~mated].sum(1),
            non_mated=int((~mated).sum()),
            resolved=allowed_events(int((~mated).sum()), rates) > 0,
        )

    def open_set_interval(
        self, fpir: Sequence[float], rank: int = 1, replicates: int = 1000, level: float = 0.95, seed: int = 0
    ) -> BootstrapInterval:
        """Intervals of TPIR over the probes' people; the threshold is found again in every replicate."""
        return tar_at_far_interval(*self.open_set_scores(rank), self.person, self.person, fpir, replicates, level, seed)

    def open_set_thresholds(self, fpir: Sequence[float], rank: int = 1, level: float = 0.95) -> Thresholds:
        """The thresholds of `open_set` with their intervals over the non-mated probes' people."""
        score, mated = self.open_set_scores(rank)
        return threshold_at_fmr(score[~mated], fpir, self.person[~mated], self.person[~mated], level)

    def open_set_scores(self, rank: int = 1) -> tuple[np.ndarray, np.ndarray]:
        """(score, mated) of which TAR@FAR is TPIR@FPIR: of mated probes the mate's score if it is within the rank, of others the best.

        Raises:
            ValueError: all probes are mated, or none is.
        """
        if self.mated.all() or not self.mated.any():
            raise ValueError(f"an open set needs mated and non-mated probes: {int(self.mated.sum())} of {len(self.mated)} are mated")
        return self.decisive_scores(rank), self.mated

    def decisive_scores(self, rank: int = 1) -> np.ndarray:
        """(P,) of a mated probe the mate's score if it is within the rank, else minus infinity; of another probe the best."""
        return np.where(self.mated, np.where(self.rank < rank, self.mate, -np.inf), self.other)

    def _mated_ranks(self) -> np.ndarray:
        if not self.mated.any():
            raise ValueError(f"none of the {len(self.mated)} probes has its person in the gallery")
        return self.rank[self.mated]


def search(probe: np.ndarray, probe_id: np.ndarray, gallery: np.ndarray, gallery_id: np.ndarray) -> Search:
    """Compares every probe with every gallery entry, in blocks.

    A score is the dot product, the cosine of unit vectors. Of tied scores other people's come first, so that a network that says the same
    of everybody finds nobody. A failure to acquire is a row of NaN: a failed probe finds nothing, and a failed gallery entry is never
    found, while its person counts as enrolled; to the average precision it adds 0.

    Args:
        probe: (P, D). probe_id: (P,) numbers or names.
        gallery: (G, D), several entries a person allowed. gallery_id: (G,).

    Raises:
        ValueError: an empty side, shapes that disagree, rows of zeros, ids that are numbers on one side and names on the other.

    >>> import numpy as np
    >>> from limen.metrics import search
    >>> gallery, probe = np.eye(3), np.array([[0.9, 0.1, 0.0], [0.1, 0.2, 0.9]])
    >>> found = search(probe, np.array(["ann", "dee"]), gallery, np.array(["ann", "bob", "cem"]))
    >>> found.mated  # dee is not enrolled: a stranger
    array([ True, False])
    """
    probe, gallery, number, gallery_number = _checked(probe, probe_id, gallery, gallery_id)
    mate, other = np.full((2, len(probe)), -np.inf, np.result_type(probe, gallery))
    rank, precision = np.full(len(probe), NEVER), np.zeros(len(probe))
    nearest, usable = np.full(len(probe), -1), np.flatnonzero(usable_rows(gallery))
    for found in blocks_with_mates(probe, number, gallery, gallery_number):
        if not len(usable):
            break
        mates = found.score[found.row, found.column]
        found.score[found.row, found.column] = -np.inf
        column = found.score.argmax(1)
        best = found.score[np.arange(len(column)), column]
        nearest[found.probe] = np.where(np.isneginf(best), -1, usable[column])
        order = np.lexsort((-mates, found.row))
        row, mates = found.row[order], mates[order]
        before = np.arange(len(row)) - np.searchsorted(row, row)  # better mates of the same probe
        ahead = np.zeros(len(row), np.int64)  # entries of other people
        beaten = np.flatnonzero(best[row] >= mates)
        for start in range(0, len(beaten), 64):
            few = beaten[start : start + 64]
            ahead[few] = np.count_nonzero(found.score[row[few]] >= mates[few, None], axis=1)
        of = found.probe[row]
        np.maximum.at(mate, of, mates)
        np.minimum.at(rank, of, ahead)
        np.add.at(precision, of, (before + 1) / (before + 1 + ahead))
        other[found.probe] = best
    enrolled = np.bincount(gallery_number, minlength=number.max() + 1)[number]
    precision = np.divide(precision, enrolled, out=np.full(len(probe), np.nan), where=enrolled > 0)
    return Search(np.asarray(probe_id), enrolled > 0, mate, other, rank, precision, nearest)


def rank_rates(probe: np.ndarray, probe_id: np.ndarray, gallery: np.ndarray, gallery_id: np.ndarray, ranks: Sequence[int]) -> np.ndarray:
    """(len(ranks),) closed-set identification rates: the share of mated probes with a mate among the k best gallery entries.

    Probes whose person is not in the gallery have no say (`search(...).mated` counts them). Arguments, ties and errors as in `search`;
    ValueError too where no probe is mated. TinyFace (Cheng et al., 2018), IJB-B, IJB-C and IJB-S (closed set) rank in this way.

    >>> import numpy as np
    >>> from limen.metrics import rank_rates
    >>> gallery, probe = np.eye(3), np.array([[0.9, 0.1, 0.0], [0.1, 0.2, 0.9]])
    >>> rank_rates(probe, np.array(["ann", "bob"]), gallery, np.array(["ann", "bob", "cem"]), [1, 2])
    array([0.5, 1. ])
    """
    return search(probe, probe_id, gallery, gallery_id).rank_rates(ranks)


def open_set(
    probe: np.ndarray,
    probe_id: np.ndarray,
    gallery: np.ndarray,
    gallery_id: np.ndarray,
    fpir: Sequence[float],
    rank: int = 1,
    lookup: Literal["conservative", "insightface"] = "conservative",
) -> OpenSet:
    """TPIR@FPIR: how many mated probes find their mate while few non-mated ones find anybody.

    "conservative": FPIR(t) is the share of non-mated probes whose best score is >= t, and t the lowest threshold whose FPIR does not
    exceed the rate; TPIR(t) is the share of mated probes whose mate is among the `rank` best and >= t (Grother, Ngan, Hanaoka, FRVT part
    2; IJB-C with rank 1, SurvFace with rank 20). A failed probe finds nothing, and counts.
    "insightface": another quantity of the same name, for comparison with tables made by its script. All probes are searched in one merged
    gallery; t is the score of number ceil(rate * P) among all the scores with other people, and a probe counts if its mate's score
    is > t, whatever its rank. `fpir` is then the false scores above t for each probe, which the merged gallery's size multiplies.

    Arguments, ties and errors as in `search`; ValueError too where the open set has no mated or no non-mated probe.

    >>> import numpy as np
    >>> from limen.metrics import open_set
    >>> gallery, probe = np.eye(3), np.array([[0.9, 0.1, 0.0], [0.1, 0.2, 0.8]])
    >>> found = open_set(probe, np.array(["ann", "dee"]), gallery, np.array(["ann", "bob", "cem"]), [0.1])
    >>> found.tpir  # ann is found at a threshold that refuses the stranger
    array([1.])
    """
    if lookup == "conservative":
        return search(probe, probe_id, gallery, gallery_id).open_set(fpir, rank)
    if lookup != "insightface":
        raise ValueError(f'lookup={lookup!r} is unknown: "conservative" or "insightface"')
    probe, gallery, number, gallery_number = _checked(probe, probe_id, gallery, gallery_id)
    rates, mate = checked_rates(fpir), np.full(len(probe), -np.inf)
    place = np.ceil(rates * len(probe)).astype(int)
    largest = LargestScores(int(place.max()))
    for found in blocks_with_mates(probe, number, gallery, gallery_number):
        np.maximum.at(mate, found.probe[found.row], found.score[found.row, found.column])
        found.score[found.row, found.column] = -np.inf
        largest.add(found.score)
    false = np.r_[np.inf, largest.falling()[0], -np.inf]
    thresholds = false[place.clip(max=len(false) - 1)]
    above = (false[1:-1] > thresholds[:, None]).sum(1)
    return OpenSet((mate > thresholds[:, None]).mean(1), above / len(probe), thresholds, above, 0, place > 0)


def mean_average_precision(probe: np.ndarray, probe_id: np.ndarray, gallery: np.ndarray, gallery_id: np.ndarray) -> float:
    """TinyFace's mAP: the mean over mated probes of `search(...).average_precision`. Arguments and errors as in `rank_rates`.

    >>> import numpy as np
    >>> from limen.metrics import mean_average_precision
    >>> gallery, probe = np.eye(2), np.array([[0.9, 0.1], [0.6, 0.4]])
    >>> mean_average_precision(probe, np.array(["ann", "bob"]), gallery, np.array(["ann", "bob"]))  # ranks 1 and 2
    0.75
    """
    return search(probe, probe_id, gallery, gallery_id).mean_average_precision()


def _checked(
    probe: np.ndarray, probe_id: np.ndarray, gallery: np.ndarray, gallery_id: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    probe, gallery = checked_features(probe, "probe"), checked_features(gallery, "gallery")
    if probe.shape[1] != gallery.shape[1]:
        raise ValueError(f"probe and gallery: features of {probe.shape[1]} and {gallery.shape[1]} numbers cannot be compared")
    return probe, gallery, *person_numbers(probe_id, gallery_id, (len(probe), len(gallery)), "probe_id and gallery_id")
