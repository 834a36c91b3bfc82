"""On the training device, from the same parameters, the same images as OpenCV's."""

import cv2
import numpy as np
import pytest
import torch

from limen.data import BatchOrder, BatchReader, SyntheticFaces
from limen.data.augment import DRAWS, INTERPOLATIONS, Changes, adaface, apply, draw_adaface
from limen.data.augment_on_device import augment_on_device, parameters, resize_matrix


@pytest.fixture(scope="module")
def faces():
    """Faces, and noise, whose neighbours differ most."""
    source = SyntheticFaces(4, 1)
    noise = np.random.default_rng(0).integers(0, 256, (2, 112, 112, 3), np.uint8)
    return np.stack([*(source.image(k) for k in range(4)), *noise])


def both(faces, changes):
    """(B, 112, 112, 3) int of either way, image k after changes[k]."""
    there = augment_on_device(torch.from_numpy(faces), parameters(changes)).numpy()
    return np.stack([apply(face, change) for face, change in zip(faces, changes, strict=True)]).astype(int), there.astype(int)


@pytest.mark.parametrize("kind", range(len(INTERPOLATIONS)))
@pytest.mark.parametrize(("old", "new"), [(112, 22), (112, 56), (112, 75), (112, 111), (23, 112), (56, 112), (97, 112)])
def test_a_matrix_equals_opencv_within_one_level(faces, kind, old, new):
    image = np.ascontiguousarray(faces[4, :old, :old])
    matrix = resize_matrix(old, new, kind)
    found = np.einsum("ij,jkc,lk->ilc", matrix, image, matrix).round().clip(0, 255)
    expected = cv2.resize(image, (new, new), interpolation=INTERPOLATIONS[kind])
    np.testing.assert_allclose(matrix.sum(1), 1, atol=1e-6)
    assert np.abs(found - expected).max() <= 1


@pytest.mark.parametrize(
    "change",
    [
        Changes(),
        Changes(mirrored=True),
        Changes(kept=(10, 20, 60, 80)),
        Changes(photometric=((0, 1.37),)),
        Changes(photometric=((1, 0.62),)),
        Changes(photometric=((2, 1.44),)),
        Changes(reduced=(0.3, 2, 3)),
        Changes(reduced=(0.7, 1, 4)),
    ],
    ids=str,
)
def test_each_change_equals_opencv_within_one_level(faces, change):
    here, there = both(faces, [change] * len(faces))
    assert np.abs(here - there).max() <= 1
    if change in (Changes(), Changes(mirrored=True), Changes(kept=(10, 20, 60, 80))):
        np.testing.assert_array_equal(here, there)


def test_whole_draws_of_adaface_equal_opencv(faces):
    """A level that differs before the photometric changes is multiplied by them, so a few pixels of the chain differ by more than one."""
    rng = np.random.default_rng(0)
    differences = []
    for _ in range(40):
        here, there = both(faces, [draw_adaface(112, 112, rng) for _ in faces])
        differences.append(np.abs(here - there))
    differences = np.array(differences)
    assert differences.max() <= 4
    assert (differences > 1).mean() < 1e-3


def test_the_feed_draws_for_the_device_what_it_would_do_itself():
    source = SyntheticFaces(4, 4)
    plan = next(iter(BatchOrder(16, 16, seed=3, total_steps=1)))
    here, there = BatchReader(source, adaface, 7)[plan], BatchReader(source, None, 7, DRAWS["adaface"])[plan]
    assert torch.equal(here.labels, there.labels)
    moved = (augment_on_device(there.images, there.drawn).int() - here.images.int()).abs()
    assert (moved > 1).float().mean() < 1e-3
    assert not torch.equal(there.images, here.images)
