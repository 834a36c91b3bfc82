"""A threshold keeps its budget where it was found, says what it rests on, and travels with the model."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import t

from limen.decision.operating_point import decide, find_operating_points
from limen.errors import LimenError
from limen.metrics import PeopleOfPairs, ScoredPairs, all_pairs, image_pairs, non_mated_pairs, threshold_at_fmr
from limen.models.operating_point import PEOPLE_KEPT, OperatingPoint, people_hashes, points_from_json, with_points

PEOPLE, EACH, SIZE = 40, 5, 16


def faces(seed=0, people=PEOPLE, each=EACH, spread=0.35):
    """Unit vectors of people, and who is in each."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(people, SIZE))
    person = np.repeat(np.arange(people), each)
    vectors = centres[person] + spread * SIZE**0.5 * random.normal(size=(len(person), SIZE)) / 2
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), person


def listed(vectors, person):
    """All pairs one by one: the naive form of `all_pairs`."""
    first, second = np.triu_indices(len(person), 1)
    score = (vectors[first].astype(float) * vectors[second]).sum(1)
    same = person[first] == person[second]
    return tuple(ScoredPairs(score[kind], person[first[kind]], person[second[kind]]) for kind in (same, ~same))


def found(fmr=(0.01,), seed=0, **more):
    mated, non_mated = listed(*faces(seed))
    settings = {"reference": "made up", "data_sha256": "ab", "flip": True} | more
    return find_operating_points(non_mated, mated, fmr, **settings)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), fmr=st.sampled_from([0.001, 0.01, 0.1, 0.5]), decimals=st.sampled_from([1, 2, 9]))
def test_a_threshold_keeps_its_rate_on_the_pairs_it_was_found_on(seed, fmr, decimals):
    mated, non_mated = (replace(pairs, score=np.round(pairs.score, decimals)) for pairs in listed(*faces(seed, people=20)))
    (point,) = find_operating_points(non_mated, mated, [fmr], reference="", data_sha256="", flip=True)
    accepted = non_mated.score >= point.threshold
    assert accepted.mean() <= fmr
    assert accepted.sum() == point.false_matches
    assert (mated.score < point.threshold).sum() == point.false_non_matches
    refused = non_mated.score[~accepted].max(initial=-2)
    assert (non_mated.score >= refused).mean() > fmr or point.false_matches == non_mated.count  # no lower one keeps it
    assert point.low <= point.threshold <= point.high
    assert point.fnmr_low <= point.fnmr <= point.fnmr_high


def test_all_pairs_are_each_pair_once():
    vectors, person = faces()
    order = np.random.default_rng(5).permutation(len(person))
    for kind, naive in zip(all_pairs(vectors[order], person[order], 0.01), listed(vectors, person), strict=True):
        np.testing.assert_allclose(np.sort(kind.score), np.sort(naive.score), atol=1e-6)
        assert kind.count == naive.count == len(kind.score)
        assert sorted(np.sort([kind.first, kind.second], 0).T.tolist()) == sorted(np.sort([naive.first, naive.second], 0).T.tolist())
    assert non_mated_pairs(person) == PEOPLE * (PEOPLE - 1) // 2 * EACH**2


def test_the_highest_scores_alone_give_the_threshold_of_all():
    _, whole = listed(*faces())
    order = np.argsort(-whole.score)[: whole.count // 3]
    people = faces()[1]
    few = threshold_at_fmr(whole.score[order], [0.02, 0.001], whole.first[order], whole.second[order], images=people)
    every = threshold_at_fmr(whole.score, [0.02, 0.001], whole.first, whole.second)
    for name in ("threshold", "low", "high", "false_matches", "impostors", "resolved"):
        np.testing.assert_array_equal(getattr(few, name), getattr(every, name))
    for at in (float(whole.score[order[-1]]), 0.9):
        few, every = (
            PeopleOfPairs(whole.first[rows], whole.second[rows], images).interval(whole.score[rows] >= at)
            for rows, images in ((order, people), (slice(None), None))
        )
        assert few == pytest.approx(every, rel=1e-12)
    few = order[: whole.count // 50 + 1]
    with pytest.raises(ValueError, match="too few of the highest"):
        threshold_at_fmr(whole.score[few], [0.02], whole.first[few], whole.second[few], images=people)
    with pytest.raises(ValueError, match="too few of the highest"):
        threshold_at_fmr(whole.score[order[:5]], [0.02], images=people)


def test_of_many_images_the_highest_pairs_alone_are_held(monkeypatch):
    monkeypatch.setattr(image_pairs, "KEPT_AT_LEAST", 50)
    vectors, person = faces(people=120)
    _, kept = all_pairs(vectors, person, 0.01)
    _, whole = listed(vectors, person)
    assert 0.03 * whole.count < len(kept.score) < 0.2 * whole.count
    np.testing.assert_allclose(np.sort(kept.score), np.sort(whole.score)[-len(kept.score) :], atol=1e-6)
    assert kept.count == whole.count


def test_more_people_narrow_the_interval():
    """More impostors never widen it beyond noise: the mean width over draws falls with the number of people."""
    widths = []
    for people in (20, 60, 180):
        wide = []
        for seed in range(12):
            mated, non_mated = listed(*faces(seed, people, 3))
            (point,) = find_operating_points(non_mated, mated, [0.05], reference="", data_sha256="", flip=True)
            wide.append(point.high - point.low)
        widths.append(np.mean(wide))
    assert widths[0] > widths[1] > widths[2]


def test_the_answer_is_sure_outside_the_interval_alone():
    (point,) = found()
    below = np.nextafter(point.low, -1)
    assert [
        decide(score, point).answer for score in (-1, below, point.low, point.threshold, np.nextafter(point.high, -1), point.high, 1)
    ] == [
        "no",
        "no",
        "not sure",
        "not sure",
        "not sure",
        "yes",
        "yes",
    ]
    assert decide(1.0, point, expected_fnmr=0.2, max_fnmr=0.1).answer == "not sure"
    assert decide(1.0, point, expected_fnmr=0.05, max_fnmr=0.1).answer == "yes"
    with pytest.raises(LimenError, match="not calibrated; run `limen calibrate`"):
        decide(1.0, point, max_fnmr=0.1)
    with pytest.raises(LimenError, match="not a number"):
        decide(float("nan"), point)


def test_what_cannot_be_resolved_says_how_many_it_takes():
    with pytest.raises(LimenError, match="an FMR of 1e-05 needs 100,000 non-mated pairs and there are 19,500; use more, or raise --fmr"):
        found([0.01, 1e-5])
    for rate in (0.0, 1.0, -1.0, float("nan")):
        with pytest.raises(LimenError, match="between 0 and 1"):
            found([rate])
    mated, non_mated = listed(*faces(each=1))
    with pytest.raises(LimenError, match="no mated pair"):
        find_operating_points(non_mated, mated, [0.1], reference="x", data_sha256="", flip=True)
    mated, non_mated = listed(*faces(people=1))
    with pytest.raises(LimenError, match="no non-mated pair"):
        find_operating_points(non_mated, mated, [0.1], reference="x", data_sha256="", flip=True)


def test_without_errors_the_rate_may_still_be_above_zero():
    mated, non_mated = listed(*faces(spread=0.01))
    (point,) = find_operating_points(non_mated, mated, [0.01], reference="", data_sha256="", flip=True)
    assert (point.false_non_matches, point.fnmr_low) == (0, 0)
    people = PEOPLE * (t.ppf(0.975, len(mated.score) - 1) / t.ppf(0.975, PEOPLE - 1)) ** 2  # whose pairs fall together
    assert point.fnmr_high == pytest.approx(1 - 0.025 ** (1 / people), rel=1e-6)


def test_a_point_comes_back_from_json_and_at_one_rate_the_later_stays():
    points = found([0.001, 0.05], names=[f"p{k}" for k in range(PEOPLE)])
    assert points_from_json(json.loads(json.dumps([asdict(point) for point in points]))) == points
    assert [point.fmr for point in points] == [0.05, 0.001]
    later = replace(points[1], reference="later")
    assert with_points(points, [later]) == (points[0], later)
    assert with_points([points[1]], [points[0]]) == points


@pytest.mark.parametrize(
    "change",
    [
        {"threshold": float("nan")},
        {"threshold": "0.3"},
        {"flip": 1},
        {"mated": True},
        {"mated": 0},
        {"fmr": 1.0},
        {"low": 0.99},
        {"fnmr_high": 2.0},
        {"false_matches": 10**9},
        {"people_sha256": ("zz",)},
        {"people_sha256": ("ffffffffff", "0000000000")},
        {"people_sha256": tuple(f"{k:010x}" for k in range(PEOPLE + 1))},
        {"level": 0},
    ],
)
def test_a_damaged_point_is_refused(change):
    (point,) = found()
    with pytest.raises((ValueError, TypeError)):
        OperatingPoint.from_json(json.loads(json.dumps(asdict(point) | change)))
    with pytest.raises((ValueError, TypeError)):
        OperatingPoint.from_json(asdict(point) | {"unknown": 1})
    with pytest.raises((ValueError, TypeError)):
        points_from_json([asdict(point), asdict(point)])


def test_people_in_both_are_found_by_the_hashes_of_their_names():
    (point,) = found(names=[f"Person_{k}" for k in range(PEOPLE)])
    assert point.people == PEOPLE
    assert point.shared_people(["person_3", "Person_39", "nobody"]) == (["Person_39", "person_3"], 1.0)
    assert found()[0].shared_people(["person_3"]) == ([], 1.0)
    many = [f"p{k}" for k in range(10 * PEOPLE_KEPT)]
    point = replace(point, people=len(many), people_sha256=people_hashes(many))
    assert len(point.people_sha256) == PEOPLE_KEPT
    shared, asked = point.shared_people(many[:1000] + [f"q{k}" for k in range(1000)])
    assert 0.05 < asked < 0.2  # the lowest hashes alone can be looked up
    assert set(shared) < set(many[:1000])
    assert len(shared) / (2000 * asked) == pytest.approx(0.5, abs=0.15)
