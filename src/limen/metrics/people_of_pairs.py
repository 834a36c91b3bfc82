"""Intervals of a share of pairs that share people, without replicates."""

import numpy as np
from scipy import sparse
from scipy.special import stdtrit

from limen.metrics.bootstrap import subject_numbers
from limen.metrics.image_pairs import non_mated_pairs
from limen.metrics.intervals import proportion_interval

COUNTED_AT_ONCE = 1 << 24


class PeopleOfPairs:
    """Who stands in which pairs, and so how much less pairs say of a rate than as many independent ones.

    The variance of a share over people is that of Fafchamps and Gubert, "The formation of risk sharing networks", 2007, equation 2.6, and
    Aronow, Samii and Assenova, "Cluster-robust variance estimation for dyadic data", 2015: with e the pairs' residuals,

        sum over people of (sum of e of their pairs)^2  -  sum over two people of (sum of e between them)^2,

    for pairs of one person without the second sum. A product of two people's bootstrap weights has a plus in place of the minus, which is
    three times as much where pairs are independent.

    Args:
        first, second: (P,) the person in either image.
        images: (N,) the person in each image, where the pairs given are the highest of all non-mated ones of these images.

    >>> import numpy as np
    >>> from limen.metrics import PeopleOfPairs
    >>> low, high = PeopleOfPairs(np.arange(300), np.arange(300)).interval(np.zeros(300, bool))  # no error in 300 pairs of 300 people
    >>> low, round(high, 3)
    (0.0, 0.012)
    """

    def __init__(self, first: np.ndarray, second: np.ndarray, images: np.ndarray | None = None):
        if images is None:
            self._people, self._left, self._right = subject_numbers(first, second, len(first))
            self.count, other = len(first), self._left != self._right
            self._in_pairs = np.bincount(self._left, minlength=self._people) + np.bincount(self._right[other], minlength=self._people)
            self._between = _counted(self._left[other], self._right[other], self._people)
            self._squares = float(self._between.data @ self._between.data)
        else:
            people, sizes = np.unique(images, return_counts=True)
            self._people, self.count = len(people), non_mated_pairs(images)
            self._left, self._right = (np.searchsorted(people, side).astype(np.int32) for side in (first, second))
            self._in_pairs, self._sizes = sizes * (len(images) - sizes), sizes.astype(float)
            self._between, square = None, np.square(self._sizes)
            self._squares = float(square.sum() ** 2 - square @ square) / 2

    def interval(self, events: np.ndarray, level: float = 0.95) -> tuple[float, float]:
        """Low and high end of the share of pairs that are `events`: Clopper and Pearson's interval, its pairs as many fewer as people
        decide together, with Student's t for the number of people (Korn and Graubard 1998).

        Args:
            events: (P,) bool, or the numbers of the pairs that are. Pairs that are not held are none.
        """
        left, right = self._left[events], self._right[events]
        effect = self.design_effect(left, right)
        if 1 < self._people < self.count:
            effect *= (stdtrit(self._people - 1, (1 + level) / 2) / stdtrit(self.count - 1, (1 + level) / 2)) ** 2
        low, high = proportion_interval(len(left), self.count, effect, level)
        return float(low), float(high)

    def design_effect(self, left: np.ndarray, right: np.ndarray) -> float:
        """How many pairs say as much as one independent pair, 1 or above; `left`, `right` (E,) are the numbers of the events' people.

        Where none or all are events it cannot be told. It is then what it is where the pairs of a person always fall together.
        """
        rate = len(left) / self.count
        if not 0 < rate < 1:
            return max(1.0, float(self._in_pairs @ self._in_pairs.astype(float)) / float(self._in_pairs.sum()))
        other = left != right
        of_person = np.bincount(left, minlength=self._people) + np.bincount(right[other], minlength=self._people) - rate * self._in_pairs
        events = _counted(left[other], right[other], self._people)
        pairs = self._pairs_between(events)
        # between two people without an event the residuals are -rate each
        between = float(np.square(events.data - rate * pairs).sum() - np.square(rate * pairs).sum()) + rate**2 * self._squares
        variance = (of_person @ of_person - between) * self._people / max(1, self._people - 1)
        return max(1.0, float(variance) / (self.count * rate * (1 - rate)))

    def _pairs_between(self, events: sparse.csr_array) -> np.ndarray:
        """How many pairs there are between the two people of each entry."""
        if self._between is None:
            low, high = events.tocoo().coords
            return self._sizes[low] * self._sizes[high]
        return self._between.multiply(events.sign()).tocsr().sorted_indices().data


def pairs_between(left: np.ndarray, right: np.ndarray, people: int) -> sparse.csr_array:
    """(S, S) float32 how many pairs there are between any two people, of the numbers `left`, `right` (P,)."""
    found = sparse.csr_array((people, people), dtype=np.float32)
    for start in range(0, len(left), COUNTED_AT_ONCE):
        pairs = left[start : start + COUNTED_AT_ONCE], right[start : start + COUNTED_AT_ONCE]
        found = found + sparse.coo_array((np.ones(len(pairs[0]), np.float32), pairs), shape=(people, people)).tocsr()
    return found


def _counted(left: np.ndarray, right: np.ndarray, people: int) -> sparse.csr_array:
    """`pairs_between`, the lower number first, in float64."""
    return pairs_between(np.minimum(left, right), np.maximum(left, right), people).astype(float).sorted_indices()
