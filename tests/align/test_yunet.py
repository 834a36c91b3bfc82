"""YuNet on real photos."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from limen.align import FaceSearch, choose, open_detector, similarity
from limen.data.images import read_photo
from limen.errors import LimenError
from limen.files import file_sha256

pytestmark = pytest.mark.realdata


@pytest.fixture(scope="module")
def search(real_data):
    return FaceSearch(open_detector(str(real_data / "models" / "yunet_n_640_640.onnx")))


@pytest.fixture(scope="module")
def faces(real_data):
    """Ten aligned crops, each inside a wide grey photo."""
    photos = []
    for number in range(10):
        photo = np.full((300, 400, 3), 90, np.uint8)
        photo[90:202, 140:252] = read_photo(real_data / "examples" / "magface" / f"{number}.jpg")
        photos.append(photo)
    return photos


def largest(search, photo):
    (face,) = choose(search.faces(photo, "photo"), "largest", photo.shape[1], photo.shape[0])
    return face


@pytest.mark.parametrize("quarter", [0, 1, 2, 3])
def test_points_lie_on_the_template_however_the_photo_is_turned(search, faces, quarter):
    off = []
    for photo in faces:
        face = largest(search, np.rot90(photo, quarter).copy())
        points = face.points
        for _ in range(quarter):  # back: np.rot90 took (x, y) to (y, width - 1 - x)
            points = np.c_[399 - points[:, 1], points[:, 0]] if _ % 2 == 0 else np.c_[299 - points[:, 1], points[:, 0]]
        off.append(np.abs(similarity(points - (140, 90))[:, :2] - np.eye(2)).max())
    assert np.median(off) < 0.1, off
    assert sum(value > 0.5 for value in off) <= (1 if quarter else 0)


def test_photos_of_groups(search, real_data):
    counts = {file.name: len(search.faces(read_photo(file), file.name)) for file in sorted((real_data / "photos").iterdir())}
    assert min(counts.values()) >= 1
    assert counts["mtcnn_office2.jpg"] >= 4


def test_threads_share_a_detector(search, faces):
    alone = [largest(search, photo).points for photo in faces]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda photo: largest(search, photo).points, faces))
    np.testing.assert_array_equal(alone, together)


def test_black_photos_of_odd_sizes_have_no_face(search):
    rng = np.random.default_rng(0)
    for size in [
        (1, 1),
        (1, 3000),
        (3000, 2),
        (33, 31),
        *rng.integers(1, 12, (40, 2)) ** 2,
        *np.c_[rng.integers(1, 34, 40), rng.integers(1, 600, 40)],
    ]:
        assert search.detector.detect(np.zeros((*size, 3), np.uint8)) == [], size
        assert search.faces(np.zeros((*size, 3), np.uint8), "photo") == [], size


def test_another_network_is_refused(real_data):
    file = real_data / "models" / "mobilefacenet.onnx"
    with pytest.raises(LimenError, match=r"mobilefacenet\.onnx: its SHA-256 .* is of no detector known"):
        open_detector(str(file))
    with pytest.raises(LimenError, match=r"mobilefacenet\.onnx: is not a YuNet model"):
        open_detector(f"{file}:{file_sha256(file)}")
