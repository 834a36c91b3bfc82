"""MegaFace challenge 1: Kemelmacher-Shlizerman et al., "The MegaFace Benchmark: 1 Million Faces for Recognition at Scale", CVPR 2016."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from limen.metrics.bootstrap import Statistic
from limen.metrics.rates import allowed_events, checked_ranks, checked_rates
from limen.metrics.scores import LargestScores, checked_features, person_numbers, usable_rows

DISTRACTORS_AT_ONCE = 4096
TAIL, MOST = 4, 4_000_000  # scores kept for a bootstrap: times those that a rate allows, for people are drawn several times; at most


@dataclass(frozen=True)
class MegaFace:
    """M ordered pairs (mate, probe) of one person each.

    Intervals: `bootstrap_interval` over `person` of `pair_rank < k`, and over the people `probe_people()` of `weighted_tar`.
    """

    rank_rates: np.ndarray  # (K,) share of the pairs that are hits at each rank
    tar: np.ndarray  # (F,) true accept rates
    thresholds: np.ndarray  # (F,) scores right above which a pair is accepted
    false_matches: np.ndarray  # (F,) int64 impostors above it: the events that the threshold rests on
    impostors: int  # probes times distractors
    pair_rank: np.ndarray  # (M,) distractors above the pair's score, counted up to the highest rank
    pair_score: np.ndarray  # (M,) minus infinity where one of the two failed
    person: np.ndarray  # (M,)
    probe_person: np.ndarray  # (P,)
    tail_score: np.ndarray  # (T,) the largest scores of impostors, falling
    tail_person: np.ndarray  # (T,) of the probe in each

    def probe_people(self) -> np.ndarray:
        """(S,) each once."""
        return np.unique(self.probe_person)

    def weighted_tar(self, far: Sequence[float]) -> Statistic:
        """(S,) weights of `probe_people()` -> (2F,): the true accept rates at `far`, and the scores right above which they accept.

        The thresholds are found again for the weights; minus infinity where too few impostors were kept for that.
        """
        people, rates = self.probe_people(), checked_rates(list(far))
        order = np.argsort(-self.pair_score, kind="stable")
        falling, pair_of = -self.pair_score[order], np.searchsorted(people, self.person[order])
        tail, tail_of = np.append(self.tail_score, -np.inf), np.searchsorted(people, self.tail_person)
        probes = np.bincount(np.searchsorted(people, self.probe_person))
        distractors = self.impostors // len(self.probe_person)

        def found(weight: np.ndarray) -> np.ndarray:
            allowed = rates * (weight @ probes) * distractors
            refused = tail[np.searchsorted(np.cumsum(weight[tail_of]), allowed * (1 + 1e-12), side="right")]
            accepted = np.r_[0.0, np.cumsum(weight[pair_of])]
            with np.errstate(invalid="ignore"):
                tar = accepted[np.searchsorted(falling, -refused, side="left")] / accepted[-1]
            return np.concatenate([tar, refused])

        return found


def megaface_rates(
    probes: np.ndarray,
    ids: np.ndarray,
    distractors: np.ndarray,
    ranks: Sequence[int],
    far: Sequence[float] = (),
    skip: np.ndarray | None = None,
) -> MegaFace:
    """Identification and verification of challenge 1, in one pass over the distractors.

    Every image of a person is a probe, and every other image of the person its mate in turn, alone among the distractors. A pair is a hit
    at rank k if its score is at or above the probe's k-th best distractor; ties are hits. Verification is the conservative TAR@FAR of the
    same pairs against all probes times all distractors.

    Args:
        probes: (P, D) unit vectors; a row of NaN is a failure to acquire, whose pairs are misses.
        ids: (P,) people, two images or more of each.
        distractors: (N, D), also a memory map; a row of NaN is never found, but counts as an impostor.
        skip: (N,) bool distractors to leave out, such as those a noise list names.

    Raises:
        ValueError: shapes that disagree, rows of zeros, ranks below 1, no pair of one person, no distractor left.

    >>> import numpy as np
    >>> from limen.metrics import megaface_rates
    >>> megaface_rates(np.eye(3)[[0, 0]], np.array([5, 5]), np.eye(3)[1:], [1], far=[0.5]).rank_rates
    array([1.])
    """
    probes, rates = checked_features(probes, "probes"), checked_rates(list(far)) if len(far) else np.empty(0)
    number, _ = person_numbers(ids, ids, (len(probes), len(probes)), "ids")
    distractors = distractors if isinstance(distractors, np.ndarray) else np.asarray(distractors)
    ranks = checked_ranks(ranks).tolist()
    kept = np.ones(len(distractors), bool) if skip is None else ~np.asarray(skip, bool)
    if distractors.ndim != 2 or distractors.shape[1] != probes.shape[1] or kept.shape != distractors.shape[:1] or not kept.any():
        raise ValueError(f"distractors: {distractors.shape} with {kept.shape} to keep or skip do not suit probes {probes.shape}")
    best, impostors = max(ranks), len(probes) * int(kept.sum())
    allowed = allowed_events(impostors, rates) if len(rates) else np.empty(0, int)
    most = int(allowed.max(initial=-1)) + 1
    largest = LargestScores(max(most, min(TAIL * most, MOST)))
    usable, top = usable_rows(probes), np.full((len(probes), best), -np.inf, probes.dtype)
    searched = probes[usable]
    memory = np.empty((len(searched), DISTRACTORS_AT_ONCE), probes.dtype)
    found = top[usable]
    for start in range(0, len(distractors), DISTRACTORS_AT_ONCE):
        some = checked_features(np.asarray(distractors[start : start + DISTRACTORS_AT_ONCE]), "distractors").astype(
            probes.dtype, copy=False
        )
        some = some[kept[start : start + DISTRACTORS_AT_ONCE]]
        some = some[usable_rows(some)]
        score = np.matmul(searched, some.T, out=memory.reshape(-1)[: len(searched) * len(some)].reshape(len(searched), len(some)))
        found = _with_block(found, score)
        largest.add(score)
    top[usable] = found
    row, column = np.nonzero((number[:, None] == number) & ~np.eye(len(number), dtype=bool))
    if not len(row):
        raise ValueError("ids: nobody has two images")
    pair_score = np.full(len(row), -np.inf, probes.dtype)
    both = usable[row] & usable[column]
    pair_score[both] = np.einsum("md,md->m", probes[row[both]], probes[column[both]])
    pair_rank = np.where(both, (top[row] > pair_score[:, None]).sum(1), np.iinfo(np.int64).max)
    falling, of = largest.falling()
    refused = np.append(falling, -np.inf)[np.minimum(allowed, len(falling))]
    return MegaFace(
        rank_rates=(pair_rank < np.asarray(ranks)[:, None]).mean(1),
        tar=(pair_score > refused[:, None]).mean(1),
        thresholds=refused,
        false_matches=(falling > refused[:, None]).sum(1),
        impostors=impostors,
        pair_rank=pair_rank,
        pair_score=pair_score,
        person=np.asarray(ids)[row],
        probe_person=np.asarray(ids),
        tail_score=falling,
        tail_person=np.asarray(ids)[usable][of],
    )


def megaface_rank(
    probes: np.ndarray, ids: np.ndarray, distractors: np.ndarray, ranks: Sequence[int], skip: np.ndarray | None = None
) -> np.ndarray:
    """(len(ranks),) identification rates; arguments and errors as in `megaface_rates`.

    "Refined" by dropping: leave the noisy probes out and `skip` the noisy distractors. As the peers do: `skip` the noisy distractors and
    give the probes through `replace_noisy_probes`.

    >>> import numpy as np
    >>> from limen.metrics import megaface_rank
    >>> probes = np.eye(3)[[0, 0]]  # two images of one person
    >>> megaface_rank(probes, np.array([5, 5]), np.eye(3)[1:], [1])
    array([1.])
    """
    return megaface_rates(probes, ids, distractors, ranks, skip=skip).rank_rates


def replace_noisy_probes(probes: np.ndarray, ids: np.ndarray, noisy: np.ndarray) -> np.ndarray:
    """The probes (P, D), each noisy one (P,) bool replaced by the centre of its person's other probes: their mean, a unit vector.

    Peers refine MegaFace in this way. It flatters: a centre is nearer to its person than any image, and two noisy probes of a person match.
    A person of whom all probes are noisy has none left: rows of NaN, which are misses.
    """
    probes, noisy = np.array(checked_features(probes, "probes")), np.asarray(noisy, bool)
    number, _ = person_numbers(ids, ids, (len(probes), len(probes)), "ids")
    if noisy.shape != (len(probes),):
        raise ValueError(f"noisy: {noisy.shape} for {len(probes)} probes")
    for person in np.unique(number[noisy]):
        mine = number == person
        clean = probes[mine & ~noisy & usable_rows(probes)]
        centre = clean.sum(0) if len(clean) else np.full(probes.shape[1], np.nan, probes.dtype)
        probes[mine & noisy] = centre / np.linalg.norm(centre)
    return probes


def _with_block(top: np.ndarray, score: np.ndarray) -> np.ndarray:
    """The best K of each row of `top` (P, K) and `score` (P, B), in any order: few scores pass the worst of those held."""
    best = top.shape[1]
    row, column = np.nonzero(score > top.min(1)[:, None])
    if len(row) > score.size // 8:  # the first block
        both = np.concatenate([top, score], axis=1)
        return np.partition(both, both.shape[1] - best, axis=1)[:, both.shape[1] - best :]
    rows = np.concatenate([np.repeat(np.arange(len(top)), best), row])
    values = np.concatenate([top.ravel(), score[row, column]])
    order = np.lexsort((-values, rows))
    place = np.arange(len(order)) - np.searchsorted(rows[order], rows[order])
    return values[order][place < best].reshape(top.shape)
