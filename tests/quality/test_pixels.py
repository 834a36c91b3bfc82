"""The measures of the pixels equal their formulas, and fall with what they are said to fall with."""

import math
import zipfile

import numpy as np
import pytest

from limen.data import decode_image
from limen.data.synthetic import SyntheticFaces
from limen.data.synthetic.degrade import degrade
from limen.errors import LimenError
from limen.quality import Exposure, Resolution, Sharpness

MEASURES = [Sharpness(), Resolution(), Exposure()]


@pytest.fixture(scope="module")
def faces():
    source = SyntheticFaces(8, 1, 0, 0, 0.2)
    return np.stack([source.image(index) for index in range(8)])


def degraded(faces, **amounts):
    return np.stack([degrade(face, rng=np.random.default_rng(0), **amounts) for face in faces])


def grey(rows):
    """(1, H, W, 3) of one channel."""
    return np.repeat(np.asarray(rows, np.uint8)[None, :, :, None], 3, axis=3)


def test_sharpness_is_the_variance_of_the_laplacian():
    rows = np.random.default_rng(0).integers(0, 256, (9, 7))
    padded = np.pad(rows, 1, "reflect")
    laplacian = [
        [padded[i - 1, j] + padded[i + 1, j] + padded[i, j - 1] + padded[i, j + 1] - 4 * padded[i, j] for j in range(1, 8)]
        for i in range(1, 10)
    ]
    assert Sharpness().score(grey(rows))[0] == pytest.approx(np.var(laplacian), rel=1e-12)


def test_exposure_is_the_entropy_of_the_histogram():
    rows = np.repeat([[0, 10, 10, 200]], 3, axis=0)
    assert Exposure().score(grey(rows))[0] == pytest.approx(-(0.25 * math.log2(0.25) * 2 + 0.5 * math.log2(0.5)))


@pytest.mark.parametrize("cutoff", [12, 20, 40])
def test_resolution_finds_where_a_spectrum_ends(cutoff):
    """Noise with power f^-2 up to `cutoff` cycles and none beyond: to the four cycles that the window and the smoothing blur."""
    generator = np.random.default_rng(0)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(112) * 112, np.fft.fftfreq(112) * 112))
    amplitude = np.where((frequency > 0) & (frequency <= cutoff), 1 / np.maximum(frequency, 1), 0)
    rows = np.fft.ifft2(amplitude * np.fft.fft2(generator.standard_normal((112, 112)))).real
    rows = 128 + 100 * rows / np.abs(rows).max()
    assert Resolution().score(grey(rows))[0] == pytest.approx(2 * cutoff, abs=8)


def test_resolution_falls_with_the_pixels_a_face_was_enlarged_from(faces):
    scores = np.stack([Resolution().score(degraded(faces, resolution=pixels)) for pixels in (8, 16, 32, 64, 112)])
    assert (np.diff(scores, axis=0) > 0).all()
    assert (scores[1] < 32).all()  # enlarged from 16


def test_resolution_is_not_hidden_by_weak_noise_or_compression(faces):
    for also in ({"noise": 4}, {"compression": 60}):
        assert (Resolution().score(degraded(faces, resolution=16, **also)) < Resolution().score(faces)).all()


def test_sharpness_and_resolution_fall_with_blur(faces):
    for measure in (Sharpness(), Resolution()):
        scores = np.stack([measure.score(degraded(faces, blur=blur)) for blur in (0, 1, 2, 3)])
        assert (np.diff(scores, axis=0) <= 0).all()
        assert (scores[0] > scores[2]).all()


def test_exposure_falls_in_the_dark_and_in_glare(faces):
    scores = Exposure().score(faces)
    for exposure in (0.3, 0.1, 6.0):
        assert (Exposure().score(degraded(faces, exposure=exposure)) < scores).all()


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.name)
def test_every_measure_scores_each_image_alone(measure, faces):
    together = measure.score(faces)
    assert together.shape == (8,)
    assert together.dtype == float
    np.testing.assert_array_equal(together, [measure.score(face[None])[0] for face in faces])
    assert measure.score(faces[:0]).shape == (0,)
    assert measure.needs.endswith(".")


@pytest.mark.parametrize("measure", MEASURES, ids=lambda measure: measure.name)
def test_a_flat_image_is_the_worst(measure, faces):
    flat = measure.score(np.full((1, 112, 112, 3), 90, np.uint8))
    assert flat == 0
    assert (measure.score(faces) > flat).all()


@pytest.mark.parametrize("given", [np.zeros((2, 112, 112, 3), np.float32), np.zeros((112, 112, 3), np.uint8), [1]])
def test_other_images_are_refused(given):
    with pytest.raises(LimenError, match=r"shape \(N, H, W, 3\)"):
        Sharpness().score(given)


@pytest.mark.realdata
def test_real_faces_enlarged_from_few_pixels_are_found(real_data):
    """On a hundred photos of every kind, whose own resolution differs: below 32 pixels, the scores order what they were enlarged from."""
    with zipfile.ZipFile(real_data / "lfw112.zip") as file:
        names = sorted(name for name in file.namelist() if name.endswith(".jpg"))[::133]
        photos = np.stack([decode_image(file.read(name), name) for name in names])
    scores = np.stack([Resolution().score(degraded(photos, resolution=pixels)) for pixels in (8, 16, 32)])
    assert (np.diff(scores, axis=0) > 0).mean() > 0.99
    assert (scores[1] < Resolution().score(photos)).all()
