"""Verification figures against what other evaluation code answered on the same inputs."""

from pathlib import Path

import numpy as np
import pytest

from limen import metrics

GOLDEN = Path(__file__).resolve().parents[1] / "golden"


@pytest.mark.parametrize("name", ["kfold_easy", "kfold_ties"])
def test_kfold_equals_the_peers_evaluate(name):
    golden = np.load(GOLDEN / f"{name}.npz")
    vectors = golden["emb"].astype(np.float64) + golden["emb_flip"]
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    distance = np.square(vectors[0::2] - vectors[1::2]).sum(1)
    found = metrics.kfold_verification(distance, golden["issame"], folds=int(golden["nrof_folds"]))
    np.testing.assert_allclose(found.accuracy, golden["out_accuracy"], atol=1e-12)
    np.testing.assert_allclose([found.accuracy_mean, found.accuracy_std], [golden["out_acc_mean"], golden["out_acc_std"]], atol=1e-12)
    np.testing.assert_allclose([found.val, found.val_std, found.far], [golden["out_val"], golden["out_val_std"], golden["out_far"]])
    if "out_best_thresholds" in golden:
        np.testing.assert_allclose(found.thresholds, golden["out_best_thresholds"], atol=1e-12)


def test_nearest_lookup_equals_the_peers_ijb_table():
    golden = np.load(GOLDEN / "ijb11_scores.npz")
    far = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1]
    found = metrics.tar_at_far(golden["score"], golden["label"], far, lookup="nearest")
    np.testing.assert_allclose(100 * found, golden["tpr_nearest"], atol=1e-9)
    assert (metrics.tar_at_far(golden["score"], golden["label"], far) <= found).all()
