"""LFW BLUFR as one MATLAB file and as text lists: the same trials, judged by `limen evaluate --on`; the real one where it is at hand."""

import numpy as np
import pytest

from blufr_tree import GALLERIES, IMAGES, LABELS, PROBES, TESTS, cells, write_lists, write_mat, write_tree
from limen.cli import main
from limen.errors import LimenError, LimenWarning
from limen.inference.table import Table
from limen.metrics import blufr_identification, blufr_verification
from limen.protocols import load_results
from limen.protocols.blufr import Blufr
from limen.protocols.layouts import open_benchmark
from limen.protocols.layouts.blufr import read_configuration
from made_up import NAMES, tiny_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("blufr")
    write_mat(folder / "config" / "lfw" / "blufr_lfw_config.mat")
    write_tree(folder / "lfw")
    return folder


def opened(path):
    with pytest.warns(LimenWarning, match=r"36 images \(published: 13,233\), 9 people \(published: 5,749\), 2 trials \(published: 10\)"):
        return open_benchmark(f"lfw-blufr:{path}")


def test_the_two_forms_hold_the_same_trials(folder, tmp_path):
    write_lists(tmp_path, "\r\n")
    write_tree(tmp_path / "lfw")
    for task, root in ((opened(folder), folder), (opened(tmp_path), tmp_path)):
        assert [task.source.locate(k) for k in range(36)] == [str(root / "lfw" / name[:-9] / name) for name in IMAGES]
        np.testing.assert_array_equal(task.person, LABELS)
        for trial, test, gallery, probe in zip(task.trials, TESTS, GALLERIES, PROBES, strict=True):
            for found, wanted in ((trial.test, test), (trial.gallery, gallery), (trial.probe, probe)):
                np.testing.assert_array_equal(found + 1, wanted)


def vectors_of(failed=()):
    random = np.random.default_rng(5)
    vectors = random.normal(size=(len(NAMES), 8))[LABELS - 1] + random.normal(size=(36, 8))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    vectors[list(failed)] = np.nan
    return Table(vectors, np.ones(36, np.float32), np.empty((0, 36)), {k: "cannot be read" for k in failed})


@pytest.mark.parametrize("failed", [(), (1, 12)])
def test_the_numbers_are_mean_and_mean_less_std_of_the_trials(folder, failed):
    table, task = vectors_of(failed), opened(folder)
    result = Blufr(task, far=(0.2,), replicates=50).judge(table, {})
    vr = [blufr_verification(table.vectors[trial.test], LABELS[trial.test], [0.2])[0] for trial in task.trials]
    dir_ = [blufr_identification(table.vectors, LABELS, trial.gallery, trial.probe, [0.2], [1])[0, 0] for trial in task.trials]
    for quantity, values, at in (("vr", vr, "far=0.2"), ("dir", dir_, "far=0.2,rank=1")):
        assert result.value(f"{quantity}@{at}") == pytest.approx(np.mean(values))
        assert result.value(f"{quantity}_less_std@{at}") == pytest.approx(np.mean(values) - np.std(values, ddof=1))
        np.testing.assert_allclose(result.curve(f"{quantity} trials").points[quantity], values)
        interval = result.metric(f"{quantity}@{at}").interval
        assert interval.low <= np.mean(values) <= interval.high
    assert result.headline == "vr_less_std@far=0.2"
    assert result.counts["failures_to_acquire"] == len(failed)
    assert result.counts["mated"] + result.counts["non_mated"] == sum(len(test) * (len(test) - 1) // 2 for test in TESTS)


def test_failures_never_raise_a_rate(folder):
    task = opened(folder)
    whole, fewer = (Blufr(task, far=(1.0,), replicates=20).judge(vectors_of(failed), {}) for failed in ((), (1, 12)))
    assert whole.value("vr@far=1") == 1
    mated = sum(int(np.sum(LABELS[np.array(test) - 1][:, None] == LABELS[np.array(test) - 1]) - len(test)) // 2 for test in TESTS)
    assert whole.counts["mated"] == fewer.counts["mated"] == mated
    assert fewer.value("vr@far=1") < 1


def test_a_far_that_the_impostors_cannot_resolve_is_said(folder):
    result = Blufr(opened(folder), replicates=20).judge(vectors_of(), {})
    assert (result.value("vr@far=0.001"), result.metric("vr@far=0.001").needed) == (None, 1000)
    assert (result.value("dir@far=0.01,rank=1"), result.metric("dir_less_std@far=0.01,rank=1").needed) == (None, 100)


def test_evaluated_end_to_end(folder, tmp_path, capsys):
    words = ["evaluate", str(tiny_model(tmp_path)), "--on", f"lfw-blufr:{folder}", "--out", str(tmp_path / "r"), "--far", "0.2"]
    assert main([*words, "--replicates", "20"]) == 0
    shown = capsys.readouterr().out
    (result,) = load_results(tmp_path / "r" / "result.json")
    assert "VR (mean - std of the trials)@FAR=0.2" in shown
    assert f"{100 * result.value('dir@far=0.2,rank=1'):.2f} %" in shown
    assert len(result.switches["trials_sha256"]) == 64
    assert "DIR (mean of the trials)" in (tmp_path / "r" / "report.html").read_text()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"galIndex": None}, r"lacks galIndex; it holds imageList, labels, testIndex, probIndex"),
        ({"labels": LABELS[:-1, None]}, "36 images, 36 names and 35 labels do not agree"),
        ({"labels": LABELS[::-1, None] // 2}, "the labels name other people than the images do"),
        ({"imageList": cells([IMAGES[0], *IMAGES[:-1]])}, "36 images, 35 names"),
        ({"galIndex": cells([np.array([1, 5, 37]), np.array([9, 13, 20])])}, "not numbers from 1 to 36"),
        ({"galIndex": cells([np.array([1, 5, 0]), np.array([9, 13, 20])])}, "not numbers from 1 to 36"),
        ({"galIndex": cells([np.array([1, 5, 11]), np.array([9, 13, 20])])}, "trial 1: gallery and probes are not its test images"),
        ({"galIndex": cells([np.array([1, 5, 10])])}, "2, 1 and 2 trials"),
    ],
)
def test_a_damaged_configuration_is_named(folder, tmp_path, changed, message):
    write_mat(tmp_path / "blufr_lfw_config.mat", **changed)
    with pytest.raises(LimenError, match=message):
        open_benchmark(f"lfw-blufr:{tmp_path}")


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["2", "3", "1, Ann_Example_0001.jpg"], "gallery_set.txt: ends before its last trial"),
        (["2", "1", "1, Bo_Sample_0001.jpg"], "gallery_set.txt: line 3 says image 1 is Bo_Sample_0001.jpg"),
        (["2", "1", "one, Ann_Example_0001.jpg"], "gallery_set.txt: line 3 has 'one' where a whole number"),
        (["1", "1", "1, Ann_Example_0001.jpg", "3"], "gallery_set.txt: line 4 comes after the last trial"),
        (["2", "1, Ann_Example_0001.jpg"], "gallery_set.txt: line 2 is an image where a count is expected"),
    ],
)
def test_lists_whose_counts_disagree_are_named(tmp_path, lines, message):
    write_lists(tmp_path, gallery=lines)
    with pytest.raises(LimenError, match=message):
        open_benchmark(f"lfw-blufr:{tmp_path}")


def test_missing_lists_are_named_with_what_they_hold(tmp_path):
    write_lists(tmp_path)
    (tmp_path / "labels.txt").unlink()
    (tmp_path / "empty" / "inner").mkdir(parents=True)
    with pytest.raises(LimenError, match=r"labels.txt not found in .*labels.txt holds the person in each image"):
        open_benchmark(f"lfw-blufr:{tmp_path}")
    with pytest.raises(LimenError, match=r"blufr_lfw_config.mat not found in .*ten trials of image numbers from 1.*authors' toolkit"):
        open_benchmark(f"lfw-blufr:{tmp_path / 'empty' / 'inner'}")


@pytest.mark.realdata
def test_the_real_configuration(real_data):
    names, labels, (test, gallery, probe) = read_configuration(real_data / "protocols" / "blufr" / "blufr_lfw_config.mat")
    assert (len(names), len(np.unique(labels))) == (13233, 5749)
    assert [len(trial) for trial in gallery] == [1000] * 10
    assert np.mean([len(trial) for trial in test]) == pytest.approx(9708, abs=1)
    assert all(np.array_equal(np.sort(np.r_[g, p]), t) for t, g, p in zip(test, gallery, probe, strict=True))
