"""Error versus discard against naive loops, and its bootstrap against repeated pairs."""

import numpy as np
import pytest

from limen.metrics import (
    bootstrap_interval,
    error_vs_discard,
    false_match_vs_discard,
    subject_weights,
    tar_at_far,
    weighted_discard_areas,
)

LIMITS = (0.2, 0.3, 0.95)


def pairs(seed=0, count=400, decimals=9, quality_decimals=9):
    random = np.random.default_rng(seed)
    mated, quality = random.random(count) < 0.5, random.random(count)
    score = random.normal(np.where(mated, 0.2 + 0.3 * quality, 0.1), 0.15)
    return np.round(score, decimals), mated, np.round(quality, quality_decimals)


def naive_fixed(score, mated, quality, fmr):
    """(threshold, [(discard, fnmr, left)]) by trying every threshold and every quality."""
    candidates = [*np.unique(score), np.nextafter(score.max(), np.inf)]
    threshold = min(t for t in candidates if np.mean(score[~mated] >= t) <= fmr)
    genuine, q = score[mated], quality[mated]
    points = []
    for least in np.unique(q):
        kept = genuine[q >= least]
        points.append((np.mean(q < least), np.mean(kept < threshold), len(kept)))
    return threshold, np.array(points)


def naive_area(points, limit):
    """The staircase summed over 20,000 thin slices' middles."""
    middles = (np.arange(20_000) + 0.5) / 20_000 * limit
    return limit * np.mean([points[np.flatnonzero(points[:, 0] <= middle)[-1], 1] for middle in middles])


@pytest.mark.parametrize(("decimals", "quality_decimals"), [(9, 9), (1, 9), (9, 1), (1, 1)])
@pytest.mark.parametrize("fmr", [0.0, 0.01, 0.1, 0.5])
def test_fixed_equals_the_naive_loop(decimals, quality_decimals, fmr):
    score, mated, quality = pairs(decimals=decimals, quality_decimals=quality_decimals)
    found = error_vs_discard(score, mated, quality, fmr)
    threshold, points = naive_fixed(score, mated, quality, fmr)
    np.testing.assert_array_equal(score >= found.threshold, score >= threshold)
    np.testing.assert_allclose(np.stack([found.discard, found.fnmr, found.left], axis=1), points, atol=1e-12)
    assert found.events == (score[~mated] >= threshold).sum()
    assert found.fnmr[0] == pytest.approx(1 - tar_at_far(score, mated, [fmr])[0])
    for limit in LIMITS:
        assert found.partial_auc(limit) == pytest.approx(naive_area(points, limit), abs=1e-4)
        assert found.partial_auc(limit, normalised=True) == pytest.approx(found.partial_auc(limit) / limit / found.fnmr[0])


def naive_per_step(score, mated, quality, fmr):
    order = sorted(range(len(score)), key=lambda i: quality[i])
    rows = []
    for step in range(20):
        kept = order[len(order) * step // 20 :]
        genuine, impostor = [score[i] for i in kept if mated[i]], [score[i] for i in kept if not mated[i]]
        best = min(sorted(genuine + impostor), key=lambda t: abs(np.mean(np.array(impostor) >= t) - fmr))  # the first: the lowest
        rows.append((np.mean(np.array(genuine) <= best), len(genuine)))
    return np.array(rows)


@pytest.mark.parametrize("decimals", [1, 9])
@pytest.mark.parametrize("fmr", [0.01, 0.1])
def test_per_step_equals_the_naive_loop(decimals, fmr):
    score, mated, quality = pairs(decimals=decimals)
    found = error_vs_discard(score, mated, quality, fmr, threshold="per_step")
    expected = naive_per_step(score, mated, quality, fmr)
    np.testing.assert_allclose(found.fnmr, expected[:, 0], atol=1e-12)
    np.testing.assert_array_equal(found.left, expected[:, 1])
    np.testing.assert_allclose(found.discard, np.arange(0, 1, 0.05), atol=1e-12)
    assert found.partial_auc(0.95) == pytest.approx(np.mean(found.fnmr[1:] + found.fnmr[:-1]) / 2 * 0.95)
    assert found.partial_auc(0.2) == pytest.approx(np.mean(found.fnmr[1:5] + found.fnmr[:4]) / 2 * 0.2)
    half = (found.fnmr[2] + found.fnmr[3]) / 2  # at 0.125, between two steps
    expected = 0.05 * (found.fnmr[0] / 2 + found.fnmr[1] + found.fnmr[2] / 2) + 0.025 * (found.fnmr[2] + half) / 2
    assert found.partial_auc(0.125) == pytest.approx(expected)


@pytest.mark.parametrize("decimals", [1, 9])
def test_false_matches_equal_the_naive_loop(decimals):
    score, mated, quality = pairs(quality_decimals=decimals)
    found = false_match_vs_discard(score, mated, quality, 0.1)
    impostor, q = score[~mated], quality[~mated]
    rows = [(np.mean(q < least), np.mean(impostor[q >= least] >= found.threshold), (q >= least).sum()) for least in np.unique(q)]
    np.testing.assert_allclose(np.stack([found.discard, found.error, found.left], axis=1), rows, atol=1e-12)
    assert found.error[0] <= 0.1
    assert found.threshold == error_vs_discard(score, mated, quality, 0.1).threshold


def test_a_quality_that_knows_the_errors_discards_them_first():
    score, mated, _ = pairs()
    found = error_vs_discard(score, mated, score, 0.01)
    wrong = found.fnmr[0]
    assert found.fnmr[found.discard >= wrong].max() == 0
    worst = error_vs_discard(score, mated, -score, 0.01)
    chance = error_vs_discard(score, mated, np.random.default_rng(0).random(len(score)), 0.01)
    for limit in LIMITS:
        assert found.partial_auc(limit) < chance.partial_auc(limit) < worst.partial_auc(limit)
    assert chance.partial_auc(0.95, normalised=True) == pytest.approx(1, abs=0.1)


def test_pairs_of_one_quality_go_together():
    score, mated, _ = pairs()
    found = error_vs_discard(score, mated, np.zeros(len(score)), 0.01)
    np.testing.assert_array_equal(found.discard, [0])
    assert found.partial_auc(0.2, normalised=True) == pytest.approx(1)


def test_an_fmr_below_one_impostor_rests_on_no_event():
    score, mated, quality = pairs()
    found = error_vs_discard(score, mated, quality, 1e-6)
    assert found.events == 0
    assert found.threshold == np.nextafter(score[~mated].max(), np.inf)


def test_a_whole_number_of_impostors_is_allowed_whatever_the_product_rounds_to():
    for count in range(1, 400):
        for allowed in range(count):
            if (fmr := allowed / count) * count == allowed:
                continue
            score = np.append(np.arange(count, dtype=float), 0.5)
            found = error_vs_discard(score, np.arange(count + 1) == count, np.zeros(count + 1), fmr)
            assert found.events == allowed


def test_single_precision_scores_keep_their_order():
    score, mated, quality = pairs()
    score = score.astype(np.float32)
    found = error_vs_discard(score, mated, quality, 0.1)
    assert (score[~mated] >= found.threshold).sum() == found.events == int(0.1 * (~mated).sum())


def test_no_error_at_all_has_no_normalised_area():
    score = np.r_[np.ones(10), np.zeros(10)]
    found = error_vs_discard(score, score > 0, np.arange(20), 0.1)
    assert found.partial_auc(0.2) == 0
    assert np.isnan(found.partial_auc(0.2, normalised=True))


@pytest.mark.parametrize(("decimals", "quality_decimals"), [(9, 9), (1, 1)])
def test_weights_equal_repeating_the_pairs(decimals, quality_decimals):
    score, mated, quality = pairs(decimals=decimals, quality_decimals=quality_decimals)
    random = np.random.default_rng(1)
    first = random.integers(40, size=len(score))
    second = np.where(mated, first, (first + random.integers(1, 40, size=len(score))) % 40)
    other = np.round(random.random(len(score)), quality_decimals)
    rates = (0.02, 0.1)
    statistic = weighted_discard_areas(score, mated, np.stack([quality, other]), rates, LIMITS)
    for weight in [np.ones(len(score)), *subject_weights(first, second, replicates=5)]:
        repeated = np.repeat(np.arange(len(score)), weight.astype(int))
        curves = [error_vs_discard(score[repeated], mated[repeated], q[repeated], fmr) for q in (quality, other) for fmr in rates]
        expected = [[[curve.partial_auc(limit, n) for limit in LIMITS] for n in (False, True)] for curve in curves]
        np.testing.assert_allclose(statistic(weight), np.ravel(expected), atol=1e-12)


def test_a_replicate_without_mated_or_without_impostor_pairs_is_nan():
    score, mated, quality = pairs()
    statistic = weighted_discard_areas(score, mated, quality, [0.1], [0.2])
    assert np.isnan(statistic(mated.astype(float))).all()
    assert np.isnan(statistic((~mated).astype(float))).all()


def test_paired_qualities_are_told_apart_where_single_intervals_overlap():
    """Two qualities that rank the same pairs: the difference is known better than either area."""
    random = np.random.default_rng(0)
    count = 2000
    mated, quality = np.arange(count) % 2 == 0, random.random(count)
    score = random.normal(np.where(mated, 0.2 + 0.3 * quality, 0.1), 0.15)
    subject = np.arange(count)
    poorer = quality + random.normal(0, 0.1, count)
    statistic = weighted_discard_areas(score, mated, np.stack([quality, poorer]), [0.05], [0.3])
    found = bootstrap_interval(statistic, subject, np.where(mated, subject, (subject + 1) % count), replicates=200)
    raw = found.replicates.reshape(-1, 2, 2)[:, :, 0]
    assert (raw[:, 0] - raw[:, 1]).std() < 0.5 * raw[:, 0].std()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"score": np.r_[np.nan, np.zeros(9)]}, "1 of 10 scores are NaN"),
        ({"quality": np.r_[np.nan, np.nan, np.zeros(8)]}, "2 of 10 qualities are NaN"),
        ({"quality": np.zeros(9)}, "one length"),
        ({"mated": np.ones(10, bool)}, "10 of 10 are mated"),
        ({"fmr": 1.0}, "fmr=1"),
        ({"threshold": "fixd"}, "fixd"),
    ],
)
def test_wrong_arguments_are_named(change, message):
    arguments = {"score": np.zeros(10), "mated": np.arange(10) < 5, "quality": np.zeros(10), "fmr": 0.1} | change
    with pytest.raises(ValueError, match=message):
        error_vs_discard(**arguments)


@pytest.mark.parametrize(("threshold", "limit"), [("fixed", 0), ("fixed", 1.1), ("per_step", 0.96)])
def test_a_limit_beyond_the_curve_is_refused(threshold, limit):
    with pytest.raises(ValueError, match="limit"):
        error_vs_discard(*pairs(), 0.1, threshold).partial_auc(limit)
