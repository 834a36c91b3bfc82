"""The interval of a share of pairs that share people: against the naive sum over all pairs of pairs, and its laws."""

import numpy as np
import pytest

from limen.metrics import PeopleOfPairs, proportion_interval, threshold_at_fmr


def naive_effect(error, first, second):
    """Sum of the products of the residuals of all pairs of pairs that share a person, over that of independent pairs."""
    residual, shared = error - error.mean(), 0.0
    for one in range(len(error)):
        for other in range(len(error)):
            if {first[one], second[one]} & {first[other], second[other]}:
                shared += residual[one] * residual[other]
    people = len(set(first) | set(second))
    return max(1.0, shared * people / (people - 1) / (len(error) * error.mean() * (1 - error.mean())))


def drawn(seed, people=12, pairs=60, mated=False):
    random = np.random.default_rng(seed)
    first = random.integers(people, size=pairs)
    second = first if mated else (first + random.integers(1, people, pairs)) % people
    worse = random.random(people) < 0.3  # people whose pairs go wrong together
    error = random.random(pairs) < 0.1 + 0.5 * (worse[first] | worse[second])
    return error, first, second


@pytest.mark.parametrize("mated", [False, True])
@pytest.mark.parametrize("seed", range(5))
def test_the_design_effect_is_the_sum_over_pairs_that_share_a_person(seed, mated):
    error, first, second = drawn(seed, mated=mated)
    pairs = PeopleOfPairs(first, second)
    people = np.unique(np.r_[first, second])
    left, right = (np.searchsorted(people, side[error]) for side in (first, second))
    assert pairs.design_effect(left, right) == pytest.approx(naive_effect(error, first, second))


def test_of_all_pairs_of_images_the_highest_say_the_same_as_all():
    random = np.random.default_rng(0)
    images = random.integers(20, size=80)
    one, other = np.triu_indices(len(images), 1)
    non_mated = images[one] != images[other]
    first, second = images[one[non_mated]], images[other[non_mated]]
    score = random.random(len(first)) + 0.3 * ((first < 3) | (second < 3))
    top = np.argsort(-score)[:400]
    whole = PeopleOfPairs(first, second).interval(score >= score[top[99]])
    assert PeopleOfPairs(first[top], second[top], images).interval(np.arange(100)) == pytest.approx(whole)


def test_independent_pairs_have_clopper_and_pearsons_interval():
    error = np.arange(4000) < 40
    people = PeopleOfPairs(np.arange(4000), np.arange(4000))
    np.testing.assert_allclose(people.interval(error), proportion_interval(40, 4000), rtol=2e-3)


def test_copies_of_every_pair_tell_nothing_new():
    error, first, second = drawn(1, people=40, pairs=200)
    once, thrice = (PeopleOfPairs(np.tile(first, n), np.tile(second, n)).interval(np.tile(error, n)) for n in (1, 3))
    np.testing.assert_allclose(once, thrice, rtol=0.02)


def test_without_an_error_it_is_as_if_the_pairs_of_a_person_always_fell_together():
    first = np.repeat(np.arange(50), 6)
    low, high = PeopleOfPairs(first, first).interval(np.zeros(300, bool))
    assert low == 0
    assert high == pytest.approx(proportion_interval(0, 50)[1], rel=0.08)  # Student's t for fifty people


def test_the_interval_of_a_threshold_reaches_to_the_ends_of_its_rates_interval():
    random = np.random.default_rng(2)
    first = random.integers(200, size=4000)
    second = (first + random.integers(1, 200, 4000)) % 200
    score = random.normal(size=4000)
    found = threshold_at_fmr(score, 0.02, first, second)
    low, high = PeopleOfPairs(first, second).interval(score >= found.threshold)
    assert (score >= found.low).mean() <= high < (score >= np.nextafter(found.low, -9)).mean()
    assert (score >= found.high).mean() <= low < (score >= np.nextafter(found.high, -9)).mean()


def test_more_impostors_do_not_widen_it():
    random, widths = np.random.default_rng(3), []
    for count in (2000, 8000, 32000):
        first = random.integers(300, size=count)
        second = (first + random.integers(1, 300, count)) % 300
        found = threshold_at_fmr(random.normal(size=count), 0.01, first, second)
        widths.append(float(found.high[0] - found.low[0]))
    assert widths == sorted(widths, reverse=True)
