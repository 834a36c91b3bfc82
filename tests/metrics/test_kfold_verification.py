"""kfold_verification against the loops it replaces."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limen.metrics import contiguous_folds, kfold_verification, weighted_val


def naive_kfold(distance, same, folds, far=1e-3):
    """The protocol as its text says it: a loop over folds, thresholds and pairs."""
    blocks = np.array_split(np.arange(len(distance)), folds)
    accuracy, thresholds, val, reached = [], [], [], []
    for block in blocks:
        rest = np.setdiff1d(np.arange(len(distance)), block)
        right = [((distance[rest] < t) == same[rest]).sum() for t in np.arange(0, 4, 0.01)]
        thresholds.append(np.arange(0, 4, 0.01)[int(np.argmax(right))])
        accuracy.append(((distance[block] < thresholds[-1]) == same[block]).mean())
        grid, impostors = np.arange(0, 4, 0.001), distance[rest][~same[rest]]
        rate = np.array([(impostors < t).mean() for t in grid]) if len(impostors) else np.zeros(len(grid))
        t = np.interp(far, rate, grid) if rate.max() >= far else 0.0
        accept = distance[block] < t
        if same[block].any():
            val.append(accept[same[block]].mean())
        if not same[block].all():
            reached.append(accept[~same[block]].mean())
    return accuracy, thresholds, np.mean(val or [np.nan]), np.mean(reached or [np.nan])


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    pairs=st.integers(6, 60),
    folds=st.integers(2, 6),
    mated=st.floats(0, 1),
    decimals=st.sampled_from([1, 2, 9]),
)
def test_equals_the_naive_loops(seed, pairs, folds, mated, decimals):
    random = np.random.default_rng(seed)
    same = random.random(pairs) < mated  # folds without one of the classes happen
    distance = np.round(np.clip(random.normal(np.where(same, 1.0, 1.8), 0.5), 0, 4), decimals)  # ties on the grid happen
    found = kfold_verification(distance, same, folds, far=0.1)
    accuracy, thresholds, val, far = naive_kfold(distance, same, folds, far=0.1)
    np.testing.assert_array_equal(found.accuracy, accuracy)
    np.testing.assert_array_equal(found.thresholds, thresholds)
    np.testing.assert_allclose([found.val, found.far], [val, far], atol=1e-12)
    shares = [found.correct[contiguous_folds(pairs, folds) == fold].mean() for fold in range(folds)]
    np.testing.assert_allclose(shares, found.accuracy)


def test_folds_are_contiguous_and_the_first_are_longer():
    assert contiguous_folds(11, 4).tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3]


def test_given_fold_numbers_equal_the_contiguous_blocks():
    random = np.random.default_rng(0)
    distance, same = random.random(50) * 4, random.random(50) < 0.5
    shuffled = random.permutation(50)
    plain = kfold_verification(distance, same, folds=5)
    given_folds = kfold_verification(distance[shuffled], same[shuffled], folds=contiguous_folds(50, 5)[shuffled])
    np.testing.assert_array_equal(plain.accuracy, given_folds.accuracy)
    assert plain.val == given_folds.val


def test_a_distance_on_the_threshold_is_rejected():
    found = kfold_verification(np.array([0.0, 0.01, 0.0, 0.01]), np.array([True, False, True, False]), folds=2)
    assert found.thresholds.tolist() == [0.01, 0.01]
    assert found.accuracy_mean == 1.0


def test_one_class_only_has_no_rate_for_the_other():
    found = kfold_verification(np.full(10, 0.5), np.ones(10, bool), folds=5)
    assert found.accuracy_mean == 1.0
    assert found.val == 0.0  # without impostors no FAR can be reached
    assert np.isnan(found.far)


@pytest.mark.parametrize(
    ("distance", "folds", "message"),
    [
        (np.array([0.1, np.nan, np.nan, 2.0]), 2, "2 of 4 distances are NaN"),
        (np.array([0.1, 0.2]), 10, "2 pairs cannot be cut into 10 folds"),
        (np.array([0.1, 0.2, 0.3]), np.array([0, 2, 2]), r"sizes are \[1, 0, 2\]"),
    ],
)
def test_unusable_input_is_named(distance, folds, message):
    with pytest.raises(ValueError, match=message):
        kfold_verification(distance, np.ones(len(distance), bool), folds)


def test_six_thousand_pairs_take_milliseconds():
    random = np.random.default_rng(0)
    distance, same = random.random(6000) * 4, random.random(6000) < 0.5
    kfold_verification(distance, same)
    taken = []
    for _ in range(5):
        start = time.perf_counter()
        kfold_verification(distance, same)
        taken.append(time.perf_counter() - start)
    assert min(taken) < 0.03


def test_weighted_val_is_val_and_a_weight_equals_repeating_the_pair():
    random = np.random.default_rng(0)
    same = random.random(3000) < 0.5
    distance = np.clip(random.normal(np.where(same, 1.2, 1.6), 0.2), 0, 4)
    fold = contiguous_folds(len(same), 10)
    statistic = weighted_val(distance, same, fold, 0.01)
    assert statistic(np.ones(len(same)))[0] == pytest.approx(kfold_verification(distance, same, fold, 0.01).val)
    weight = random.integers(0, 3, len(same)).astype(float)
    repeated = np.repeat(np.arange(len(same)), weight.astype(int))
    expected = kfold_verification(distance[repeated], same[repeated], fold[repeated], 0.01).val
    assert statistic(weight)[0] == pytest.approx(expected)
