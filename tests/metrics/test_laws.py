"""Laws of rates on pairs: what must change nothing, and what may only lower them."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from limen.metrics import bootstrap_interval, eer, roc_curve, tar_at_far, threshold_at_fmr, weighted_eer, weighted_mean

FAR = [0.0, 0.01, 0.1, 0.5]


def case(seed, decimals=2, failed=0.0):
    random = np.random.default_rng(seed)
    mated = np.r_[True, False, random.random(118) < 0.4]
    score = np.round(random.normal(np.where(mated, 0.6, 0.2), 0.2), decimals)
    return np.where(random.random(120) < failed, -np.inf, score), mated


cases = st.builds(case, seed=st.integers(0, 2**31), decimals=st.sampled_from([1, 9]), failed=st.sampled_from([0.0, 0.2]))


def rates(score, mated):
    return [*tar_at_far(score, mated, FAR), *tar_at_far(score, mated, FAR, lookup="nearest"), eer(score[mated], score[~mated]).value]


@settings(max_examples=40, deadline=None)
@given(arrays=cases, seed=st.integers(0, 2**31))
def test_shift_scale_order_and_doubling_change_no_rate(arrays, seed):
    score, mated = arrays
    plain, order = rates(score, mated), np.random.default_rng(seed).permutation(len(score))
    for other in ((4 * score + 2, mated), (score[order], mated[order]), (np.r_[score, score], np.r_[mated, mated])):
        np.testing.assert_allclose(rates(*other), plain, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(arrays=cases, seed=st.integers(0, 2**31))
def test_a_failed_mated_pair_never_raises_a_rate(arrays, seed):
    score, mated = arrays
    failed = score.copy()
    failed[np.random.default_rng(seed).choice(np.flatnonzero(mated))] = -np.inf
    assert (tar_at_far(failed, mated, FAR) <= tar_at_far(score, mated, FAR)).all()
    assert eer(failed[mated], failed[~mated]).value >= eer(score[mated], score[~mated]).value - 1e-12


@settings(max_examples=40, deadline=None)
@given(arrays=cases, seed=st.integers(0, 2**31))
def test_a_failed_impostor_is_never_accepted_and_still_counts(arrays, seed):
    score, mated = arrays
    failed = score.copy()
    failed[np.random.default_rng(seed).choice(np.flatnonzero(~mated))] = -np.inf
    for threshold in (0.1, 0.3):
        assert (failed[~mated] >= threshold).mean() <= (score[~mated] >= threshold).mean()
    before, after = roc_curve(score, mated), roc_curve(failed, mated)
    assert after.far[-1] <= before.far[-1] <= 1
    assert threshold_at_fmr(failed[~mated], FAR[1:]).impostors == (~mated).sum()


@settings(max_examples=20, deadline=None)
@given(arrays=cases, seed=st.integers(0, 2**31))
def test_the_difference_of_two_equal_models_is_zero(arrays, seed):
    score, mated = arrays
    person = np.random.default_rng(seed).integers(10, size=(2, len(score)))
    for one, other in (
        (weighted_eer(score, mated), weighted_eer(2 * score, mated)),
        (weighted_mean(score > 0.4), weighted_mean(2 * score > 0.8)),
    ):
        equal = bootstrap_interval(lambda w, a=one, b=other: a(w) - b(w), *person, replicates=10, seed=seed)
        usable = ~np.isnan([equal.value, equal.low, equal.high])
        assert not np.any(np.array([equal.value, equal.low, equal.high])[usable])
