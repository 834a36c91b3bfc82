"""Who is in the images of pairs whose file does not say."""

from dataclasses import replace
from os import PathLike

import numpy as np

from limen.data.image_table import ImageTable
from limen.data.pairs.pair_set import PairSet
from limen.errors import LimenError


def with_subjects(pairs: PairSet, path: str | PathLike[str]) -> PairSet:
    """`pairs` with the people that a CSV file with the columns file and subject gives their images, named as ImageTable says.

    Raises:
        LimenError: no such CSV, an image that it lacks, a mated pair of two people or a non-mated pair of one.
    """
    people: dict[str, int] = {}

    def number(subject: str) -> int:
        if not subject:
            raise ValueError("no subject")
        return people.setdefault(subject, len(people))

    subject = ImageTable(path, ("subject",), number).of(pairs.source).astype(np.int64)
    if (wrong := np.flatnonzero((subject[pairs.first] == subject[pairs.second]) != pairs.same)).size:
        one, other = (pairs.source.locate(int(side[wrong[0]])) for side in (pairs.first, pairs.second))
        kind = "a mated pair of two people" if pairs.same[wrong[0]] else "a non-mated pair of one person"
        raise LimenError(f"{path}: makes {one} and {other} {kind} ({len(wrong)} such pairs); correct it")
    return replace(pairs, subject=subject, people="named", names=list(people))
