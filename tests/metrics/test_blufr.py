"""BLUFR's rates against plain sorting of all pairs."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limen.metrics import blufr, blufr_identification, blufr_summary, blufr_verification

FAR = [0.0, 0.001, 0.01, 0.3, 0.999, 1.0]


def case(seed, images=60, people=15, failed=0.0):
    random = np.random.default_rng(seed)
    ids = np.r_[0, 0, random.integers(people, size=images - 2)]
    features = random.normal(size=(people, 5))[ids] + random.normal(size=(images, 5))
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    features[random.random(images) < failed] = np.nan
    return features, ids


def naive(genuine, impostor, genuine_count, impostor_count, far):
    n, impostor = int(np.floor(far * impostor_count + 0.5)), np.sort(impostor)[::-1]
    if n == 0:
        return (genuine > impostor[0]).sum() / genuine_count
    if n >= impostor_count or n > len(impostor):
        return len(genuine) / genuine_count
    return (genuine >= impostor[n - 1]).sum() / genuine_count


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), failed=st.sampled_from([0.0, 0.3]), block=st.sampled_from([1, 500, 10**6]))
def test_verification_equals_sorting_all_pairs(seed, failed, block):
    features, ids = case(seed, failed=failed)
    pairs = [(i, j) for i in range(len(ids)) for j in range(i)]
    same = np.array([ids[i] == ids[j] for i, j in pairs])
    score = np.array([features[i] @ features[j] for i, j in pairs])
    genuine, impostor = (score[kind & np.isfinite(score)] for kind in (same, ~same))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(blufr, "BLOCK", block)
        found = blufr_verification(features, ids, FAR)
    np.testing.assert_allclose(found, [naive(genuine, impostor, same.sum(), (~same).sum(), far) for far in FAR], atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), failed=st.sampled_from([0.0, 0.3]))
def test_identification_equals_sorting_all_scores(seed, failed):
    features, ids = case(seed, failed=failed)
    gallery = np.array([np.flatnonzero(ids == person)[0] for person in np.unique(ids)[:8]])
    probe = np.setdiff1d(np.arange(len(ids)), gallery)
    score = np.nan_to_num(features[probe] @ features[gallery].T, nan=-np.inf)
    mates = ids[probe][:, None] == ids[gallery]
    mated = mates.any(1)
    mate = np.where(mates, score, -np.inf).max(1)
    rank = (np.where(mates, -np.inf, score) >= mate[:, None]).sum(1)
    other = np.where(mates, -np.inf, score).max(1)[~mated]
    want = [
        [
            naive(kept[np.isfinite(kept)], other[np.isfinite(other)], mated.sum(), len(other), far)
            for far in FAR
            for kept in [np.where(rank < k, mate, -np.inf)[mated]]
        ]
        for k in (1, 3)
    ]
    np.testing.assert_allclose(blufr_identification(features, ids, gallery, probe, FAR, [1, 3]), want, atol=1e-12)


def test_the_number_of_the_benchmark_is_mean_less_deviation():
    mean, number = blufr_summary(np.array([[0.8, 0.5], [0.9, 0.5], [1.0, 0.5]]))
    np.testing.assert_allclose([mean, number], [[0.9, 0.5], [0.8, 0.5]])
    with pytest.raises(ValueError, match="two of them"):
        blufr_summary(np.ones((1, 3)))


def test_unusable_input_is_named():
    features, ids = case(0)
    with pytest.raises(ValueError, match="both are needed"):
        blufr_verification(features, np.arange(len(ids)), FAR)
    with pytest.raises(ValueError, match="rows are zero"):
        blufr_verification(features * (ids > 3)[:, None], ids, FAR)
    with pytest.raises(ValueError, match="between 0 and 1"):
        blufr_verification(features, ids, [2.0])
