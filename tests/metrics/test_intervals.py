"""Clopper and Pearson's interval against the binomial distribution itself, and the design effect of trials that fall together."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from limen.metrics import design_effect, proportion_interval


@settings(deadline=None)
@given(trials=st.integers(1, 200), share=st.floats(0, 1))
def test_each_end_leaves_half_of_the_rest_beyond_it(trials, share):
    errors = round(share * trials)
    low, high = proportion_interval(errors, trials)
    assert low <= errors / trials <= high
    if errors:
        assert binom.sf(errors - 1, trials, low) == pytest.approx(0.025)
    if errors < trials:
        assert binom.cdf(errors, trials, high) == pytest.approx(0.025)


def test_no_errors_and_nothing_but_errors_still_have_a_width():
    low, high = proportion_interval(np.array([0, 30]), np.array([30, 30]))
    np.testing.assert_allclose(low, [0, 0.025 ** (1 / 30)])
    np.testing.assert_allclose(high, [1 - 0.025 ** (1 / 30), 1])


def test_a_design_effect_is_as_many_fewer_trials():
    np.testing.assert_allclose(proportion_interval(12, 300, design_effect=3), proportion_interval(4, 100))


def test_the_design_effect_of_copies_is_their_number():
    error = np.random.default_rng(0).random(400) < 0.2
    assert design_effect(np.repeat(error, 5), np.repeat(np.arange(400), 5)) == pytest.approx(5)
    assert design_effect(error, np.arange(400)) == 1
    assert design_effect(np.zeros(400, bool), np.repeat(["a", "b"], 200)) == 200


@pytest.mark.parametrize("wrong", [{"errors": 3}, {"errors": -1}, {"trials": 0, "errors": 0}, {"design_effect": 0.5}, {"level": 95}])
def test_impossible_numbers_are_refused(wrong):
    with pytest.raises(ValueError, match="must"):
        proportion_interval(**{"errors": 1, "trials": 2} | wrong)


def test_people_and_errors_must_agree():
    with pytest.raises(ValueError, match="one length"):
        design_effect(np.zeros(3, bool), np.arange(4))
