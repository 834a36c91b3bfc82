"""Pairs of faces for verification: `.bin` files, lists like LFW's pairs.txt, and pairs drawn from a source of one's own."""

from limen.data.pairs.drawing import all_pairs_of, make_pairs, pairs_of
from limen.data.pairs.groups import with_groups, with_related
from limen.data.pairs.lists import save_pairs
from limen.data.pairs.opening import open_pairs
from limen.data.pairs.pair_set import EncodedSource, PairSet, SubsetSource
from limen.data.pairs.subjects import with_subjects

__all__ = [
    "EncodedSource",
    "PairSet",
    "SubsetSource",
    "all_pairs_of",
    "make_pairs",
    "open_pairs",
    "pairs_of",
    "save_pairs",
    "with_groups",
    "with_related",
    "with_subjects",
]
