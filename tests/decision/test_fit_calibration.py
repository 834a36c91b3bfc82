"""A calibration equals its definitions on what it was fitted to, and finds a known error rate again."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest

from limen.decision.fit_calibration import fit_calibration
from limen.errors import LimenError
from limen.quality import Calibration


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
    subject = np.r_[np.arange(pairs), np.arange(pairs) + np.where(mated, 0, pairs)]  # a person for each mated pair
    return {"quality": quality, "subject": subject, "first": first, "second": second, "cosine": cosine, "mated": mated}, worse


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
    groups = np.array_split(np.sort(worse[data["mated"]]), min(2000 // 30, found.false_non_matches // 5))
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


@pytest.mark.parametrize("unit", [1, np.float32(0.1), np.float32(1e-7 / 3)])
def test_equal_scores_share_their_place(unit):
    data, _ = simulated()
    data["quality"] = np.round(data["quality"] * 2) * unit  # a quarter 0, half 1, a quarter 2
    found = fit_calibration("quality", "set", **data, fmr=0.01)
    np.testing.assert_allclose(found.percentile(np.array([0, unit, 2 * unit])), [12.5, 50, 87.5], atol=1)


def covered(rejection, times=100, pairs=3000, people=None):
    """How often the interval holds the true rate, at five qualities, over simulations; and the calibrations."""
    asked = np.array([0.05, 0.2, 0.4, 0.6, 0.8])
    found, held = [], []
    for seed in range(times):
        data, _ = simulated(2 * pairs, seed, rejection)
        if people is not None:  # all pairs of a person are rejected or none, as its pairs of the same quality would be
            person = np.random.default_rng(seed).integers(people, size=2 * pairs)
            refused = np.random.default_rng((seed, 1)).random(people) < rejection(0.5)
            data["cosine"] = np.where(data["mated"], np.where(refused[person], -0.1, 0.1), data["cosine"])
            data["subject"] = np.r_[person, person + people * ~data["mated"]]
        found.append(fit_calibration("quality", "set", **data, fmr=20 / pairs))
        low, high = found[-1].fnmr_interval(asked)
        held.append((low <= rejection(asked)) & (rejection(asked) <= high))
    return np.mean(held, 0), found


def test_the_interval_holds_the_true_rate():
    """A quality that says nothing and few errors: the fit alone would call the worst images bad and the best ones faultless."""
    held, found = covered(lambda quality: 0.012 + 0 * quality)
    assert held.min() > 0.9
    assert np.mean([calibration.may_be_constant for calibration in found]) > 0.9
    held, found = covered(lambda quality: 0.3 * np.exp(-3 * quality), times=30)
    assert held.min() > 0.8
    assert not any(calibration.may_be_constant for calibration in found)


def test_the_interval_knows_that_pairs_of_a_person_fail_together():
    held, _ = covered(lambda quality: 0.1 + 0 * quality, times=40, people=300)
    assert held.min() > 0.85


def test_beyond_the_reference_one_end_is_unknown():
    found = fit_calibration("quality", "set", **simulated()[0], fmr=0.01)
    low, high = found.fnmr_interval(np.array([-0.1, 0.001, 0.999, 1.1]))
    assert high[0] == 1
    assert (high[1:] < 1).all()
    assert low[0] == low[1] > 0
    assert low[3] == 0


def test_failures_to_acquire_are_left_out():
    data, _ = simulated()
    of_pairs = {name: data[name][:-100] for name in ("first", "second", "cosine", "mated")}
    kept = fit_calibration("quality", "set", **data | of_pairs, fmr=0.01)
    data["quality"][data["first"][-50:]] = np.repeat([np.nan, np.inf], 25)
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
        {"fnmr_high": (0.5, 0.6)},
        {"fnmr_low": (0.1,)},
        {"knots": (2.0, 1.0)},
        {"knots": (), "fnmr": ()},
        {"threshold": float("nan")},
    ],
)
def test_a_calibration_that_cannot_be_is_refused(change):
    good = Calibration("quality", "set", 9, (0.0,) * 1001, 0.01, 0.3, 5, 5, 1, 0, (1.0, 2.0), (0.5, 0.1), (0.4, 0.0), (0.7, 0.2))
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
