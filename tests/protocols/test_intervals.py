"""Intervals that are none: no errors, thresholds kept where they should be found again, infinite qualities, people nobody named."""

import pickle

import cv2
import numpy as np
import pytest

from limen import metrics
from limen.data.pairs import PairSet, open_pairs, with_subjects
from limen.errors import LimenError
from limen.protocols import ErrorVersusDiscard, Metric, PairScores, Verification
from limen.protocols.intervals import rates_asked, with_interval
from limen.report.show import interval_text
from numbered_images import NumberedImages

PEOPLE, EACH = 40, 5


@pytest.mark.parametrize("wrong", [0, -1, 2, float("nan"), float("inf")])
def test_rates_lie_between_0_and_1(wrong):
    with pytest.raises(LimenError, match=r"far: .* cannot be asked for; give rates between 0 and 1"):
        rates_asked("far", [0.1, wrong])


def test_each_rate_stands_once():
    assert rates_asked("far", [0.1, 1, 0.01, 0.1]) == (0.1, 1, 0.01)
    assert rates_asked("far", []) == ()
    with pytest.raises(LimenError, match="cannot be asked for"):
        rates_asked("fmr", [1], "below one")
    with pytest.raises(LimenError, match=r"far: 0\.1, 0\.10000000001: two are the same to six digits; leave one of them out"):
        rates_asked("far", [0.1, 0.10000000001])


def pair_set(count=800, seed=0):
    """Every second pair is mated; most people are in several."""
    random = np.random.default_rng(seed)
    same = np.arange(count) % 2 == 0
    person = random.integers(PEOPLE, size=count)
    other = np.where(same, person, (person + random.integers(1, PEOPLE, size=count)) % PEOPLE)
    first, second = person * EACH, other * EACH + random.integers(1, EACH, size=count)
    return PairSet("made up", NumberedImages(PEOPLE * EACH, place="{}.png".format), first, second, same, np.repeat(np.arange(PEOPLE), EACH))


def distances(pairs, apart, seed=1):
    spread = np.random.default_rng(seed).normal(size=len(pairs)) * 0.1
    return PairScores(np.where(pairs.same, 1 - apart, 1 + apart) + spread, {})


def test_no_errors_give_an_interval_that_leaves_room_for_some():
    pairs = pair_set()
    result = Verification(pairs, replicates=50).judge(distances(pairs, apart=0.9), {})
    people = pairs.subject[pairs.first]
    assert (result.value("accuracy"), result.value("tar@far=0.01"), result.value("eer")) == (1, 1, 0)
    for key, kind in (("accuracy", np.ones(len(pairs), bool)), ("tar@far=0.01", pairs.same), ("eer", pairs.same)):
        interval, count = result.metric(key).interval, kind.sum()
        other = pairs.subject[pairs.second]
        each = np.bincount(people[kind]) + np.bincount(other[kind & (other != people)], minlength=people.max() + 1)
        effect = each @ each / each.sum()
        assert effect > 5  # people are in many pairs
        room = metrics.proportion_interval(0, count, effect)[1]
        assert interval.high - interval.low >= room - 1e-12
        assert interval.method.startswith("Clopper-Pearson")
        assert (interval.low == 0) if key == "eer" else (interval.high == 1)


def test_no_errors_at_all_leave_no_interval_of_an_area():
    pairs = pair_set()
    quality = np.random.default_rng(2).random(len(pairs.source))
    (result,) = ErrorVersusDiscard(pairs, {"any": quality}, fmr=(0.1,), replicates=20).judge(distances(pairs, apart=0.9), {})
    fnmr = result.metric("fnmr@fmr=0.1")
    assert fnmr.value == 0 == fnmr.interval.low < 0.01 < fnmr.interval.high
    assert {(area.value, area.interval) for area in result.where(unit="area", variant=[])} == {(0, None)}
    assert {area.value for area in result.where(unit="area", variant=["normalised"])} == {None}


def test_the_threshold_of_val_is_found_again_in_every_replicate():
    pairs = pair_set(count=4000)
    scores = distances(pairs, apart=0.15)
    found = Verification(pairs, replicates=50).judge(scores, {}).metric("val@far=0.001")
    fold = metrics.contiguous_folds(len(pairs), 10)
    statistic = metrics.weighted_val(scores.distance, pairs.same, fold, 1e-3)
    people = pairs.subject[pairs.first], pairs.subject[pairs.second]
    again = metrics.bootstrap_interval(statistic, *people, replicates=50)
    assert (found.value, found.interval.low, found.interval.high) == pytest.approx((again.value[0], again.low[0], again.high[0]))
    kept = distances(pairs, 0.15).distance < metrics.kfold_verification(scores.distance, pairs.same, fold, 1e-3).val_thresholds[fold]
    fixed = metrics.bootstrap_interval(metrics.weighted_mean(kept, pairs.same), *people, replicates=50)
    assert found.interval.high - found.interval.low > 1.5 * (fixed.high - fixed.low)[0]


@pytest.mark.parametrize("infinite", [np.inf, -np.inf])
def test_an_infinite_quality_is_none_and_the_order_of_pairs_does_not_matter(infinite):
    pairs = pair_set()
    scores = distances(pairs, apart=0.1)
    quality = np.random.default_rng(2).random(len(pairs.source))
    quality[:: EACH * 3] = infinite
    order = np.random.default_rng(3).permutation(len(pairs))
    mixed = PairSet("made up", pairs.source, pairs.first[order], pairs.second[order], pairs.same[order], pairs.subject)
    first, second = (
        ErrorVersusDiscard(one, {"any": quality}, fmr=(0.1,), replicates=2).judge(PairScores(distance, {}), {})[0]
        for one, distance in ((pairs, scores.distance), (mixed, scores.distance[order]))
    )
    assert [metric.value for metric in first.metrics] == pytest.approx([metric.value for metric in second.metrics])
    assert first.failures[0] == "0.png: has no any"
    infinite = np.isinf(quality[pairs.first]) | np.isinf(quality[pairs.second])
    assert first.counts["pairs_left_out"] == infinite.sum() > 0
    assert first.counts["failures_to_acquire"] == len(quality[:: EACH * 3])
    with pytest.raises(ValueError, match="qualities are NaN or infinite"):
        metrics.error_vs_discard(1 - scores.distance, pairs.same, quality[pairs.first], 0.1)


@pytest.fixture
def bin_file(tmp_path):
    """Twelve images of six people, in twelve pairs; the mated ones join two images each, so that nobody joins the pairs of one person."""
    encoded = [cv2.imencode(".png", np.full((112, 112, 3), 9 * k, np.uint8))[1].tobytes() for k in range(12)]
    pairs = [(2 * k, 2 * k + 1) for k in range(6)] + [(2 * k, (2 * k + 5) % 12) for k in range(6)]
    (tmp_path / "made.bin").write_bytes(pickle.dumps(([encoded[k] for pair in pairs for k in pair], [True] * 6 + [False] * 6)))
    return tmp_path / "made.bin"


def subjects_file(pairs, people, path):
    rows = [f"{pairs.source.locate(image)},{people[image]}" for image in range(len(pairs.source))]
    path.write_text("\n".join(["file,subject", *rows]))
    return path


def judged(pairs):
    distance = np.where(pairs.same, 0.5, 1.5) + np.linspace(0, 0.3, len(pairs))
    return Verification(pairs, folds=2, replicates=5).judge(PairScores(distance, {}), {})


def test_a_bin_file_says_that_it_names_no_people(bin_file):
    result = judged(open_pairs(bin_file))
    assert result.counts["groups_joined_by_mated_pairs"] == 6
    assert "subjects" not in result.counts
    assert "names no people" in result.switches["subjects"]


def test_a_list_of_subjects_names_the_people_of_a_bin_file(bin_file, tmp_path):
    pairs = open_pairs(bin_file)
    people = [f"person {image // 2 % 5}" for image in range(12)]  # the first and the last two images are of one person
    named = with_subjects(pairs, subjects_file(pairs, people, tmp_path / "who.csv"))
    result = judged(named)
    assert (result.counts["subjects"], result.switches["subjects"]) == (5, "named")
    assert named.subject[0] == named.subject[11] != named.subject[2]


def test_subjects_that_contradict_the_pairs_or_lack_an_image_are_refused(bin_file, tmp_path):
    pairs = open_pairs(bin_file)
    who = tmp_path / "who.csv"
    with pytest.raises(LimenError, match=r"who\.csv: makes .*image 0 and .*image 1 a mated pair of two people"):
        with_subjects(pairs, subjects_file(pairs, range(12), who))
    with pytest.raises(LimenError, match="a non-mated pair of one person"):
        with_subjects(pairs, subjects_file(pairs, ["one"] * 12, who))
    who.write_text("file,subject\nnobody.png,one\n")
    with pytest.raises(LimenError, match=r"has no row for .*image 0 .*add file,subject rows"):
        with_subjects(pairs, who)


@pytest.mark.parametrize(
    ("errors", "events", "few"), [(10, None, False), (9, None, True), (30, 9, True), (30, 10, False), (191, None, True)]
)
def test_an_interval_says_when_it_rests_on_few_events(errors, events, few):
    """Errors of the rate itself, on whichever side there are fewer, and impostors behind its threshold."""
    metric = Metric("tar", 1 - errors / 200, events=events)
    people = np.arange(200)
    found = with_interval(metric, np.array([0.1, 0.9]), 0.95, people, people, [np.ones(200, bool)])
    assert found.interval.few_events == few
    assert interval_text(found).endswith("few events") == few
