"""Distances of pairs: the same in blocks, from matrix products, and pair by pair."""

import numpy as np
import pytest

from limen.protocols import pair_scores


@pytest.mark.parametrize("many", [0, 10**6])
def test_distances_are_those_of_all_pairs_at_once(monkeypatch, many):
    random = np.random.default_rng(0)
    vectors = random.normal(size=(40, 8))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    vectors[3] = np.nan
    first, second = (random.integers(40, size=900).astype(np.int32) for _ in range(2))
    monkeypatch.setattr(pair_scores, "MANY", many)
    monkeypatch.setattr(pair_scores, "AT_ONCE", 128)
    found = pair_scores.distances(vectors, first, second)
    plain = np.square(vectors[first].astype(float) - vectors[second]).sum(1)
    if many:
        np.testing.assert_array_equal(found, plain)
    else:
        np.testing.assert_allclose(found, plain, atol=1e-6)
        assert (np.isnan(found) == np.isnan(plain)).all()
