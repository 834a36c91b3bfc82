"""The pairs that a model is most wrong about, and the people it fails most often."""

import numpy as np

from limen.data.pairs import PairSet
from limen.protocols.result import HardPair, HardPerson

LISTED = 10  # of each kind


def hardest_pairs(pairs: PairSet, judged: np.ndarray, score: np.ndarray) -> list[HardPair]:
    """The `LISTED` non-mated pairs of the highest score, then the mated ones of the lowest; failures to acquire are not among them.

    judged: (P,) bool, the pairs that were judged. score: of those.
    """
    number, found = np.flatnonzero(judged), []
    for mated in (False, True):
        rows = np.flatnonzero((pairs.same[number] == mated) & np.isfinite(score))
        right = score[rows] if mated else -score[rows]
        if len(rows) > LISTED:  # of millions of pairs a sort of all would take most of the time
            low = right <= np.partition(right, LISTED - 1)[LISTED - 1]
            rows, right = rows[low], right[low]
        for row in rows[np.argsort(right, kind="stable")][:LISTED].tolist():
            one, other = (pairs.place(int(side[number[row]])) for side in (pairs.first, pairs.second))
            found.append(HardPair(one, other, mated, float(score[row])))
    return found


def hardest_people(pairs: PairSet, judged: np.ndarray, score: np.ndarray, threshold: float) -> list[HardPerson]:
    """The people with the most false non-matches at the threshold, and those with the most false matches, `LISTED` of each at most.

    A failure to acquire is a false non-match. A false match counts for both people.
    """
    same, people = pairs.same[judged], len(pairs.subject) and int(pairs.subject.max()) + 1
    subject = pairs.subject.astype(np.int32)
    first, second = subject[pairs.first[judged]], subject[pairs.second[judged]]
    accepted = score >= threshold
    mated, missed = (np.bincount(first[kind], minlength=people) for kind in (same, same & ~accepted))
    non_mated, matched = (
        np.bincount(first[kind], minlength=people) + np.bincount(second[kind], minlength=people) for kind in (~same, ~same & accepted)
    )
    worst = [row for counts in (missed, matched) for row in np.argsort(-counts, kind="stable")[:LISTED].tolist() if counts[row]]
    return [
        HardPerson(pairs.place(int(np.argmax(pairs.subject == row))), *(int(counts[row]) for counts in (mated, missed, non_mated, matched)))
        for row in dict.fromkeys(worst)
    ]
