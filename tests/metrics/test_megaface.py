"""MegaFace's rates against loops over pairs, and what refining does."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limen.metrics import megaface, megaface_rank, megaface_rates, replace_noisy_probes, tar_at_far
from limen.metrics.scores import LargestScores

RANKS, FAR = [1, 3, 10], [0.0, 0.001, 0.05]


def case(seed, images=30, people=8, distractors=400, failed=0.0):
    random = np.random.default_rng(seed)
    ids = np.r_[0, 0, random.integers(people, size=images - 2)]
    probes, others = random.normal(size=(people, 6))[ids] + random.normal(size=(images, 6)), random.normal(size=(distractors, 6))
    probes, others = (features / np.linalg.norm(features, axis=1, keepdims=True) for features in (probes, others))
    probes, others = (np.round(features * 2**20) / 2**20 for features in (probes, others))  # scores are exact in whatever order they add up
    for features in (probes, others):
        features[random.random(len(features)) < failed] = np.nan
    return probes, ids, others


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), failed=st.sampled_from([0.0, 0.3]), at_once=st.sampled_from([7, 4096]))
def test_rates_equal_loops_over_pairs(seed, failed, at_once):
    probes, ids, distractors = case(seed, failed=failed)
    false = np.nan_to_num(probes @ distractors.T, nan=-np.inf)
    scores, places = [], []
    for p, person in enumerate(ids):
        for m in np.flatnonzero(ids == person):
            if m != p:
                scores.append(probes[p] @ probes[m])
                places.append((false[p] > scores[-1]).sum() if np.isfinite(scores[-1]) else np.inf)
    score = np.nan_to_num(np.array(scores), nan=-np.inf)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(megaface, "DISTRACTORS_AT_ONCE", at_once)
        found = megaface_rates(probes, ids, distractors, RANKS, FAR)
    np.testing.assert_allclose(found.rank_rates, [(np.array(places) < k).mean() for k in RANKS], atol=1e-12)
    plain = tar_at_far(np.r_[score, false.ravel()], np.r_[np.ones(len(score), bool), np.zeros(false.size, bool)], FAR)
    np.testing.assert_allclose(found.tar, plain, atol=1e-12)
    assert found.impostors == false.size
    np.testing.assert_array_equal(found.false_matches, [(false > threshold).sum() for threshold in found.thresholds])


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_people_weighed_are_all_pairs_weighed(seed):
    """A person drawn w times has w times as many mated pairs, and w times as many impostors as a probe."""
    probes, ids, distractors = case(seed)
    weight = np.random.default_rng(seed).integers(0, 3, size=ids.max() + 1).astype(float)
    found = megaface_rates(probes, ids, distractors, RANKS, FAR)
    false = np.nan_to_num(probes @ distractors.T, nan=-np.inf).ravel()
    person = np.r_[found.person, np.repeat(ids, len(distractors))]
    mated = np.arange(len(person)) < len(found.person)
    score = np.r_[found.pair_score, false]
    for w in (np.ones(len(weight)), weight):
        tar, refused = np.split(found.weighted_tar(FAR)(w[found.probe_people()]), 2)
        kept = np.repeat(np.arange(len(score)), w[person].astype(int))  # each as often as its person
        np.testing.assert_allclose(tar, tar_at_far(score[kept], mated[kept], FAR), atol=1e-12)
        impostors = score[kept][~mated[kept]]
        assert ((impostors > refused[:, None]).mean(1) <= np.array(FAR) + 1e-12).all()


def test_lists_are_arrays_and_ranks_begin_at_one():
    probes, ids, distractors = case(3)
    np.testing.assert_array_equal(
        megaface_rank(probes.tolist(), ids.tolist(), distractors.tolist(), RANKS), megaface_rank(probes, ids, distractors, RANKS)
    )
    for ranks in ([0], [], [1.5]):
        with pytest.raises(ValueError, match="ranks must be whole numbers from 1"):
            megaface_rank(probes, ids, distractors, ranks)


def test_skipped_distractors_are_as_if_they_were_not_there():
    probes, ids, distractors = case(0)
    skip = np.random.default_rng(0).random(len(distractors)) < 0.5
    np.testing.assert_array_equal(
        megaface_rank(probes, ids, distractors, RANKS, skip=skip), megaface_rank(probes, ids, distractors[~skip], RANKS)
    )


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31))
def test_a_distractor_never_raises_a_rate_and_a_tie_is_a_hit(seed):
    probes, ids, distractors = case(seed)
    fewer = megaface_rank(probes, ids, distractors[:200], RANKS)
    assert (megaface_rank(probes, ids, distractors, RANKS) <= fewer).all()
    assert megaface_rank(np.ones((3, 2)), [0, 0, 0], np.ones((9, 2)), [1]) == 1


def test_noisy_probes_become_the_centre_of_the_others():
    probes, ids = np.array([[1.0, 0], [0, 1], [-1, 0], [0.6, 0.8], [0.8, 0.6]]), np.array([0, 0, 0, 1, 1])
    found = replace_noisy_probes(probes, ids, np.array([False, False, True, True, True]))
    np.testing.assert_allclose(found[:3], [[1, 0], [0, 1], [0.5**0.5, 0.5**0.5]])
    assert np.isnan(found[3:]).all()
    np.testing.assert_array_equal(probes[2], [-1, 0])


def test_the_largest_scores_are_those_of_a_whole_sort():
    random = np.random.default_rng(0)
    for count in (0, 1, 50, 10**6):
        largest, parts = LargestScores(count), [np.round(random.normal(size=(20, 30)), 1) for _ in range(9)]
        for part in parts:
            largest.add(part)
        score, row = largest.falling()
        np.testing.assert_array_equal(score, -np.sort(-np.concatenate(parts), axis=None)[:count])
        beside = np.concatenate(parts, axis=1)
        assert all(s in beside[r] for s, r in zip(score, row, strict=True))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p, i, d: (p, np.arange(len(p)), d), "nobody has two images"),
        (lambda p, i, d: (p, i, d[:, 1:]), "do not suit"),
        (lambda p, i, d: (p, i, d[:0]), "do not suit"),
        (lambda p, i, d: (p, i[1:], d), "ids of 30"),
        (lambda p, i, d: (p, i, d * (np.arange(len(d)) > 3)[:, None]), "distractors: 4 of"),
    ],
)
def test_unusable_input_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        megaface_rank(*change(*case(0)), RANKS)
