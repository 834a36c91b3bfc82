"""Points that people already have, in every form they have them."""

import numpy as np
import pytest

from limen.align import TEMPLATE
from limen.data import GivenLandmarks
from limen.data.photos.landmarks import landmark_fault
from limen.errors import LimenError, UnreadableImage
from squares import draw, points_in

POINTS = points_in(40, 30, 120)
PHOTO = np.zeros((200, 250, 3), np.uint8)
TEXT = [f"{value:.2f}" for value in POINTS.ravel()]


def found(landmarks, where):
    (face,) = landmarks.faces(PHOTO, str(where))
    return face


@pytest.mark.parametrize(
    ("line", "score"),
    [
        (" ".join(["1.jpg", *TEXT, "0.998"]), 0.998),  # IJB
        ("\t".join(["/test/data/African/m.0a/1.jpg", "0", *TEXT]), None),  # RFW
        (",".join(["m.0a/1.jpg", *TEXT]), None),
    ],
)
def test_lists(tmp_path, line, score):
    (tmp_path / "list.txt").write_text(f"\ufeff{line}\r\n\r\n" + line.replace("1.jpg", "2.jpg"))
    face = found(GivenLandmarks(tmp_path / "list.txt", tmp_path), tmp_path / "African" / "m.0a" / "1.png")
    np.testing.assert_allclose(face.points, POINTS, atol=0.01)
    assert face.score == score if score else np.isnan(face.score)
    np.testing.assert_allclose(face.box, draw(PHOTO.copy(), 40, 30, 120).box, atol=0.7)


def test_a_path_of_a_list_is_not_taken_for_another_of_that_name(tmp_path):
    lines = [" ".join([f"{folder}/1.jpg", *TEXT, ".9"]) for folder in ("a/x", "b/x")]
    (tmp_path / "list.txt").write_text("file x1 y1 and so on\n" + "\n".join(lines))
    landmarks = GivenLandmarks(tmp_path / "list.txt", tmp_path)
    assert found(landmarks, "photos/a/x/1.jpg").score == 0.9
    with pytest.raises(UnreadableImage, match=r"y/1\.jpg: has no landmarks"):
        landmarks.faces(PHOTO, "photos/y/1.jpg")
    with pytest.raises(UnreadableImage, match="a/x/1 and b/x/1, either of which it may be"):
        landmarks.faces(PHOTO, "photos/x/1.jpg")


@pytest.mark.parametrize("name", ["one_5loc_attri.txt", "one.txt", "one.pts"])
@pytest.mark.parametrize("place", ["ann", ""])
def test_a_file_of_each_face(tmp_path, name, place):
    (tmp_path / "points" / place).mkdir(parents=True)
    lines = [f"{x} {y}" for x, y in POINTS]
    lines = ["version: 1", "n_points: 5", "{", *lines, "}"] if name.endswith("pts") else lines
    (tmp_path / "points" / place / name).write_text("\n".join(lines))
    landmarks = GivenLandmarks(tmp_path / "points", tmp_path / "photos")
    np.testing.assert_allclose(found(landmarks, tmp_path / "photos" / "ann" / "one.jpg").points, POINTS)
    (tmp_path / "points" / place / name).write_text("\n".join(["1 2"] * 68))
    with pytest.raises(UnreadableImage, match="68 lines where five lines"):
        landmarks.faces(PHOTO, str(tmp_path / "photos" / "ann" / "one.jpg"))


@pytest.mark.parametrize("text", ["1.jpg 1 2 3", "1.jpg " + "x " * 11, "1.jpg " + "nan " * 11, ""])
def test_a_damaged_list_is_refused(tmp_path, text):
    (tmp_path / "list.txt").write_text(f"{' '.join(['0.jpg', *TEXT, '1'])}\n{text}" if text else "")
    with pytest.raises(LimenError, match=r"line 2 has|holds no landmarks"):
        GivenLandmarks(tmp_path / "list.txt", tmp_path)


@pytest.mark.parametrize(
    ("points", "fault"),
    [
        (POINTS, None),
        (np.c_[POINTS[:, 1], 200 - POINTS[:, 0]], None),  # turned by 90 degrees
        (POINTS[[1, 0, 2, 4, 3]], "mirrored"),
        (np.add(POINTS, (200, 0)), "outside its 250x200"),
        (POINTS[[4, 3, 2, 1, 0]], None),  # upside down
        (POINTS[[3, 4, 2, 0, 1]], "mirrored"),
        (POINTS.ravel().reshape(2, 5).T, "order"),  # x first, then y
        (np.zeros((5, 2)), "one spot"),
    ],
)
def test_points_that_are_no_face_are_named(points, fault):
    said = landmark_fault(np.asarray(points, float), 250, 200)
    assert said is None if fault is None else fault in said


@pytest.mark.parametrize("order", [[1, 0, 2, 4, 3], [2, 3, 4, 0, 1]])
def test_points_are_handed_on_as_they_are_and_judged(tmp_path, order):
    """They are not those of the nearest shape of the template, which would hide that they are no face."""
    noisy = POINTS + np.array([[3, 0], [0, 2], [-4, 0], [0, 0], [1, 1]])
    (tmp_path / "list.txt").write_text(
        "".join(f"{n}.jpg " + " ".join(map(str, p.ravel())) + "\n" for n, p in enumerate([noisy, POINTS[order]]))
    )
    landmarks = GivenLandmarks(tmp_path / "list.txt", tmp_path)
    np.testing.assert_array_equal(found(landmarks, "0.jpg").points, noisy)
    with pytest.raises(UnreadableImage, match=r"1\.jpg: its landmarks in .*list.txt are (mirrored|not in the order)"):
        landmarks.faces(PHOTO, "1.jpg")


def test_a_profile_is_a_face():
    profile = TEMPLATE * (0.25, 1) + [(0, 0), (0, 0), (25, 0), (0, 0), (0, 0)]
    assert landmark_fault(profile, 112, 112) is None
