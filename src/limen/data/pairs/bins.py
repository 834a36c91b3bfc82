"""`.bin` files of pairs, as insightface hands around LFW, CFP-FP, AgeDB and others, and the same packed as `.xz`."""

from pathlib import Path

import numpy as np

from limen.data.pairs.pair_set import EncodedSource, PairSet, joined_subjects
from limen.data.pairs.plain_pickle import read_pair_pickle


def open_bin(path: Path, size: int, on_other_size: str) -> PairSet:
    """See `open_pairs`."""
    images, same = read_pair_pickle(path)
    numbers: dict[bytes, int] = {}
    number = np.array([numbers.setdefault(image, len(numbers)) for image in images], dtype=np.int64)
    first, second = number[0::2], number[1::2]
    subject = joined_subjects(first, second, same, len(numbers))
    first_entry = np.unique(number, return_index=True)[1]
    source = EncodedSource(list(numbers), [f"{path} image {entry}" for entry in first_entry], size, on_other_size)
    return PairSet(path.stem, source, first, second, same, subject, people="joined")
