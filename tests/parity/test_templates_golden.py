"""Templates against what other evaluation code pooled from the same features."""

from pathlib import Path

import numpy as np

from limen.metrics import pool_templates

GOLDEN = Path(__file__).resolve().parents[1] / "golden"


def test_templates_and_their_scores_equal_the_peers():
    golden = np.load(GOLDEN / "ijb11_templates.npz")
    features = golden["feat"].astype(float) + golden["feat_flip"]
    vectors, ids = pool_templates(features, golden["template"], golden["media"], golden["det"])
    np.testing.assert_array_equal(ids, golden["out_template_ids"])
    np.testing.assert_allclose(vectors, golden["out_template"], atol=1e-6)
    first, second = (vectors[np.searchsorted(ids, golden[name])] for name in ("p1", "p2"))
    np.testing.assert_allclose((first * second).sum(1), golden["out_score_F1N1D1"], atol=1e-6)
