"""TAR@FAR and EER against their definitions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limen.metrics import eer, impostor_events, roc_curve, tar_at_far, thin_roc

FAR = [0.0, 1e-6, 1e-2, 0.05, 0.1, 0.5, 1.0]


def scores(seed, pairs=80, decimals=2):
    random = np.random.default_rng(seed)
    mated = np.r_[True, False, random.random(pairs - 2) < 0.4]
    return np.round(random.normal(np.where(mated, 0.6, 0.2), 0.2), decimals), mated


def naive_tar(score, mated, far):
    thresholds = np.r_[np.unique(score), np.inf]
    return max((score[mated] >= t).mean() for t in thresholds if (score[~mated] >= t).mean() <= far)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**31), decimals=st.sampled_from([1, 2, 9]))
def test_conservative_is_the_largest_tar_within_the_far(seed, decimals):
    score, mated = scores(seed, decimals=decimals)
    np.testing.assert_array_equal(tar_at_far(score, mated, FAR), [naive_tar(score, mated, far) for far in FAR])


@given(seed=st.integers(0, 2**31))
@settings(max_examples=25, deadline=None)
def test_rates_depend_on_the_order_of_the_scores_only(seed):
    score, mated = scores(seed)
    np.testing.assert_array_equal(tar_at_far(score, mated, FAR), tar_at_far(np.exp(3 * score), mated, FAR))


def test_events_are_the_impostors_behind_the_rate():
    score = np.array([0.9, 0.8, 0.7, 0.6, 0.5, 0.4])
    mated = np.array([True, False, True, False, True, False])
    assert impostor_events(roc_curve(score, mated), [0.1, 1 / 3, 0.5, 1.0], impostors=3).tolist() == [0, 1, 1, 3]


def test_nearest_may_exceed_the_far():
    score, mated = np.array([0.9, 0.8, 0.7, 0.6, 0.5]), np.array([True, False, True, False, False])
    assert tar_at_far(score, mated, [0.3]).tolist() == [0.5]
    assert tar_at_far(score, mated, [0.3], lookup="nearest").tolist() == [1.0]


def test_eer_of_separated_scores_is_zero():
    found = eer(genuine=np.array([0.8, 0.9]), impostor=np.array([0.1, 0.2]))
    assert found.value == found.low == found.high == 0
    assert 0.2 < found.threshold <= 0.8


def test_eer_of_swapped_scores_is_one():
    assert eer(genuine=np.array([0.1, 0.2]), impostor=np.array([0.8, 0.9])).value == 1


def test_eer_of_equal_scores_is_a_half_anywhere_between_nothing_and_all():
    found = eer(np.full(4, 0.5), np.full(9, 0.5))
    assert (found.low, found.value, found.high) == (0, 0.5, 1)


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**31), decimals=st.sampled_from([1, 2, 9]))
def test_eer_bounds_hold_every_breaking_of_ties(seed, decimals):
    score, mated = scores(seed, decimals=decimals)
    found = eer(score[mated], score[~mated])
    nudge = np.where(mated, 1e-12, -1e-12)
    best, worst = (eer((score + side * nudge)[mated], (score + side * nudge)[~mated]) for side in (1, -1))
    step = 1 / min(mated.sum(), (~mated).sum())
    assert found.low <= found.value <= found.high
    assert found.low - 1e-12 <= best.low <= best.high <= found.low + step + 1e-12
    assert found.high - step - 1e-12 <= worst.low <= worst.high <= found.high + 1e-12


@given(seed=st.integers(0, 2**31))
@settings(max_examples=25, deadline=None)
def test_eer_is_symmetric(seed):
    score, mated = scores(seed, decimals=9)
    assert eer(score[mated], score[~mated]).value == pytest.approx(eer(-score[~mated], -score[mated]).value, abs=1e-12)


def test_a_thinned_curve_keeps_its_ends_and_lies_on_the_curve():
    score, mated = scores(0, pairs=5000, decimals=9)
    whole = roc_curve(score, mated)
    thin = thin_roc(score, mated, points=50)
    assert len(thin.far) <= 52
    assert (thin.far[0], thin.tar[0], thin.far[-1], thin.tar[-1]) == (0, 0, 1, 1)
    assert set(zip(*thin, strict=True)) <= set(zip(*whole, strict=True))
    assert tar_at_far(score, mated, [0.0])[0] in thin.tar


@given(
    seed=st.integers(0, 2**31), decimals=st.sampled_from([1, 2, 9]), failed=st.sampled_from([0.0, 0.3]), points=st.sampled_from([1, 7, 400])
)
@settings(max_examples=60, deadline=None)
def test_a_thinned_curve_is_the_whole_one_read_at_rates_even_over_log_far(seed, decimals, failed, points):
    score, mated = scores(seed, decimals=decimals)
    score = np.where(np.random.default_rng(seed).random(len(score)) < failed, -np.inf, score)
    whole, thin = roc_curve(score, mated), thin_roc(score, mated, points)
    rising = whole.far[whole.far > 0]
    rates = np.r_[0.0, np.geomspace(rising[0], 1, points)] if len(rising) else [0.0]
    kept = np.unique([0, *(np.flatnonzero(whole.far <= rate)[-1] for rate in rates), len(whole.far) - 1])
    for found, every in zip(thin, whole, strict=True):
        np.testing.assert_array_equal(found, every[kept])


@pytest.mark.parametrize(
    ("score", "mated", "message"),
    [
        (np.array([0.1, np.nan]), np.array([True, False]), "1 of 2 scores are NaN"),
        (np.array([0.1, 0.2]), np.array([True, True]), "2 of 2 are mated"),
        (np.array([0.1, 0.2]), np.array([True]), "vectors of one length"),
    ],
)
def test_unusable_input_is_named(score, mated, message):
    with pytest.raises(ValueError, match=message):
        tar_at_far(score, mated, [0.1])


def test_an_unknown_lookup_names_the_known_ones():
    with pytest.raises(ValueError, match='"conservative" or "nearest"'):
        tar_at_far(*scores(0), [0.1], lookup="closest")
