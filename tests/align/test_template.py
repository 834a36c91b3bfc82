"""The template and the warp onto it: equal to the textbook's formulas."""

import numpy as np
import pytest

from limen.align import SIZE, TEMPLATE, similarity, warp
from limen.errors import LimenError

RNG = np.random.default_rng(0)


def umeyama(points, target):
    """Umeyama 1991, equations 39 to 43, for rotations alone."""
    p, t = points - points.mean(0), target - target.mean(0)
    u, d, v = np.linalg.svd(t.T @ p / len(p))
    s = np.array([1, np.sign(np.linalg.det(u) * np.linalg.det(v))])
    rotation = u @ np.diag(s) @ v
    scale = (d * s).sum() / np.square(p).sum(1).mean()
    return np.c_[scale * rotation, target.mean(0) - scale * rotation @ points.mean(0)]


def turned(points, degrees, scale=1.0, shift=(0.0, 0.0)):
    angle = np.radians(degrees)
    rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return scale * points @ rotation.T + shift


@pytest.mark.parametrize("kind", ["near", "random", "mirrored"])
def test_similarity_equals_umeyama_without_mirroring(kind):
    for _ in range(50):
        points = RNG.normal(50, 30, (5, 2)) if kind == "random" else turned(TEMPLATE, RNG.uniform(-180, 180), RNG.uniform(0.2, 5))
        points = points * (-1, 1) if kind == "mirrored" else points
        points = points + RNG.normal(0, 3, (5, 2))
        found = similarity(points)
        np.testing.assert_allclose(found, umeyama(points, TEMPLATE), atol=1e-9)
        assert np.linalg.det(found[:, :2]) > 0


def test_similarity_has_the_least_squares():
    points = turned(TEMPLATE, 20, 2, (30, 40)) + RNG.normal(0, 5, (5, 2))
    loss = lambda matrix: np.square(points @ matrix[:, :2].T + matrix[:, 2] - TEMPLATE).sum()  # noqa: E731
    best = similarity(points)
    for step in (1e-3, 1e-2):
        for direction in np.eye(4):
            a, b, x, y = direction * step
            moved = best + np.array([[a, -b, x], [b, a, y]])
            assert loss(moved) > loss(best)


def test_points_on_the_template_leave_the_image_as_it_is():
    image = RNG.integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    np.testing.assert_array_equal(warp(image, TEMPLATE), image)


@pytest.mark.parametrize("quarter", [1, 2, 3])
def test_a_turned_photo_gives_the_same_face(quarter):
    image = RNG.integers(0, 256, (SIZE, SIZE, 3), np.uint8)
    points = TEMPLATE
    for _ in range(quarter):  # np.rot90 takes the pixel (x, y) to (y, width - 1 - x)
        points = np.c_[points[:, 1], SIZE - 1 - points[:, 0]]
    np.testing.assert_array_equal(warp(np.rot90(image, quarter).copy(), points), image)


def test_warp_equals_bilinear_sampling_one_pixel_at_a_time():
    image = RNG.integers(0, 256, (90, 140, 3), np.uint8)
    points = turned(TEMPLATE, 15, 0.8, (20, -25))  # the forehead is above the photo
    matrix = similarity(points)
    inverse = np.linalg.inv(np.r_[matrix, [[0, 0, 1]]])
    padded = np.pad(image.astype(float), ((1, 2), (1, 2), (0, 0)))
    expected = np.zeros((SIZE, SIZE, 3))
    for row in range(SIZE):
        for column in range(SIZE):
            x, y, _ = inverse @ (column, row, 1)
            left, top = int(np.floor(x)), int(np.floor(y))
            if -1 <= left < 140 and -1 <= top < 90:
                dx, dy = x - left, y - top
                block = padded[top + 1 : top + 3, left + 1 : left + 3]
                weight = np.outer((1 - dy, dy), (1 - dx, dx))[..., None]
                expected[row, column] = (block * weight).sum((0, 1))
    off = np.abs(warp(image, points).astype(float) - expected)
    # OpenCV rounds places to 1/32 pixel in some builds: on noise, whose neighbours differ by 85 on average, that is up to some levels.
    assert off.mean() < 2
    assert np.quantile(off, 0.99) < 12


def test_another_size_scales_the_template():
    image = np.zeros((300, 300, 3), np.uint8)
    points = turned(TEMPLATE, 0, 2, (20, 30))
    for x, y in points.round().astype(int):
        image[y - 2 : y + 3, x - 2 : x + 3] = 255
    face = warp(image, points, 224)
    assert face.shape == (224, 224, 3)
    assert all(face[int(y), int(x)].min() == 255 for x, y in np.round(TEMPLATE * 2))


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (np.zeros((5, 2)), "one spot"),
        (np.full((5, 2), 7.0), "one spot"),
        (TEMPLATE[:4], "5 points"),
        (np.where(TEMPLATE > 92.3, np.nan, TEMPLATE), "not finite"),
    ],
)
def test_points_that_make_no_face_are_refused(points, message):
    with pytest.raises(LimenError, match=message):
        warp(np.zeros((10, 10, 3), np.uint8), points)
