"""Error versus discard against CR-FIQA's own curve and a reference EDC on the same inputs."""

from pathlib import Path

import numpy as np
import pytest

from limen.metrics import error_vs_discard

GOLDEN = np.load(Path(__file__).resolve().parents[1] / "golden" / "fiqa_continuous.npz")
SAME = GOLDEN["same"]
QUALITY = np.minimum(GOLDEN["quality"][0::2], GOLDEN["quality"][1::2])


def distance():
    unit = GOLDEN["feat"].astype(float)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    return np.arccos(np.clip((unit[0::2] * unit[1::2]).sum(1), -1, 1)) / np.pi


@pytest.mark.parametrize(("text", "fmr"), [("1e2", 1e-2), ("1e3", 1e-3), ("1e4", 1e-4)])
def test_per_step_equals_the_papers_curve(text, fmr):
    found = error_vs_discard(-distance(), SAME, QUALITY, fmr, threshold="per_step")
    np.testing.assert_allclose(found.fnmr, GOLDEN[f"out_fnmr_{text}_desc"], atol=1e-12)
    assert found.partial_auc(0.95) == pytest.approx(float(GOLDEN[f"out_auc_fnmr_{text}_desc"]), abs=1e-12)


@pytest.mark.parametrize(("text", "threshold"), [("1e2", 0), ("1e3", 1)])
def test_a_fixed_threshold_equals_the_reference_curve(text, threshold):
    """The reference takes the nearest FMR where ours is not exceeded, so it is given the reference's decisions and must find its curve."""
    accepted = distance() < GOLDEN["out_thr_full_1e2_1e3_1e4"][threshold]
    found = error_vs_discard(np.where(SAME, accepted, 0.0), SAME, QUALITY, 0.5)
    np.testing.assert_allclose(found.discard, GOLDEN[f"out_edc_discard_{text}"][:-1], atol=1e-12)  # the last of theirs is an empty set
    np.testing.assert_allclose(found.fnmr, GOLDEN[f"out_edc_fnmr_{text}"][:-1], atol=1e-12)
    areas = [found.partial_auc(limit) for limit in (0.2, 0.3, 0.95, 1.0)]
    np.testing.assert_allclose(areas, GOLDEN[f"out_edc_pauc_.2_.3_.95_1_{text}"], atol=1e-12)
