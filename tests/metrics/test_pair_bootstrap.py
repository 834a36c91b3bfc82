"""The bootstrap of millions of pairs against the one that weighs every pair in every replicate, and the threshold of a false match rate."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limen.metrics import (
    bootstrap_interval,
    pair_bootstrap,
    people_of_pairs,
    rate_interval,
    tar_at_far,
    tar_at_far_interval,
    threshold_at_fmr,
    weighted_mean,
    weighted_tar_at_far,
)

FAR = [0.0, 0.003, 0.01, 0.1, 0.5, 1.0]


def pairs(seed=0, count=1500, subjects=40, decimals=9, failed=0.0):
    random = np.random.default_rng(seed)
    mated = np.r_[True, False, random.random(count - 2) < 0.3]
    first = random.integers(subjects, size=count)
    second = np.where(mated, first, (first + random.integers(1, subjects, size=count)) % subjects)
    score = np.round(random.normal(np.where(mated, 0.5, 0.2), 0.2), decimals)
    score[random.random(count) < failed] = -np.inf
    return score, mated, first, second


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    count=st.sampled_from([2, 30, 1500]),
    subjects=st.sampled_from([2, 7, 300]),
    decimals=st.sampled_from([1, 9]),
    failed=st.sampled_from([0.0, 0.3, 1.0]),
)
def test_it_equals_weighing_all_pairs(seed, count, subjects, decimals, failed):
    score, mated, first, second = pairs(seed, count, subjects, decimals, failed)
    fast = tar_at_far_interval(score, mated, first, second, FAR, replicates=20, seed=seed)
    slow = bootstrap_interval(weighted_tar_at_far(score, mated, FAR), first, second, replicates=20, seed=seed)
    np.testing.assert_allclose(fast.replicates, slow.replicates, atol=1e-12)
    for end in ("value", "low", "high"):
        np.testing.assert_allclose(getattr(fast, end), getattr(slow, end), atol=1e-12)
    np.testing.assert_allclose(fast.value, tar_at_far(score, mated, FAR), atol=1e-12)


def test_steps_and_batches_of_any_size_give_the_same(monkeypatch):
    arrays = pairs(count=4000)
    whole = tar_at_far_interval(*arrays, FAR, replicates=50)
    monkeypatch.setattr(pair_bootstrap, "STEP", 7)
    monkeypatch.setattr(pair_bootstrap, "SIDE_BY_SIDE", 9)
    parts = tar_at_far_interval(*arrays, FAR, replicates=50)
    np.testing.assert_array_equal(parts.replicates, whole.replicates)


@pytest.mark.parametrize(("tail", "fewest", "short"), [(4, 200, False), (1, 0, True)])
@pytest.mark.parametrize(("decimals", "failed"), [(9, 0.0), (1, 0.0), (9, 0.3)])
def test_the_highest_impostors_give_the_same_as_all_and_too_few_are_noticed(monkeypatch, tail, fewest, short, decimals, failed):
    arrays, rates = pairs(count=6000, decimals=decimals, failed=failed), [0.0, 0.003, 0.02]
    whole = tar_at_far_interval(*arrays, rates, replicates=50)
    told = []
    monkeypatch.setattr(pair_bootstrap, "TAIL", tail)
    monkeypatch.setattr(pair_bootstrap, "FEWEST", fewest)
    monkeypatch.setattr(people_of_pairs, "COUNTED_AT_ONCE", 777)
    judge = pair_bootstrap._tar_interval
    monkeypatch.setattr(pair_bootstrap, "_tar_interval", lambda *given: told.append(len(given[1].score)) or judge(*given))
    held = tar_at_far_interval(*arrays, rates, replicates=50)
    np.testing.assert_array_equal(held.replicates, whole.replicates)
    np.testing.assert_array_equal([held.low, held.high], [whole.low, whole.high])
    finite = int(np.isfinite(arrays[0][~arrays[1]]).sum())
    assert told[0] < finite
    if decimals == 9:  # of tied scores more are held
        assert (len(told) > 1) == short


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), decimals=st.sampled_from([1, 9]))
def test_rates_at_a_threshold_equal_weighted_means(seed, decimals):
    score, mated, first, second = (values[:700] for values in pairs(seed, decimals=decimals, failed=0.1))
    found = rate_interval(score[~mated], first[~mated], second[~mated], [0.2, 0.5, 9.0], replicates=20, seed=seed)
    for k, threshold in enumerate([0.2, 0.5, 9.0]):
        plain = weighted_mean((score[~mated] >= threshold).astype(float))
        slow = bootstrap_interval(plain, first[~mated], second[~mated], replicates=20, seed=seed)
        np.testing.assert_allclose(found.replicates[:, k], slow.replicates[:, 0], atol=1e-12)


def test_the_difference_of_two_equal_models_is_zero():
    score, mated, first, second = pairs()
    one, other = (tar_at_far_interval(score * scale, mated, first, second, FAR, replicates=50) for scale in (1, 3))
    difference = one.minus(other)
    assert not np.any([difference.value, difference.low, difference.high])


@settings(max_examples=50, deadline=None)
@given(seed=st.integers(0, 2**31), decimals=st.sampled_from([1, 9]), single=st.booleans())
def test_the_threshold_is_the_lowest_that_keeps_the_rate(seed, decimals, single):
    impostor = np.round(np.random.default_rng(seed).normal(size=200), decimals).astype(np.float32 if single else np.float64)
    found = threshold_at_fmr(impostor, [0.005, 0.02, 0.3, 1.0])
    for k, rate in enumerate(found.fmr):
        assert (impostor >= found.threshold[k]).sum() == found.false_matches[k] <= rate * 200
        just_below = np.nextafter(impostor.dtype.type(found.threshold[k]), impostor.dtype.type(-np.inf))
        assert np.isneginf(found.threshold[k]) or (impostor >= just_below).mean() > rate
    assert found.resolved.all()
    np.testing.assert_array_equal(found.reached, found.false_matches / 200)


def test_a_rate_that_the_impostors_cannot_resolve_has_no_threshold_and_says_how_many_it_takes():
    found = threshold_at_fmr(np.linspace(0, 1, 500), [1e-3, 1 / 500, 0], np.arange(500), np.arange(500) + 500)
    assert found.resolved.tolist() == [False, True, False]
    assert np.isnan(found.threshold).tolist() == np.isnan(found.low).tolist() == [True, False, True]
    assert found.needed[:2].tolist() == [1000, 500]


def test_the_interval_of_a_threshold_holds_it_and_narrows_with_people():
    widths = []
    for people in (60, 600):
        score, mated, first, second = pairs(count=20 * people, subjects=people)
        impostors = (values[~mated] for values in (score, first, second))
        impostor, first, second = impostors
        found = threshold_at_fmr(impostor, 0.05, first, second)
        assert found.low < found.threshold < found.high
        widths.append(float(found.high[0] - found.low[0]))
    assert widths[1] < 0.6 * widths[0]


def test_failures_to_acquire_are_counted_and_never_accepted():
    impostor = np.array([0.9, 0.5, -np.inf, -np.inf])
    assert threshold_at_fmr(impostor, 0.25).false_matches == 1
    everything = threshold_at_fmr(impostor, 1.0)
    assert (everything.false_matches, everything.reached) == (2, 0.5)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: threshold_at_fmr(np.array([np.nan, 0.1]), 0.1), "1 of 2 scores are NaN"),
        (lambda: threshold_at_fmr(np.array([]), 0.1), "not empty"),
        (lambda: threshold_at_fmr(np.ones(3), 1.5), "between 0 and 1"),
        (lambda: threshold_at_fmr(np.ones(3), 0.5, np.arange(3)), "both images"),
        (lambda: threshold_at_fmr(np.ones(3), 0.5, np.arange(3), np.arange(4)), "people of 3 pairs"),
        (lambda: tar_at_far_interval(*pairs(), [0.1], replicates=1), "replicates=1"),
    ],
)
def test_unusable_input_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_a_thousand_replicates_of_half_a_million_pairs_take_seconds():
    arrays = pairs(count=500_000, subjects=500)
    start = time.perf_counter()
    tar_at_far_interval(*arrays, [1e-4, 1e-3, 1e-2, 1e-1], replicates=1000)
    assert time.perf_counter() - start < 30
