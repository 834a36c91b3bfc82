"""The augmentations equal their naive formulas, come with the stated probabilities, and leave their input alone."""

import cv2
import numpy as np
import pytest

from limen.data.augmentation import AUGMENTATIONS, create_augmentation, on_cpu
from limen.data.augmentation.changes import OPERATIONS, Changes, draw_adaface, draw_photometric, draw_rectangle, draw_reduction
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


def test_each_adaface_operation_comes_with_probability_one_fifth():
    rng, draws = np.random.default_rng(1), 4000
    drawn = [draw_adaface(112, 112, rng) for _ in range(draws)]
    for field in ("kept", "reduced", "photometric"):
        assert abs(sum(bool(getattr(changes, field)) for changes in drawn) / draws - 0.2) < 0.025


def test_changes_come_in_the_stated_order(image):
    rng = np.random.default_rng(4)
    rectangle, reduction, factors = draw_rectangle(112, 112, rng), draw_reduction(112, 112, rng), draw_photometric(rng)
    one_by_one = image
    for changes in (Changes(mirrored=True), Changes(kept=rectangle), Changes(reduced=reduction), Changes(photometric=factors)):
        one_by_one = on_cpu.apply(one_by_one, changes)
    np.testing.assert_array_equal(on_cpu.apply(image, Changes(True, rectangle, reduction, factors)), one_by_one)
    for operation, factor in factors:
        image = on_cpu.OPERATIONS[operation](image, factor)
    assert sorted(OPERATIONS[operation] for operation, _ in factors) == sorted(OPERATIONS)
    assert [operation.__name__ for operation in on_cpu.OPERATIONS] == list(OPERATIONS)


def test_crop_keeps_a_rectangle_in_place_on_black(image):
    image = np.maximum(image, 1)
    rng, areas, ratios = np.random.default_rng(2), [], []
    for _ in range(500):
        cropped = on_cpu.apply(image, Changes(kept=draw_rectangle(112, 112, rng)))
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
    views = np.stack([on_cpu.apply(image, Changes(reduced=draw_reduction(112, 112, rng))) for _ in range(200)]).astype(float)
    assert views.mean() == pytest.approx(image.mean(), abs=1)
    assert np.median(views.std((1, 2, 3))) < image.std()


@pytest.mark.parametrize("factor", [0.5, 0.9, 1.0, 1.3, 1.5])
def test_photometric_operations_equal_their_formulas(image, factor):
    real = image.astype(float)
    naive = {
        on_cpu.brightness: factor * real,
        on_cpu.contrast: factor * real + (1 - factor) * luma(real).mean(),
        on_cpu.saturation: factor * real + (1 - factor) * luma(real)[..., None],
    }
    for operation, expected in naive.items():
        assert np.abs(operation(image, factor) - expected.clip(0, 255)).max() <= 1


def test_resizing_is_opencv_s_within_one_level_and_leaves_its_settings(image):
    asks = cv2.ipp.useIPP()
    for interpolation in on_cpu.INTERPOLATIONS:
        for side in (22, 67, 200):
            wanted = cv2.resize(image, (side, side), interpolation=interpolation)
            assert np.abs(on_cpu.resize(image, side, side, interpolation) - wanted.astype(int)).max() <= 1
    assert cv2.ipp.useIPP() == asks


def test_misspelt_name_is_told_the_nearest():
    with pytest.raises(LimenError, match=r"'AdaFce'.*'adaface'"):
        create_augmentation("AdaFce")
