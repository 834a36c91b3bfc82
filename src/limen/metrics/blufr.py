"""LFW BLUFR: Liao, Lei, Yi, Li, "A Benchmark Study of Large-Scale Unconstrained Face Recognition", IJCB 2014.

Its thresholds differ from `tar_at_far`: of N impostors the one of number n = FAR * N (rounded, halves up) is itself accepted, and for n = 0
only what lies above all impostors.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from limen.metrics.identification import search
from limen.metrics.rates import checked_rates
from limen.metrics.scores import BLOCK, LargestScores, checked_features, person_numbers, usable_rows


@dataclass(frozen=True)
class BlufrTrial:
    """What one trial says of each person. Intervals: a bootstrap over people of `accepted / compared`, the thresholds as they are."""

    rates: np.ndarray  # (..., F) true accept rates
    thresholds: np.ndarray  # (F,) scores from which a pair is accepted
    false_matches: np.ndarray  # (F,) int64 impostors that are accepted
    impostors: int
    person: np.ndarray  # (S,) ids
    accepted: np.ndarray  # (..., F, S) genuine comparisons of each person that are accepted
    compared: np.ndarray  # (S,) of all genuine comparisons

    def of_rank(self, number: int) -> "BlufrTrial":
        """Of several ranks, that of this number alone."""
        return replace(self, rates=self.rates[number], accepted=self.accepted[number])


def blufr_verification(features: np.ndarray, ids: np.ndarray, far: Sequence[float]) -> np.ndarray:
    """(len(far),) verification rates of one trial; equals `blufr_verification_trial(features, ids, far).rates`.

    >>> import numpy as np
    >>> from limen.metrics import blufr_verification
    >>> blufr_verification(np.eye(4)[[0, 0, 1, 2]], np.array([0, 0, 1, 2]), [0.01])
    array([1.])
    """
    return blufr_verification_trial(features, ids, far).rates


def blufr_verification_trial(features: np.ndarray, ids: np.ndarray, far: Sequence[float]) -> BlufrTrial:
    """Verification in one trial: all pairs of its test images, the threshold from the impostor pairs.

    Args:
        features: (N, D) unit vectors of the trial's test images; a row of NaN is a failure to acquire, whose pairs count and are never
            accepted.
        ids: (N,) people.
        far: false accept rates from 0 to 1.

    Raises:
        ValueError: shapes that disagree, rows of zeros, no pair of one person or of two.
    """
    features, rates = checked_features(features, "features"), checked_rates(far)
    number, _ = person_numbers(ids, ids, (len(features), len(features)), "ids")
    images = np.bincount(number)
    compared = images * (images - 1) // 2
    impostor_pairs = len(number) * (len(number) - 1) // 2 - int(compared.sum())
    if not compared.any() or not impostor_pairs:
        raise ValueError(f"ids: {compared.sum()} pairs of one person and {impostor_pairs} of two; both are needed")
    usable = usable_rows(features)
    features, number = features[usable], number[usable]
    place = _rounded(rates * impostor_pairs)
    genuine, of, largest = [np.empty(0, features.dtype)], [np.empty(0, int)], LargestScores(int(place.max()) or 1)
    rows = max(1, BLOCK // max(1, len(features)))
    for start in range(0, len(features), rows):
        score = features[start : start + rows] @ features[start:].T
        score[np.arange(score.shape[1]) <= np.arange(len(score))[:, None]] = -np.inf  # each pair once
        same = number[start : start + rows, None] == number[start:]
        genuine.append(score[same])
        of.append(number[start + np.nonzero(same)[0]])
        score[same] = -np.inf
        largest.add(score)
    scores = (np.concatenate(genuine), np.concatenate(of))
    return _trial(scores, largest.falling()[0], place, impostor_pairs, np.unique(ids), compared)


def blufr_identification(
    features: np.ndarray, ids: np.ndarray, gallery: np.ndarray, probe: np.ndarray, far: Sequence[float], ranks: Sequence[int]
) -> np.ndarray:
    """(len(ranks), len(far)) detection and identification rates; `blufr_identification_trial` with these arguments, its rates.

    >>> import numpy as np
    >>> from limen.metrics import blufr_identification
    >>> features, ids = np.eye(4)[[0, 0, 1, 2]], np.array([0, 0, 1, 2])
    >>> blufr_identification(features, ids, gallery=np.array([0, 2]), probe=np.array([1, 3]), far=[0.01], ranks=[1])
    array([[1.]])
    """
    return blufr_identification_trial(features, ids, gallery, probe, far, ranks).rates


def blufr_identification_trial(
    features: np.ndarray, ids: np.ndarray, gallery: np.ndarray, probe: np.ndarray, far: Sequence[float], ranks: Sequence[int]
) -> BlufrTrial:
    """The open set of one trial: rates (len(ranks), len(far)).

    The threshold is found on the best score of each probe whose person is not in the gallery; DIR is the share of the other probes whose
    mate is among the k best entries and accepted.

    Args:
        features: (N, D) unit vectors; NaN as in `blufr_verification_trial`. ids: (N,) people.
        gallery, probe: (G,) and (P,) numbers of images, from 0.

    Raises:
        ValueError: as `search`; no probe in the gallery, or all.
    """
    features, ids = checked_features(features, "features"), np.asarray(ids)
    found, rates = search(features[probe], ids[probe], features[gallery], ids[gallery]), checked_rates(far)
    impostor = -np.sort(-found.open_set_scores()[0][~found.mated])
    place = _rounded(rates * len(impostor))
    person, of = np.unique(ids[probe][found.mated], return_inverse=True)
    within = [
        _trial((np.where(found.rank < k, found.mate, -np.inf)[found.mated], of), impostor, place, len(impostor), person, np.bincount(of))
        for k in ranks
    ]
    return replace(within[0], rates=np.stack([trial.rates for trial in within]), accepted=np.stack([trial.accepted for trial in within]))


def blufr_summary(rates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean over the trials (the first axis), and mean - standard deviation (ddof 1), which is the benchmark's number.

    >>> import numpy as np
    >>> from limen.metrics import blufr_summary
    >>> mean, number = blufr_summary(np.array([[0.9], [0.8], [1.0]]))
    >>> mean.round(3), number.round(3)
    (array([0.9]), array([0.8]))
    """
    rates = np.asarray(rates, float)
    if len(rates) < 2:
        raise ValueError(f"a standard deviation over trials needs two of them, not {len(rates)}")
    return rates.mean(0), rates.mean(0) - rates.std(0, ddof=1)


def _rounded(events: np.ndarray) -> np.ndarray:
    return np.floor(events + 0.5).astype(int)


def _trial(
    genuine: tuple[np.ndarray, np.ndarray],
    impostor: np.ndarray,
    place: np.ndarray,
    impostors: int,
    person: np.ndarray,
    compared: np.ndarray,
) -> BlufrTrial:
    """Of `genuine` scores and the number of each one's person: those at or above the impostor (in falling order) of number `place`; for 0
    those above all impostors, and all usable ones where all impostors are."""
    score, of = genuine
    usable = ~np.isneginf(score)
    thresholds = np.full(len(place), -np.inf, impostor.dtype)
    for row, n in enumerate(place):
        if n == 0 and len(impostor):
            thresholds[row] = np.nextafter(impostor[0], impostor.dtype.type(np.inf))
        elif 0 < n < min(impostors, len(impostor) + 1):
            thresholds[row] = impostor[n - 1]
    accepted = np.stack([np.bincount(of[usable & (score >= threshold)], minlength=len(person)) for threshold in thresholds])
    false_matches = np.array([np.count_nonzero(impostor[~np.isneginf(impostor)] >= threshold) for threshold in thresholds])
    return BlufrTrial(accepted.sum(1) / compared.sum(), thresholds, false_matches, impostors, person, accepted, compared)
