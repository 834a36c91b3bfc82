"""A calibration equals its definitions on what it was fitted to, and finds a known error rate again."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from limen.errors import LimenError
from limen.quality import Calibration
from limen.quality.fit import fit_calibration


def simulated(pairs=4000, seed=0, rejection=lambda quality: 0.6 * (1 - quality)):
    """Images of known quality: a mated pair of quality q is below the threshold, 0, with the probability rejection(q)."""
    generator = np.random.default_rng(seed)
    quality = generator.random(2 * pairs)
    first, second = np.arange(pairs), np.arange(pairs, 2 * pairs)
    mated = np.arange(pairs) % 2 == 0
    worse = np.minimum(quality[first], quality[second])
    rejected = generator.random(pairs) < rejection(worse)
    cosine = np.where(mated, np.where(rejected, -0.1, 0.1) + 0.05 * generator.random(pairs), -generator.random(pairs) / 2 - 0.2)
    cosine[np.flatnonzero(~mated)[:21]] = np.linspace(0.0, 0.02, 21)  # so that 20 may be accepted from somewhere above 0 alone
    return {"quality": quality, "first": first, "second": second, "cosine": cosine, "mated": mated}, worse


def test_the_threshold_is_the_lowest_that_keeps_the_fmr():
    data, _ = simulated()
    for fmr in (0.01, 0.005, 0.0005):
        found = fit_calibration("quality", "set", **data, fmr=fmr)
        non_mated = data["cosine"][~data["mated"]]
        assert (non_mated >= found.threshold).mean() <= fmr
        lower = np.unique(data["cosine"])
        lower = lower[np.searchsorted(lower, found.threshold) - 1]
        assert (non_mated >= lower).mean() > fmr
        assert found.false_non_matches > 100
        assert found.false_matches == (non_mated >= found.threshold).sum()
        assert found.false_non_matches == (data["cosine"][data["mated"]] < found.threshold).sum()
        assert (found.mated, found.non_mated, found.images, found.fmr) == (2000, 2000, 8000, fmr)


def test_the_expected_error_falls_and_its_mean_is_the_error_met():
    """Isotonic regression keeps the mean: of groups of equal size, exactly."""
    data, worse = simulated()
    found = fit_calibration("quality", "set", **data, fmr=0.01)
    grid = found.expected_fnmr(np.linspace(-1, 2, 200))
    assert (np.diff(grid) <= 0).all()
    groups = np.array_split(np.sort(worse[data["mated"]]), 2000 // 30)
    means = np.array([group.mean() for group in groups])
    sizes = np.array([len(group) for group in groups])
    assert found.expected_fnmr(means) @ sizes / 2000 == pytest.approx(found.false_non_matches / 2000, abs=1e-4)


def test_a_known_error_is_found_again():
    rejection = lambda quality: 0.5 * np.exp(-3 * quality)  # noqa: E731
    data, _ = simulated(60000, rejection=rejection)
    found = fit_calibration("quality", "set", **data, fmr=20 / 30000)
    quality = np.linspace(0.05, 0.9, 50)
    np.testing.assert_allclose(found.expected_fnmr(quality), rejection(quality), atol=0.05)


def test_the_percentile_is_the_share_of_lower_scores():
    data, _ = simulated()
    found = fit_calibration("quality", "set", **data, fmr=0.01)
    quality = np.linspace(0, 1, 37)
    np.testing.assert_allclose(found.percentile(quality), [100 * (data["quality"] < q).mean() for q in quality], atol=0.15)
    assert found.percentile([-1, 2]).tolist() == [0, 100]


def test_equal_scores_share_their_place():
    data, _ = simulated()
    data["quality"] = np.round(data["quality"] * 2)  # a quarter 0, half 1, a quarter 2
    np.testing.assert_allclose(fit_calibration("quality", "set", **data, fmr=0.01).percentile([0, 1, 2]), [12.5, 50, 87.5], atol=1)


def test_failures_to_acquire_are_left_out():
    data, _ = simulated()
    kept = fit_calibration("quality", "set", **{name: v if name == "quality" else v[:-100] for name, v in data.items()}, fmr=0.01)
    data["quality"][data["first"][-50:]] = np.nan
    data["cosine"][-100:-50] = np.nan
    found = fit_calibration("quality", "set", **data, fmr=0.01)
    assert found.images == 8000 - 50
    assert (found.knots, found.fnmr, found.threshold) == (kept.knots, kept.fnmr, kept.threshold)


def test_json_brings_it_back():
    found = fit_calibration("quality", "set", **simulated()[0], fmr=0.01)
    text = json.dumps(asdict(found))
    assert Calibration.from_json(json.loads(text)) == found
    assert len(text) < 20_000


@pytest.mark.parametrize(
    "change",
    [
        {"quantiles": (1.0, 2.0)},
        {"fnmr": (0.5,)},
        {"fnmr": (0.5, 0.6)},
        {"knots": (2.0, 1.0)},
        {"knots": (), "fnmr": ()},
        {"threshold": float("nan")},
    ],
)
def test_a_calibration_that_cannot_be_is_refused(change):
    good = Calibration("quality", "set", 9, (0.0,) * 1001, 0.01, 0.3, 5, 5, 1, 0, (1.0, 2.0), (0.5, 0.1))
    with pytest.raises(ValueError):
        replace(good, **change)


def test_too_few_pairs_are_refused_with_the_number_needed():
    data, _ = simulated(200)
    with pytest.raises(LimenError, match=r"set: an FMR of 0\.001 needs 1000 non-mated pairs and there are 100; use more"):
        fit_calibration("quality", "set", **data, fmr=0.001)
    for fmr in (0, 1, -1):
        with pytest.raises(LimenError, match="between 0 and 1"):
            fit_calibration("quality", "set", **data, fmr=fmr)
    with pytest.raises(LimenError, match="no mated pair"):
        fit_calibration("quality", "set", **data | {"mated": np.zeros(200, bool)}, fmr=0.1)
    data["cosine"][:] = 0.5
    with pytest.raises(LimenError, match="share the highest similarity"):
        fit_calibration("quality", "set", **data, fmr=0.1)
