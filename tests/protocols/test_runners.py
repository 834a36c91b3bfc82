"""Words of `limen evaluate` that change nothing of what is judged are refused, not passed over."""

import argparse

import numpy as np
import pytest

import blufr_tree
import megaface_tree
import search_trees
import trees
from limen.cli.judging import WORDS, add_judging_arguments, check_judging, runners_of
from limen.errors import LimenError, LimenWarning
from limen.protocols.layouts import open_benchmark

WRITERS = {
    "xqlfw": trees.TREES["xqlfw"],
    "rfw": trees.TREES["rfw"],
    "ijbc": trees.TREES["ijbc"],
    "tinyface": search_trees.TREES["tinyface"],
    "ijbc-search": search_trees.TREES["ijbc-search"],
    "megaface": megaface_tree.write_tree,
}
TAKEN = {  # word -> the benchmarks that it concerns
    "--far 0.1": ["xqlfw", "rfw", "ijbc", "lfw-blufr", "megaface"],
    "--fpir 0.5": ["tinyface", "ijbc-search"],
    "--lookup nearest": ["xqlfw", "rfw", "ijbc"],
    "--lookup insightface": ["tinyface", "ijbc-search"],
    "--lookup conservative": ["xqlfw", "rfw", "ijbc", "tinyface", "ijbc-search"],
    "--group-threshold per_group": ["rfw"],
    "--at-threshold 0.0": ["xqlfw", "rfw", "ijbc", "tinyface", "ijbc-search"],
    "--noise replaced": ["megaface"],
    "--no-norms": ["ijbc", "ijbc-search"],
    "--no-detector-scores": ["ijbc", "ijbc-search"],
}


@pytest.fixture(scope="module")
def tasks(tmp_path_factory):
    folder, found = tmp_path_factory.mktemp("sets"), {}
    for name, write in WRITERS.items():
        write(folder / name)
    blufr_tree.write_lists(folder / "lfw-blufr")
    blufr_tree.write_tree(folder / "lfw-blufr" / "lfw")
    for name in [*WRITERS, "lfw-blufr"]:
        with pytest.warns(LimenWarning, match="published"):
            found[name] = open_benchmark(f"{name}:{folder / name}")
    return found


def judged(tasks, words):
    parser = argparse.ArgumentParser()
    add_judging_arguments(parser)
    options = parser.parse_args(words.split())
    check_judging(options)
    return runners_of(options, tasks)


@pytest.mark.parametrize("words", TAKEN)
def test_a_word_that_concerns_nothing_is_refused(tasks, words):
    for name, task in tasks.items():
        if name not in TAKEN[words]:
            with pytest.raises(LimenError, match=rf"^{words.split()[0]}.*: changes nothing of {name}; leave it out$"):
                judged([task], words)
        elif (name, words) != ("tinyface", "--fpir 0.5"):  # without a stranger among its probes it has no open set, which is said
            changed = judged([task], words) != judged([task], "")
            assert changed == ("conservative" not in words)  # the default, which may be named
    concerned, other = (next(task for name, task in tasks.items() if (name in TAKEN[words]) == wanted) for wanted in (True, False))
    if words != "--fpir 0.5":
        assert judged([other, concerned], words)[0] == judged([other], "")[0]


@pytest.mark.parametrize("name", ["empty", "list.txt"])
def test_a_benchmark_beside_the_folder_named_is_not_taken_for_it(tmp_path, name):
    trees.TREES["ijbc"](tmp_path / "ijbc")
    (tmp_path / "empty").mkdir()
    (tmp_path / "list.txt").write_text("a b 1")
    with pytest.raises(LimenError, match=r"ijbc: .*loose_crop/, .* not found in"):
        open_benchmark(f"ijbc:{tmp_path / name}")
    with pytest.warns(LimenWarning, match="published"):
        assert len(open_benchmark(f"ijbc:{tmp_path / 'ijbc' / 'meta'}").source) == 12


def test_every_word_is_tried():
    assert {words.split()[0] for words in TAKEN} == set(WORDS.values())


@pytest.mark.parametrize("words", TAKEN)
def test_error_versus_discard_takes_none_of_them(tasks, words):
    with pytest.raises(LimenError, match=rf"^{words.split()[0]}: of rates that are not printed with --quality"):
        judged([tasks["xqlfw"]], f"{words} --quality sharpness")


def test_two_words_for_one_rate(tasks):
    with pytest.raises(LimenError, match="--far and --fmr both set the rates"):
        judged([tasks["xqlfw"]], "--far 0.1 --fmr 0.2")
    (runner,) = judged([tasks["xqlfw"]], "--fmr 0.2")
    np.testing.assert_array_equal(runner.far, [0.2])
