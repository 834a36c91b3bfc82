"""The entries of a gallery that are most like each probe."""

import numpy as np

from limen.metrics.scores import BLOCK, usable_rows

GROUP = 64  # entries of which the best stands for all at first: one pass over the scores, and no sort of them


def best_entries(probe: np.ndarray, gallery: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """The `count` entries with the highest dot products with each probe: their numbers (P, k) int64 and the products (P, k), best first.

    Equals a stable sort of the falling scores: of equal ones the first entry comes first. k is `count`, or the size of a smaller gallery.
    A probe that is not finite, a failure to acquire, finds nobody: numbers -1 and minus infinity. Computed a block of probes at a time.

    Args:
        probe: (P, D). gallery: (G, D), finite.

    Raises:
        ValueError: features of different lengths, a count below 1.

    >>> import numpy as np
    >>> from limen.metrics import best_entries
    >>> best_entries(np.array([[0.6, 0.8]]), np.eye(2), 2)
    (array([[1, 0]]), array([[0.8, 0.6]]))
    """
    probe, gallery = np.asarray(probe), np.asarray(gallery)
    if probe.ndim != 2 or gallery.ndim != 2 or probe.shape[1] != gallery.shape[1] or count < 1:
        raise ValueError(f"probe {probe.shape}, gallery {gallery.shape}, count {count}: (P, D), (G, D) and 1 or more are needed")
    shape = len(probe), min(count, len(gallery))
    number, score = np.full(shape, -1), np.full(shape, -np.inf, np.result_type(probe, gallery))
    if not len(gallery):
        return number, score
    searched, step = np.flatnonzero(usable_rows(probe)), max(1, BLOCK // len(gallery))
    starts = np.arange(0, len(gallery), GROUP)
    for first in range(0, len(searched), step):
        rows = searched[first : first + step]
        found = probe[rows] @ gallery.T
        tops = np.maximum.reduceat(found, starts, axis=1)
        # An entry outside the best `count` groups is behind the top of each of them. In rising order, so that equal scores keep theirs.
        groups = np.sort(np.argsort(-tops, axis=1, kind="stable")[:, : shape[1]], axis=1)
        column = (groups[:, :, None] * GROUP + np.arange(GROUP)).reshape(len(rows), -1)
        inside = column < len(gallery)
        some = np.where(inside, np.take_along_axis(found, np.where(inside, column, 0), 1), -np.inf)
        order = np.argsort(-some, axis=1, kind="stable")[:, : shape[1]]
        number[rows], score[rows] = np.take_along_axis(column, order, 1), np.take_along_axis(some, order, 1)
    return number, score
