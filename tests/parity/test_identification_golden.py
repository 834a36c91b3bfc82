"""Identification figures against what the peers' own functions, and BLUFR's own code, answered on the same inputs."""

from pathlib import Path

import numpy as np
import pytest

from limen import metrics

GOLDEN = Path(__file__).resolve().parents[1] / "golden"


@pytest.fixture(scope="module")
def ijb():
    """The templates of galleries and probes: features with their mirror images' added, norms kept."""
    golden = np.load(GOLDEN / "ijb1n.npz")
    vectors, ids = metrics.pool_templates(golden["feat"].astype(float) + golden["feat_flip"], golden["template"], golden["media"])
    return golden, {name: vectors[np.searchsorted(ids, golden[name])] for name in ("gal1", "gal2", "probe")}


def test_ranks_equal_the_peers_tinyface():
    golden = np.load(GOLDEN / "tinyface.npz")
    found = metrics.rank_rates(golden["probe"], golden["probe_id"], golden["gallery"], golden["gallery_id"], [1, 5, 20])
    np.testing.assert_allclose(found, golden["out_rank1_5_20"], atol=1e-7)


def test_a_merged_gallery_equals_insightface(ijb):
    golden, of = ijb
    gallery, ids = np.concatenate([of["gal1"], of["gal2"]]), np.concatenate([golden["gal1_id"], golden["gal2_id"]])
    found = metrics.search(of["probe"], golden["probe_id"], gallery, ids)
    np.testing.assert_allclose(found.rank_rates([1, 5, 10]), golden["out_top1_5_10"], atol=1e-12)
    np.testing.assert_array_equal(found.rank, golden["out_rank"])
    np.testing.assert_allclose(found.mate, golden["out_mate_sim"], atol=1e-7)
    far, rate, threshold = golden["out_far_pr_th"].T
    merged = metrics.open_set(of["probe"], golden["probe_id"], gallery, ids, far, lookup="insightface")
    np.testing.assert_allclose(merged.tpir, rate, atol=1e-12)
    np.testing.assert_allclose(merged.thresholds, threshold, atol=1e-7)


@pytest.mark.parametrize("gallery", ["gal1", "gal2"])
def test_each_gallery_alone_equals_the_peers(ijb, gallery):
    """At the peers' thresholds the same mates are found; at ours, the lowest within the rate, no fewer."""
    golden, of = ijb
    *ranks, strict, loose, at_strict, at_loose = golden[f"out_keras_{gallery.replace('gal', 'G')}"]
    found = metrics.search(of["probe"], golden["probe_id"], of[gallery], golden[f"{gallery}_id"])
    np.testing.assert_allclose(found.rank_rates([1, 5, 10]), ranks, atol=1e-12)
    score, mated = found.open_set_scores()
    np.testing.assert_allclose([(score[mated] >= t - 1e-7).mean() for t in (strict, loose)], [at_strict, at_loose], atol=1e-12)
    assert (found.open_set([0.0125, 0.1]).tpir >= [at_strict, at_loose]).all()


def test_both_parts_of_blufr_equal_its_own_code():
    golden = np.load(GOLDEN / "blufr.npz")
    features = golden["features"].astype(float)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    np.testing.assert_allclose(metrics.blufr_verification(features, golden["ids"], golden["veri_far"]), golden["out_VR"], atol=1e-12)
    found = metrics.blufr_identification(features, golden["ids"], golden["gal"], golden["probe"], golden["osi_far"], golden["ranks"])
    np.testing.assert_allclose(found, golden["out_DIR"], atol=1e-12)


def test_ranks_among_distractors_equal_the_megaface_peers():
    golden = np.load(GOLDEN / "megaface_rank.npz")
    found = metrics.megaface_rank(golden["facescrub"], golden["ids"], golden["distractors"], [1, 5, 10])
    np.testing.assert_allclose(found, golden["out_rank1_5_10"], atol=1e-12)
