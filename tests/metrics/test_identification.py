"""Identification against loops over its definitions, and the laws that every search obeys."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limen.metrics import identification, mean_average_precision, open_set, rank_rates, scores, search

FPIR = [0.0, 0.1, 0.3, 1.0]
RANKS = [1, 2, 5, 1000]


def unit(features):
    return features / np.linalg.norm(features, axis=1, keepdims=True)


def case(seed, probes=40, gallery=30, people=12, strangers=8, coarse=False, failed=0.0):
    """Probes and gallery entries around a centre a person; `coarse` makes many ties; some rows failed."""
    random = np.random.default_rng(seed)
    centres = random.normal(size=(people + strangers, 6))
    gallery_id = np.r_[np.arange(people), random.integers(people, size=gallery - people)]
    probe_id = np.r_[0, people, random.integers(people + strangers, size=probes - 2)]
    probe, entries = (unit(centres[ids] + 0.8 * random.normal(size=(len(ids), 6))) for ids in (probe_id, gallery_id))
    if coarse:
        probe, entries = (np.round(features) + (np.abs(features) < 0.5).all(1, keepdims=True) for features in (probe, entries))
    for features in (probe, entries):
        features[random.random(len(features)) < failed] = np.nan
    return probe, probe_id, entries, gallery_id


cases = st.builds(case, seed=st.integers(0, 2**31), coarse=st.booleans(), failed=st.sampled_from([0.0, 0.3]))


def naive(probe, probe_id, gallery, gallery_id):
    """Of each probe: mated, mate, other, rank and average precision, by loops over plain numbers."""
    for vector, person in zip(probe, probe_id, strict=True):
        scored = [
            (float(vector @ entry), owner == person)
            for entry, owner in zip(gallery, gallery_id, strict=True)
            if np.isfinite(vector).all() and np.isfinite(entry).all()
        ]
        mates, others = ([s for s, mine in scored if mine == kind] for kind in (True, False))
        mate, other = max(mates, default=-np.inf), max(others, default=-np.inf)
        rank = sum(s >= mate for s in others) if mates else np.inf
        total, reached = int((gallery_id == person).sum()), 0.0
        for number, s in enumerate(sorted(mates, reverse=True), 1):
            reached += number / (number + sum(o >= s for o in others))
        yield total > 0, mate, other, rank, reached / total if total else np.nan


@settings(max_examples=60, deadline=None)
@given(arrays=cases)
def test_everything_equals_the_loops(arrays):
    mated, mate, other, rank, precision = (np.array(values) for values in zip(*naive(*arrays), strict=True))
    found = search(*arrays)
    np.testing.assert_array_equal(found.mated, mated)
    np.testing.assert_allclose(found.mate, mate, atol=1e-12)
    np.testing.assert_allclose(found.other, other, atol=1e-12)
    np.testing.assert_array_equal(rank_rates(*arrays, RANKS), [(rank[mated] < k).mean() for k in RANKS])
    np.testing.assert_allclose(found.average_precision, precision, atol=1e-12)
    assert mean_average_precision(*arrays) == pytest.approx(np.nanmean(precision))

    opened, failures = open_set(*arrays, FPIR), int(np.isneginf(other[~mated]).sum())
    mate, other = np.where(rank == 0, found.mate, -np.inf)[mated], found.other[~mated]  # equal to the loops' but for rounding
    for k, rate in enumerate(FPIR):
        usable = [t for t in np.r_[other, np.inf] if np.isfinite(t) or t > 0]
        within = [t for t in usable if (other >= t).mean() <= rate]
        lowest = opened.thresholds[k]
        assert opened.fpir[k] == ((other >= lowest).sum() - failures * np.isneginf(lowest)) / len(other) <= rate
        assert opened.tpir[k] == ((mate >= lowest) & np.isfinite(mate)).mean() >= max((mate >= t).mean() for t in within)
        assert opened.false_positives[k] == round(opened.fpir[k] * opened.non_mated)
    assert opened.resolved.tolist() == [rate * opened.non_mated >= 1 for rate in FPIR]


@pytest.mark.parametrize("block", [1, 70, 10**6])
def test_blocks_of_any_size_give_the_same(monkeypatch, block):
    arrays = case(3, failed=0.2)
    whole = search(*arrays)
    plain = scores.blocks_with_mates
    monkeypatch.setattr(identification, "blocks_with_mates", lambda *given: plain(*given, block=block))
    parts = search(*arrays)
    for name in ("mated", "rank"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))
    np.testing.assert_allclose(parts.mate, whole.mate, atol=1e-15)
    np.testing.assert_allclose(parts.average_precision, whole.average_precision, atol=1e-15)


def rates(arrays):
    return [
        *rank_rates(*arrays, RANKS),
        *open_set(*arrays, FPIR).tpir,
        *open_set(*arrays, FPIR, rank=3).tpir,
        mean_average_precision(*arrays),
    ]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), failed=st.sampled_from([0.0, 0.3]))
def test_order_names_and_scale_change_nothing(seed, failed):
    probe, probe_id, gallery, gallery_id = case(seed, failed=failed)
    plain, random = rates((probe, probe_id, gallery, gallery_id)), np.random.default_rng(seed)
    p, g, names = random.permutation(len(probe)), random.permutation(len(gallery)), random.permutation(100).astype(str)
    np.testing.assert_allclose(rates((probe[p], probe_id[p], gallery[g], gallery_id[g])), plain, atol=1e-12)
    np.testing.assert_allclose(rates((probe, names[probe_id], gallery, names[gallery_id])), plain, atol=1e-12)
    np.testing.assert_allclose(rates((probe, probe_id, 4 * gallery, gallery_id)), plain, atol=1e-12)
    twice = (np.concatenate([probe, probe]), np.r_[probe_id, probe_id], gallery, gallery_id)
    np.testing.assert_allclose(rates(twice), plain, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), coarse=st.booleans())
def test_a_distractor_never_raises_a_rate(seed, coarse):
    probe, probe_id, gallery, gallery_id = case(seed, coarse=coarse)
    distractors = unit(np.random.default_rng(seed).normal(size=(5, 6)))
    more = probe, probe_id, np.concatenate([gallery, distractors]), np.r_[gallery_id, np.full(5, 999)]
    assert (np.array(rates(more)) <= np.array(rates((probe, probe_id, gallery, gallery_id))) + 1e-12).all()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), which=st.integers(0, 39))
def test_a_failed_mated_probe_never_raises_a_rate(seed, which):
    arrays = probe, probe_id, gallery, gallery_id = case(seed)
    if not np.isin(probe_id[which], gallery_id):
        return
    failed = probe.copy()
    failed[which] = np.nan
    assert (np.array(rates((failed, probe_id, gallery, gallery_id))) <= np.array(rates(arrays)) + 1e-12).all()


def test_who_says_the_same_of_everybody_finds_nobody():
    probe, probe_id, gallery, gallery_id = case(0)
    same = np.ones_like(probe), probe_id, np.ones_like(gallery), gallery_id
    assert not any(rank_rates(*same, [1, 5]))
    assert not any(open_set(*same, [0.0, 0.1, 0.9]).tpir)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), failed=st.sampled_from([0.0, 0.3]))
def test_insightface_thresholds_are_scores_of_other_people(seed, failed):
    probe, probe_id, gallery, gallery_id = case(seed, failed=failed)
    every = np.nan_to_num(probe @ gallery.T, nan=-np.inf)
    mates = probe_id[:, None] == gallery_id
    false = np.sort(np.where(mates, -np.inf, every), axis=None)[::-1]
    found = open_set(probe, probe_id, gallery, gallery_id, [0.02, 0.5], lookup="insightface")
    np.testing.assert_allclose(found.thresholds, [false[0], false[19]], atol=1e-12)
    mate = np.where(mates, every, -np.inf).max(1)
    np.testing.assert_array_equal(found.tpir, [(mate > t).mean() for t in found.thresholds])


def test_intervals_over_people_hold_the_rates():
    arrays = case(1, probes=600, people=80, gallery=90, strangers=60)
    found = search(*arrays)
    interval = found.rank_interval([1, 5], replicates=200)
    np.testing.assert_allclose(interval.value, found.rank_rates([1, 5]), atol=1e-12)
    assert (interval.low < interval.value).all()
    assert (interval.value < interval.high).all()
    opened, plain = found.open_set_interval([0.1, 0.3], replicates=200), found.open_set([0.1, 0.3])
    np.testing.assert_allclose(opened.value, plain.tpir, atol=1e-12)
    thresholds = found.open_set_thresholds([0.1, 0.3])
    np.testing.assert_array_equal(thresholds.threshold, plain.thresholds)
    assert (thresholds.low < plain.thresholds).all()
    assert (plain.thresholds < thresholds.high).all()


@pytest.mark.parametrize(
    "function", [lambda *arrays: rank_rates(*arrays, [1]), lambda *arrays: open_set(*arrays, [0.1]), mean_average_precision]
)
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p, i, g, j: (p, i, g[:0], j[:0]), "gallery: an .* not empty"),
        (lambda p, i, g, j: (p[:0], i[:0], g, j), "probe: an .* not empty"),
        (lambda p, i, g, j: (p, i[1:], g, j), "ids of 40 and 30 rows"),
        (lambda p, i, g, j: (p, i.astype(str), g, j), "names on one side and numbers"),
        (lambda p, i, g, j: (p * (i > 3)[:, None], i, g, j), "rows are zero; a failure to acquire is a row of NaN"),
        (lambda p, i, g, j: (p[:, 1:], i, g, j), "cannot be compared"),
        (lambda p, i, g, j: (p, i + 100, g, j), "none of|0 of 40 are mated"),
    ],
)
def test_unusable_input_is_named(function, change, message):
    with pytest.raises(ValueError, match=message):
        function(*change(*case(0)))


def test_unusable_settings_are_named():
    arrays = case(0)
    with pytest.raises(ValueError, match="whole numbers from 1"):
        rank_rates(*arrays, [0])
    with pytest.raises(ValueError, match='"conservative" or "insightface"'):
        open_set(*arrays, [0.1], lookup="nearest")
    known = arrays[1] < 12
    with pytest.raises(ValueError, match="mated and non-mated probes"):
        open_set(arrays[0][known], arrays[1][known], *arrays[2:], [0.1])
