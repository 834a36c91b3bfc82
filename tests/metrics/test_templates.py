"""Pooling equals the naive loop, and no quality, however low, makes a person disappear."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from limen.metrics import pool_templates, quality_weights

qualities = arrays(np.float64, st.integers(1, 30), elements=st.floats(-1e6, 1e6))


def naive(features, template, media, weight):
    rows = []
    for one in sorted(set(template.tolist())):
        total = np.zeros(features.shape[1])
        for medium in set(media[template == one].tolist()):
            member = (template == one) & (media == medium)
            total += (features[member] * weight[member, None]).mean(0)
        rows.append(total / np.linalg.norm(total))
    return np.array(rows)


@pytest.fixture
def images():
    """features, template, media, weight of 60 images; media numbers occur in several templates."""
    generator = np.random.default_rng(0)
    return generator.normal(size=(60, 5)), generator.integers(0, 9, 60) * 7, generator.integers(0, 4, 60), generator.random(60)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_equals_the_naive_loop(images, dtype):
    features, template, media, weight = images
    vectors, ids = pool_templates(features.astype(dtype), template, media, weight)
    np.testing.assert_array_equal(ids, np.unique(template))
    np.testing.assert_allclose(vectors, naive(features, template, media, weight), atol=1e-6 if dtype is np.float32 else 1e-12)
    assert vectors.dtype == dtype
    unweighted, _ = pool_templates(features, template, media)
    np.testing.assert_allclose(unweighted, naive(features, template, media, np.ones(60)), atol=1e-12)


def test_ids_may_be_names_and_the_order_of_images_does_not_matter(images):
    features, template, media, weight = images
    names = np.array([f"person {number:02d}" for number in template])
    shuffle = np.random.default_rng(1).permutation(60)
    vectors, ids = pool_templates(features[shuffle], names[shuffle], media[shuffle], weight[shuffle])
    np.testing.assert_array_equal(ids, np.unique(names))
    np.testing.assert_allclose(vectors, pool_templates(features, template, media, weight)[0], atol=1e-12)


def test_a_thousand_frames_of_a_video_weigh_as_much_as_a_photo():
    features = np.r_[np.tile([1.0, 0.0], (1000, 1)), [[0.0, 1.0]]]
    vectors, _ = pool_templates(features, np.zeros(1001, int), np.r_[np.zeros(1000, int), 1])
    np.testing.assert_allclose(vectors, [[0.5**0.5, 0.5**0.5]])


def test_failures_to_acquire_are_left_out(images):
    features, template, media, weight = images
    failed = np.arange(60) % 4 == 0
    with_failures = np.where(failed[:, None], np.nan, features)
    vectors, _ = pool_templates(with_failures, template, media, weight)
    np.testing.assert_allclose(vectors, pool_templates(*(array[~failed] for array in images))[0], atol=1e-12)


@pytest.mark.parametrize("emptied_by", ["weight", "failure", "cancelling"])
def test_a_template_of_nothing_is_nan_and_never_zero(images, emptied_by):
    features, template, media, weight = (array.copy() for array in images)
    features, template = np.r_[features, np.ones((2, 5))], np.r_[template, 1000, 1000]
    media, weight = np.r_[media, 0, 1], np.r_[weight, 1, 1]
    if emptied_by == "weight":
        weight[-2:] = 0
    else:
        features[-2:] = np.nan if emptied_by == "failure" else [[1.0], [-1.0]]
    vectors, ids = pool_templates(features, template, media, weight)
    assert ids[-1] == 1000
    assert np.isnan(vectors[-1]).all()
    np.testing.assert_allclose(np.linalg.norm(vectors[:-1], axis=1), 1, atol=1e-12)


def test_wrong_arrays_are_refused(images):
    features, template, media, weight = images
    with pytest.raises(ValueError, match="shapes"):
        pool_templates(features, template[:-1], media, weight)
    for bad in (-0.1, np.nan, np.inf):
        with pytest.raises(ValueError, match="weight"):
            pool_templates(features, template, media, np.r_[weight[:-1], bad])
    with pytest.raises(ValueError, match="quality"):
        quality_weights(np.array([1.0, np.nan]))


@settings(deadline=None)
@given(qualities)
def test_weights_are_the_share_of_images_that_are_not_better(quality):
    expected = [(1 + sum(other <= one for other in quality)) / (1 + len(quality)) for one in quality]
    np.testing.assert_allclose(quality_weights(quality), expected)


@settings(deadline=None)
@given(qualities, st.one_of(st.none(), qualities))
def test_a_better_image_never_weighs_less_and_none_weighs_nothing(quality, reference):
    weight = quality_weights(quality, reference)
    assert ((weight > 0) & (weight <= 1)).all()
    better = quality[:, None] > quality
    assert (weight[:, None] - weight)[better].min(initial=0) >= 0
    assert (weight[:, None] == weight)[quality[:, None] == quality].all()
    if reference is None:
        assert (weight[:, None] > weight)[better].all()


@settings(deadline=None)
@given(qualities)
def test_the_scale_of_the_measure_does_not_matter(quality):
    quality = quality.round(3)
    for increasing in (quality * 4 + 1e3, np.arctan(quality / 1e6), np.cbrt(quality)):
        np.testing.assert_array_equal(quality_weights(increasing), quality_weights(quality))


@settings(deadline=None)
@given(qualities, st.integers(0, 2**32 - 1))
def test_quality_weighted_templates_are_unit_vectors_however_bad_the_images(quality, seed):
    generator = np.random.default_rng(seed)
    template = generator.integers(0, 5, len(quality))
    features = generator.normal(size=(len(quality), 8)) + 4  # of one half-space: they cannot cancel out
    vectors, ids = pool_templates(features, template, np.arange(len(quality)), quality_weights(quality))
    assert len(vectors) == len(np.unique(template)) == len(ids)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-9)


@settings(deadline=None)
@given(st.integers(1, 20), st.floats(-1e6, 1e6))
def test_images_of_one_quality_give_the_plain_mean(count, quality):
    features = np.random.default_rng(count).normal(size=(count, 4))
    template, media = np.arange(count) % 3, np.arange(count)
    weighted, _ = pool_templates(features, template, media, quality_weights(np.full(count, quality)))
    np.testing.assert_allclose(weighted, pool_templates(features, template, media)[0], atol=1e-12)
