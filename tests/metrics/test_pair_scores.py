"""Scores of pairs against the plain product, whichever way they are found."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limen.metrics import pair_scores, scores


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    pairs=st.sampled_from([0, 5, 5000]),
    waste=st.sampled_from([0, 10**9]),
    block=st.sampled_from([1, 90, 10**6]),
)
def test_both_ways_equal_the_product_of_each_pair(seed, pairs, waste, block):
    random = np.random.default_rng(seed)
    features, first, second = random.normal(size=(40, 6)), random.integers(25, size=pairs), random.integers(10, 40, size=pairs)
    features[random.random(40) < 0.2] = np.nan
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scores, "WASTE", waste)
        patch.setattr(scores, "BLOCK", block)
        found = pair_scores(features, first, second)
    np.testing.assert_allclose(found, np.nan_to_num((features[first] * features[second]).sum(1), nan=-np.inf), atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), which=st.integers(0, 39))
def test_a_failed_image_never_raises_a_score(seed, which):
    random = np.random.default_rng(seed)
    features, first, second = random.normal(size=(40, 6)), random.integers(40, size=300), random.integers(40, size=300)
    failed = features.copy()
    failed[which] = np.nan
    assert (pair_scores(failed, first, second) <= pair_scores(features, first, second) + 1e-12).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((np.ones((3, 2)), [0, 3], [0, 0]), "rows of 3 features"),
        ((np.ones((3, 2)), [0, -1], [0, 0]), "rows of 3 features"),
        ((np.ones((3, 2)), [0], [0, 0]), "one length"),
        ((np.zeros((3, 2)), [0], [0]), "3 of 3 rows are zero"),
    ],
)
def test_unusable_input_is_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        pair_scores(*map(np.asarray, arguments))
