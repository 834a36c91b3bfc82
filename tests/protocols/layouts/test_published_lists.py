"""The published lists at hand, read whole: their counts are those that the records expect."""

import warnings
import zipfile

import numpy as np
import pytest

from limen.protocols.layouts import layout_of, open_benchmark
from limen.protocols.layouts.calfw import read_two_lines_a_pair
from limen.protocols.layouts.cfp import _numbered
from limen.protocols.layouts.lfw import read_named_pairs
from limen.protocols.layouts.text import rows_of

pytestmark = pytest.mark.realdata


def test_lfw(real_data):
    pairs = read_named_pairs(real_data / "protocols/lfw_pairs.txt")
    expected = layout_of("lfw").expected
    assert (len(pairs.first), pairs.same.sum(), pairs.folds) == (expected["pairs"], expected["mated"], 10)
    assert len({*pairs.first, *pairs.second}) == 7701
    assert pairs.same.reshape(10, 2, 300).all(2).tolist() == [[True, False]] * 10
    for part in ("Train", "Test"):
        pairs = read_named_pairs(real_data / f"protocols/lfw_pairsDev{part}.txt")
        expected = layout_of(f"lfw-dev-{part.lower()}").expected
        assert (len(pairs.first), pairs.same.sum(), pairs.folds) == (expected["pairs"], expected["mated"], 10)


def test_cplfw(real_data):
    """This copy has a header."""
    first, _, same = read_two_lines_a_pair(real_data / "protocols/pairs_CPLFW.txt")
    assert (len(first), sum(same)) == (6000, 3000)
    assert sorted(same, reverse=True) == same  # the mated ones come first


def test_cfp(real_data):
    folder = real_data / "protocols/cfp"
    frontal, profile = _numbered(folder / "Pair_list_F.txt"), _numbered(folder / "Pair_list_P.txt")
    assert (len(frontal), len(profile)) == (5000, 2000)
    for protocol, other in (("FF", frontal), ("FP", profile)):
        for name, same in (("same", True), ("diff", False)):
            listed = folder / f"Split/{protocol}/01/{name}.txt"
            people = [(frontal[int(a)].split("/")[2], other[int(b)].split("/")[2]) for _, (a, b) in rows_of(listed, 2, ",")]
            assert len(people) == 350
            assert [a == b for a, b in people] == [same] * 350


@pytest.mark.slow
def test_lfw_as_a_tree_of_aligned_crops(real_data, tmp_path):
    with zipfile.ZipFile(real_data / "lfwpairs112.zip") as archive:
        archive.extractall(tmp_path)
    (tmp_path / "pairs.txt").write_bytes((real_data / "protocols/lfw_pairs.txt").read_bytes())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        task = open_benchmark(f"lfw:{tmp_path}")
    assert (len(task), len(task.source), len(np.unique(task.subject))) == (6000, 7701, 4281)
