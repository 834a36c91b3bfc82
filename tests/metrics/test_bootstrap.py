"""The subject bootstrap: its weights, its statistics against repeated pairs, and its coverage of the obvious."""

import time

import numpy as np
import pytest

from limen.metrics import (
    bootstrap_interval,
    eer,
    kfold_verification,
    subject_weights,
    tar_at_far,
    weighted_eer,
    weighted_mean,
    weighted_tar_at_far,
)

FAR = [0.01, 0.1]


def pairs(seed=0, count=300, subjects=40, decimals=9):
    random = np.random.default_rng(seed)
    mated = random.random(count) < 0.5
    first = random.integers(subjects, size=count)
    second = np.where(mated, first, (first + random.integers(1, subjects, size=count)) % subjects)
    return np.round(random.normal(np.where(mated, 0.5, 0.2), 0.2), decimals), mated, first, second


@pytest.mark.parametrize("decimals", [1, 9])
def test_weights_of_one_give_the_plain_metrics(decimals):
    score, mated, *_ = pairs(decimals=decimals)
    one = np.ones(len(score))
    np.testing.assert_array_equal(weighted_tar_at_far(score, mated, FAR)(one), tar_at_far(score, mated, FAR))
    assert weighted_eer(score, mated)(one)[0] == pytest.approx(eer(score[mated], score[~mated]).value, abs=1e-12)
    found = kfold_verification(2 - 2 * score, mated)
    assert weighted_mean(found.correct)(one) == pytest.approx(found.accuracy_mean)


@pytest.mark.parametrize("decimals", [1, 9])
def test_a_weight_equals_repeating_the_pair(decimals):
    score, mated, first, second = pairs(decimals=decimals)
    for weight in subject_weights(first, second, replicates=5):
        repeated = np.repeat(np.arange(len(score)), weight.astype(int))
        s, m = score[repeated], mated[repeated]
        np.testing.assert_allclose(weighted_tar_at_far(score, mated, FAR)(weight), tar_at_far(s, m, FAR), atol=1e-12)
        assert weighted_eer(score, mated)(weight)[0] == pytest.approx(eer(s[m], s[~m]).value, abs=1e-12)
        assert weighted_mean(score, among=mated)(weight) == pytest.approx(s[m].mean())


def test_weights_are_products_of_multinomial_subject_weights():
    first = np.r_[np.arange(6), np.arange(5)]  # one mated pair a subject, then neighbours
    second = np.r_[np.arange(6), np.arange(1, 6)]
    drawn = np.stack(list(subject_weights(first, second, replicates=4000)))
    subject = drawn[:, :6]
    assert (subject.sum(1) == 6).all()
    np.testing.assert_array_equal(drawn[:, 6:], subject[:, :-1] * subject[:, 1:])
    np.testing.assert_allclose(subject.mean(0), 1, atol=0.06)
    np.testing.assert_allclose(subject.var(0), 5 / 6, atol=0.08)  # S * 1/S * (1 - 1/S)


def test_the_interval_holds_the_value_and_narrows_with_subjects():
    widths = []
    for subjects in (30, 3000):
        correct = np.random.default_rng(1).random(subjects) < 0.9
        found = bootstrap_interval(weighted_mean(correct), np.arange(subjects), np.arange(subjects))
        assert found.low[0] < found.value[0] < found.high[0]
        widths.append(float(found.high[0] - found.low[0]))
    assert widths[1] == pytest.approx(2 * 1.96 * np.sqrt(0.9 * 0.1 / 3000), rel=0.15)
    assert widths[0] > 5 * widths[1]


def test_pairs_of_one_subject_are_not_independent():
    """Ten pairs a subject that agree with each other are worth one pair, not ten."""
    correct = np.repeat(np.random.default_rng(0).random(100) < 0.8, 10)
    by_subject = bootstrap_interval(weighted_mean(correct), np.repeat(np.arange(100), 10), np.repeat(np.arange(100), 10))
    by_pair = bootstrap_interval(weighted_mean(correct), np.arange(1000), np.arange(1000))
    ratio = (by_subject.high - by_subject.low) / (by_pair.high - by_pair.low)
    assert ratio[0] == pytest.approx(np.sqrt(10), rel=0.2)


def test_paired_replicates_make_the_difference_of_like_models_narrow():
    random = np.random.default_rng(0)
    subject = np.arange(500)
    one = random.random(500) < 0.9
    other = one & (random.random(500) < 0.99)
    one, other = weighted_mean(one), weighted_mean(other)
    difference = bootstrap_interval(lambda weight: one(weight) - other(weight), subject, subject)
    alone = bootstrap_interval(one, subject, subject)
    np.testing.assert_array_equal(
        difference.replicates, alone.replicates - bootstrap_interval(other, subject, subject).replicates
    )  # one seed, the same subjects drawn
    assert difference.high - difference.low < 0.5 * (alone.high - alone.low)


def test_a_replicate_without_pairs_is_left_out():
    found = bootstrap_interval(weighted_mean(np.array([1.0, 0.0])), np.array([0, 1]), np.array([2, 3]), replicates=200)
    assert np.isnan(found.replicates).any()
    assert (found.low[0], found.high[0]) == (0, 1)


@pytest.mark.parametrize("wrong", [{"level": 95}, {"replicates": 1}])
def test_an_impossible_level_or_count_is_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        bootstrap_interval(weighted_mean(np.ones(2)), np.arange(2), np.arange(2), **wrong)


def test_a_thousand_replicates_of_six_thousand_pairs_take_about_a_second():
    score, mated, first, second = pairs(count=6000, subjects=4000)
    start = time.perf_counter()
    bootstrap_interval(weighted_tar_at_far(score, mated, FAR), first, second, replicates=1000)
    assert time.perf_counter() - start < 3
