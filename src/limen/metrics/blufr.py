"""LFW BLUFR: Liao, Lei, Yi, Li, "A Benchmark Study of Large-Scale Unconstrained Face Recognition", IJCB 2014.

Its thresholds differ from `tar_at_far`: of N impostors the one of number n = FAR * N (rounded, halves up) is itself accepted, and for n = 0
only what lies above all impostors.
"""

from collections.abc import Sequence

import numpy as np

from limen.metrics.identification import search
from limen.metrics.rates import checked_rates
from limen.metrics.scores import BLOCK, LargestScores, checked_features, person_numbers, usable_rows


def blufr_verification(features: np.ndarray, ids: np.ndarray, far: Sequence[float]) -> np.ndarray:
    """(len(far),) verification rates of one trial: all pairs of its test images, the threshold from the impostor pairs.

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
    people = np.bincount(number)
    genuine_pairs = int((people * (people - 1) // 2).sum())
    impostor_pairs = len(number) * (len(number) - 1) // 2 - genuine_pairs
    if not genuine_pairs or not impostor_pairs:
        raise ValueError(f"ids: {genuine_pairs} pairs of one person and {impostor_pairs} of two; both are needed")
    usable = usable_rows(features)
    features, number = features[usable], number[usable]
    place = _rounded(rates * impostor_pairs)
    genuine, largest = [np.empty(0, features.dtype)], LargestScores(int(place.max()) or 1)
    rows = max(1, BLOCK // max(1, len(features)))
    for start in range(0, len(features), rows):
        score = features[start : start + rows] @ features[start:].T
        score[np.arange(score.shape[1]) <= np.arange(len(score))[:, None]] = -np.inf  # each pair once
        same = number[start : start + rows, None] == number[start:]
        genuine.append(score[same])
        score[same] = -np.inf
        largest.add(score)
    return _accepted(np.concatenate(genuine), largest.falling(), place, impostor_pairs) / genuine_pairs


def blufr_identification(
    features: np.ndarray, ids: np.ndarray, gallery: np.ndarray, probe: np.ndarray, far: Sequence[float], ranks: Sequence[int]
) -> np.ndarray:
    """(len(ranks), len(far)) detection and identification rates of one trial's open set.

    The threshold is found on the best score of each probe whose person is not in the gallery; DIR is the share of the other probes whose
    mate is among the k best entries and accepted.

    Args:
        features: (N, D) unit vectors; NaN as in `blufr_verification`. ids: (N,) people.
        gallery, probe: (G,) and (P,) numbers of images, from 0.

    Raises:
        ValueError: as `search`; no probe in the gallery, or all.
    """
    features, ids = checked_features(features, "features"), np.asarray(ids)
    found, rates = search(features[probe], ids[probe], features[gallery], ids[gallery]), checked_rates(far)
    impostor = -np.sort(-found.open_set_scores()[0][~found.mated])
    place = _rounded(rates * len(impostor))
    within = (np.where(found.rank < k, found.mate, -np.inf)[found.mated] for k in ranks)
    return np.stack([_accepted(mate, impostor, place, len(impostor)) / len(mate) for mate in within])


def blufr_summary(rates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean over the trials (the first axis), and mean - standard deviation (ddof 1), which is the benchmark's number."""
    rates = np.asarray(rates, float)
    if len(rates) < 2:
        raise ValueError(f"a standard deviation over trials needs two of them, not {len(rates)}")
    return rates.mean(0), rates.mean(0) - rates.std(0, ddof=1)


def _rounded(events: np.ndarray) -> np.ndarray:
    return np.floor(events + 0.5).astype(int)


def _accepted(genuine: np.ndarray, impostor: np.ndarray, place: np.ndarray, impostors: int) -> np.ndarray:
    """How many of `genuine` are at or above the impostor (in falling order) of number `place`; all usable ones where all impostors are."""
    genuine, top = genuine[~np.isneginf(genuine)], impostor[:1]
    counts = []
    for n in place:
        if n == 0:
            counts.append((genuine > top).sum() if len(top) else len(genuine))
        else:
            counts.append(len(genuine) if n >= min(impostors, len(impostor) + 1) else (genuine >= impostor[n - 1]).sum())
    return np.array(counts)
