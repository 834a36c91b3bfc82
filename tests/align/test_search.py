"""Faces of any size, at the edge or turned are found, in the photo's own pixels; which of several is meant."""

import numpy as np
import pytest

from limen.align import Face, FaceSearch, choose, open_detector, warp
from limen.errors import LimenError
from squares import Squares, draw


def photo_of(height, width):
    return np.full((height, width, 3), 30, np.uint8)


@pytest.mark.parametrize(
    ("size", "place", "within"),
    [
        ((480, 640), (200, 100, 160), 1),  # as it is
        ((3000, 4000), (1500, 1000, 800), 8),  # reduced to 640 pixels
        ((600, 600), (50, 40, 520), 4),  # larger than the detector knows: halved
        ((2000, 2000), (700, 900, 20), 2),  # too small at 640 pixels: shown larger
        ((480, 640), (0, 0, 160), 1),  # in the corner
    ],
)
def test_a_face_is_found_in_the_pixels_of_the_photo(size, place, within):
    photo = photo_of(*size)
    face = draw(photo, *place)
    (found,) = FaceSearch(Squares()).faces(photo, "photo")
    np.testing.assert_allclose(found.points, face.points, atol=within)
    np.testing.assert_allclose(found.box, face.box, atol=2 * within)


@pytest.mark.parametrize("quarter", [1, 2, 3])
@pytest.mark.parametrize("size", [(480, 640), (1501, 1100)])
def test_a_face_in_a_turned_photo_is_found_where_it_is(quarter, size):
    upright = photo_of(*size)
    face = draw(upright, 150, 60, 200)
    points, box = face.points, face.box
    corners = np.array([[box[0], box[1]], [box[0] + box[2], box[1] + box[3]]])
    height, width = size
    for _ in range(quarter):  # np.rot90 takes the pixel (x, y) to (y, width - 1 - x)
        points, corners = (np.c_[place[:, 1], width - 1 - place[:, 0]] for place in (points, corners))
        height, width = width, height
    (found,) = FaceSearch(Squares()).faces(np.rot90(upright, quarter).copy(), "photo")
    np.testing.assert_allclose(found.points, points, atol=3)
    np.testing.assert_allclose(found.box[:2], corners.min(0), atol=5)


def test_a_photo_with_a_face_is_shown_once_and_never_larger_than_asked():
    detector, photo = Squares(), photo_of(5000, 10000)  # 50 megapixels
    draw(photo, 4000, 1000, 2000)
    FaceSearch(detector, side=640).faces(photo, "photo")
    assert detector.asked == [(320, 640)]
    assert FaceSearch(Squares()).faces(photo_of(200, 300), "photo") == []


def test_rules_choose_by_size_or_place():
    def face(left, top, side, score=0.9):
        return Face(np.array([left, top, side, side], float), score, np.zeros((5, 2)))

    small, large, surer = face(45, 45, 10), face(0, 0, 40), face(70, 70, 40, 0.95)
    faces = [small, large, surer]
    assert choose(faces, "largest", 100, 100) == [surer]
    assert choose(faces, "central", 100, 100) == [small]
    assert choose(faces, "all", 100, 100) == [surer, large, small]
    assert choose([], "largest", 100, 100) == []
    with pytest.raises(LimenError, match=r"biggest.*largest, central, all"):
        choose(faces, "biggest", 100, 100)


def test_detector_files_are_told_by_their_hash(tmp_path, monkeypatch):
    monkeypatch.setenv("LIMEN_CACHE", str(tmp_path))
    with pytest.raises(LimenError, match=r"not in .*detectors; fetch .*https.*--detector FILE"):
        open_detector("yunet")
    with pytest.raises(LimenError, match="neither a detector nor a file; did you mean 'yunet'"):
        open_detector("yunett")
    (tmp_path / "half.onnx").write_bytes(b"\x08\x07 not a network")
    with pytest.raises(LimenError, match=r"SHA-256 .* is of no detector known here.*fetch"):
        open_detector(str(tmp_path / "half.onnx"))
    with pytest.raises(LimenError, match=r"has the SHA-256 .*, not 0000"):
        open_detector(f"{tmp_path / 'half.onnx'}:{'0' * 64}")
    (tmp_path / "pointer.onnx").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:8f\n")
    with pytest.raises(LimenError, match="Git LFS pointer"):
        open_detector(str(tmp_path / "pointer.onnx"))
    with pytest.raises(LimenError, match="no such file"):
        open_detector(str(tmp_path / "none.onnx"))


def test_another_network_is_refused(tmp_path):
    import hashlib

    for content in (b"\x08\x07 not a network", b""):
        (tmp_path / "other.onnx").write_bytes(content)
        with pytest.raises(LimenError, match=r"other\.onnx: is not a YuNet model"):
            open_detector(f"{tmp_path / 'other.onnx'}:{hashlib.sha256(content).hexdigest()}")


def test_a_detector_of_ones_own_is_found_by_name():
    assert isinstance(open_detector("squares:Squares"), Squares)
    with pytest.raises(LimenError, match="no method"):
        open_detector("collections:Counter")


class Lying(Squares):
    """Finds lying faces too, as if they stood, with lower scores: as YuNet does."""

    sure = 0.85

    def detect(self, image):
        upright = super().detect(image)
        turned = [face for turn in (1, 2, 3) for face in super(Lying, self).detect(np.rot90(image, turn).copy())]
        wrong = [Face(np.array([5.0, 5, 90, 90]), 0.8, np.asarray(face.points)) for face in turned]
        return upright or wrong


@pytest.mark.parametrize("quarter", [0, 1, 2, 3])
def test_a_lying_face_is_not_taken_for_an_upright_one(quarter):
    upright = photo_of(480, 640)
    face = draw(upright, 150, 60, 200)
    photo = np.rot90(upright, quarter).copy()
    (found,) = FaceSearch(Lying()).faces(photo, "photo")
    crop = warp(photo, found.points)
    np.testing.assert_array_equal(crop, warp(upright, face.points))
    detector = Lying()
    detector.sure = 0.0
    (found,) = FaceSearch(detector).faces(photo, "photo")
    assert found.score == (0.9 if quarter == 0 else 0.8)
