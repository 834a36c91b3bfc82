"""The augmentations equal their naive formulas, come with the stated probabilities, and leave their input alone."""

import cv2
import numpy as np
import pytest

from limen.data import augment
from limen.data.augment import AUGMENTATIONS, create_augmentation
from limen.errors import LimenError


@pytest.fixture
def image() -> np.ndarray:
    return cv2.GaussianBlur(np.random.default_rng(0).integers(0, 256, (112, 112, 3), dtype=np.uint8), (0, 0), 1.5)


def luma(image):
    return image @ np.array([0.2989, 0.587, 0.114])


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_same_state_same_bytes_and_input_untouched(name, image):
    image.flags.writeable = False
    operation = create_augmentation(name)
    for seed in range(30):
        first, second = (operation(image, np.random.default_rng(seed)) for _ in range(2))
        assert first.dtype == np.uint8
        assert first.shape == image.shape
        np.testing.assert_array_equal(first, second)


def test_only_adaface_changes_more_than_the_side(image):
    rng = np.random.default_rng(0)
    assert create_augmentation("none")(image, rng) is image
    mirrored = [not np.array_equal(create_augmentation("flip")(image, rng), image) for _ in range(1000)]
    assert 0.45 < np.mean(mirrored) < 0.55
    views = [create_augmentation("adaface")(image, rng) for _ in range(1000)]
    plain = np.mean([any(np.array_equal(view, side) for side in (image, image[:, ::-1])) for view in views])
    assert abs(plain - 0.8**3) < 0.05


def test_each_adaface_operation_comes_with_probability_one_fifth_in_the_stated_order(monkeypatch, image):
    calls: list[str] = []
    for name in ("crop", "low_resolution", "photometric"):
        monkeypatch.setattr(augment, name, lambda image, rng, name=name: calls.append(name) or image)
    rng, draws = np.random.default_rng(1), 4000
    for _ in range(draws):
        before = len(calls)
        augment.adaface(image, rng)
        assert calls[before:] == sorted(calls[before:])
    for name in ("crop", "low_resolution", "photometric"):
        assert abs(calls.count(name) / draws - 0.2) < 0.025


def test_crop_keeps_a_rectangle_in_place_on_black(image):
    image = np.maximum(image, 1)
    rng, areas, ratios = np.random.default_rng(2), [], []
    for _ in range(500):
        cropped = augment.crop(image, rng)
        rows, columns = np.flatnonzero(cropped.any((1, 2))), np.flatnonzero(cropped.any((0, 2)))
        naive = np.zeros_like(image)
        box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        naive[box] = image[box]
        np.testing.assert_array_equal(cropped, naive)
        areas.append(rows.size * columns.size / 112**2)
        ratios.append(columns.size / rows.size)
    assert 0.19 < min(areas) < 0.25
    assert max(areas) > 0.9
    assert 0.72 < min(ratios) < 0.8
    assert 1.25 < max(ratios) < 1.38


def test_low_resolution_loses_detail_but_not_the_mean(image):
    rng = np.random.default_rng(3)
    views = np.stack([augment.low_resolution(image, rng) for _ in range(200)]).astype(float)
    assert views.mean() == pytest.approx(image.mean(), abs=1)
    assert np.median(views.std((1, 2, 3))) < image.std()


@pytest.mark.parametrize("factor", [0.5, 0.9, 1.0, 1.3, 1.5])
def test_photometric_operations_equal_their_formulas(image, factor):
    real = image.astype(float)
    naive = {
        augment.brightness: factor * real,
        augment.contrast: factor * real + (1 - factor) * luma(real).mean(),
        augment.saturation: factor * real + (1 - factor) * luma(real)[..., None],
    }
    for operation, expected in naive.items():
        assert np.abs(operation(image, factor) - expected.clip(0, 255)).max() <= 1


def test_misspelt_name_is_told_the_nearest():
    with pytest.raises(LimenError, match=r"'AdaFce'.*'adaface'"):
        create_augmentation("AdaFce")
