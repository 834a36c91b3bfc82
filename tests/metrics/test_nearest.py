"""The best entries of a gallery: those of a stable sort, whatever the sizes and ties."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limen import metrics
from limen.metrics import nearest


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 9), st.integers(0, 300), st.integers(1, 12), st.integers(2, 6), st.integers(0, 1000))
def test_they_are_those_of_a_stable_sort(probes, entries, count, levels, seed):
    random = np.random.default_rng(seed)
    probe = random.integers(1, levels, (probes, 3)).astype(np.float32)  # whole numbers, so that many scores are equal
    gallery = random.integers(1, levels, (entries, 3)).astype(np.float32)
    number, score = metrics.best_entries(probe, gallery, count)
    scores = probe @ gallery.T
    expected = np.argsort(-scores, axis=1, kind="stable")[:, :count]
    np.testing.assert_array_equal(number, expected)
    np.testing.assert_array_equal(score, np.take_along_axis(scores, expected, 1))


def test_blocks_equal_the_whole(monkeypatch):
    random = np.random.default_rng(0)
    probe, gallery = random.normal(size=(50, 8)), random.normal(size=(200, 8))
    whole = metrics.best_entries(probe, gallery, 5)
    monkeypatch.setattr(nearest, "BLOCK", 1000)
    for one, other in zip(whole, metrics.best_entries(probe, gallery, 5), strict=True):
        np.testing.assert_allclose(one, other)


def test_a_failed_probe_finds_nobody():
    probe = np.array([[1.0, 0], [np.nan, np.nan]])
    number, score = metrics.best_entries(probe, np.eye(2), 2)
    assert number.tolist() == [[0, 1], [-1, -1]]
    assert np.isneginf(score[1]).all()


def test_wrong_arrays_are_refused():
    with pytest.raises(ValueError, match=r"count 0: \(P, D\), \(G, D\) and 1 or more are needed"):
        metrics.best_entries(np.eye(2), np.eye(2), 0)
    with pytest.raises(ValueError, match=r"\(2, 2\), gallery \(3, 3\)"):
        metrics.best_entries(np.eye(2), np.eye(3), 1)
