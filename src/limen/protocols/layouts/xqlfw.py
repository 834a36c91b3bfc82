"""XQLFW (Knoche et al., 2021): pairs of LFW's people whose images differ in quality."""

from pathlib import Path

from limen.data.pairs import PairSet
from limen.protocols.layouts.layout import Layout
from limen.protocols.layouts.lfw import TREE, read_named_pairs
from limen.protocols.layouts.packs import PACKED, packed
from limen.protocols.layouts.pairs import image_root, pair_set
from limen.protocols.layouts.tree import within

LIST = "xqlfw_pairs.txt"


def _read(layout: Layout, path: Path) -> PairSet:
    if pack := packed(path, "xqlfw"):
        return pack
    listed = layout.files(path)[LIST]
    pairs = read_named_pairs(listed)
    # Names are LFW's and pixels are not, so that a tree of LFW beside it must not be taken for it.
    beside = listed.parent / "xqlfw_aligned_112"
    aligned = beside if beside.is_dir() and within(path, listed, beside) else path
    root = image_root(aligned, pairs.first, listed)
    people = (pairs.first_person, pairs.second_person)
    switches = {"images": root.name}
    return pair_set(layout.name, root, listed, pairs.first, pairs.second, pairs.same, people, folds=pairs.folds, switches=switches)


XQLFW = Layout(
    name="xqlfw",
    title="XQLFW: Cross-Quality LFW",
    kind="one to one",
    holds={LIST: f"10 folds of pairs, which are not LFW's; xqlfw_aligned_112/ or another folder of XQLFW's own images: {TREE}"},
    source="the authors' GitHub release",
    images="aligned",
    read=_read,
    also=f"xqlfw{PACKED}",
    expected={"pairs": 6000, "mated": 3000},
)
