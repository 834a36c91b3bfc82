"""A folder of photos becomes a folder of faces: the same however many threads, and however often it was killed."""

import csv
import signal
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from limen.align import FaceSearch, warp
from limen.data import AlignedSource, FileSource, FolderSource, align_folder, read_image
from limen.data.images import read_photo
from limen.errors import LimenError, UnreadableImage
from limen.quality import FaceSize
from squares import Squares, draw, points_in

TESTS = Path(__file__).parents[2]


def save_photo(path, *faces, size=(240, 320), **options):
    photo = np.random.default_rng(len(str(path))).integers(0, 60, (*size, 3), np.uint8)
    for face in faces:
        draw(photo, *face)
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), photo[..., ::-1], [v for pair in options.items() for v in pair])
    return photo


@pytest.fixture
def photos(tmp_path):
    root = tmp_path / "photos"
    for number in range(6):
        save_photo(root / "ann" / f"{number}.png", (20 + number, 30, 80))
    save_photo(root / "bo" / "two.png", (10, 10, 60), (150, 100, 90))
    save_photo(root / "bo" / "none.png")
    (root / "bo" / "broken.jpg").write_bytes(b"\xff\xd8 no")
    return root


def table(out):
    with open(out / "alignment.csv", newline="") as file:
        return list(csv.DictReader(file))


def content(out):
    return {str(file.relative_to(out)): file.read_bytes() for file in sorted(out.rglob("*")) if file.is_file() and file.name != ".lock"}


def test_each_photo_gives_its_largest_face_under_its_name(photos, tmp_path):
    found = align_folder(photos, tmp_path / "faces", FaceSearch(Squares()))
    rows = {row["photo"]: row for row in table(tmp_path / "faces")}
    assert (found.photos, found.faces, len(found.failures), len(rows)) == (9, 7, 2, 9)
    assert rows["bo/none.png"]["failure"] == "no face found in it"
    assert "damaged" in rows["bo/broken.jpg"]["failure"] or "cut short" in rows["bo/broken.jpg"]["failure"]
    assert rows["bo/none.png"]["file"] == ""
    two = rows["bo/two.png"]
    assert [float(two[name]) for name in ("left", "top", "width", "height")] == [150, 100, 90, 90]
    points = np.array([float(two[f"{axis}{k}"]) for k in range(1, 6) for axis in "xy"]).reshape(5, 2)
    np.testing.assert_allclose(points, points_in(150, 100, 90), atol=1e-3)
    crop = read_image(tmp_path / "faces" / "bo" / "two.png")
    np.testing.assert_array_equal(crop, warp(read_photo(photos / "bo" / "two.png"), points_in(150, 100, 90)))
    assert FolderSource(tmp_path / "faces").class_names == ["ann", "bo"]


def test_every_face_has_a_number(photos, tmp_path):
    align_folder(photos, tmp_path / "faces", FaceSearch(Squares()), "all")
    rows = [row for row in table(tmp_path / "faces") if row["photo"] == "bo/two.png"]
    assert [(row["face"], row["file"], row["width"]) for row in rows] == [("1", "bo/two_1.png", "90.0"), ("2", "bo/two_2.png", "60.0")]


def test_the_folder_equals_the_source_that_aligns_as_it_is_read(photos, tmp_path):
    files = sorted((photos / "ann").iterdir())
    source = AlignedSource(FileSource(files, size=None), FaceSearch(Squares()))
    align_folder(photos, tmp_path / "faces", FaceSearch(Squares()))
    for index, file in enumerate(files):
        np.testing.assert_array_equal(source.image(index), read_image(tmp_path / "faces" / "ann" / file.name))
    with pytest.raises(UnreadableImage, match=r"none\.png: no face found"):
        AlignedSource(FileSource([photos / "bo" / "none.png"], size=None), FaceSearch(Squares())).image(0)
    with pytest.raises(LimenError, match="use largest or central"):
        AlignedSource(FileSource(files, size=None), FaceSearch(Squares()), "all")


def test_the_number_of_threads_makes_no_difference(photos, tmp_path):
    for workers in (1, 4):
        align_folder(photos, tmp_path / str(workers), FaceSearch(Squares()), "all", workers)
    assert content(tmp_path / "1") == content(tmp_path / "4")
    before = content(tmp_path / "1")
    align_folder(photos, tmp_path / "1", FaceSearch(Squares()), "all")
    assert content(tmp_path / "1") == before


class Slow(Squares):
    def detect(self, image):
        time.sleep(0.02)
        return super().detect(image)


@pytest.mark.slow
def test_killed_and_rerun_equals_uninterrupted(tmp_path):
    root = tmp_path / "photos"
    for number in range(90):
        save_photo(root / f"{number % 7}" / f"{number:03d}.png", (20, 10 + number % 9, 100), size=(130, 160))
    align_folder(root, tmp_path / "whole", FaceSearch(Slow()))
    program = (
        "import sys; sys.path.insert(0, sys.argv[3])\n"
        "from squares import *; import time\n"
        "from limen.align import FaceSearch; from limen.data import align_folder\n"
        "class Slow(Squares):\n def detect(self, image):\n  time.sleep(.02)\n  return super().detect(image)\n"
        "align_folder(sys.argv[1], sys.argv[2], FaceSearch(Slow()), progress=lambda done, total: print(done, flush=True))"
    )
    command = [sys.executable, "-c", program, str(root), str(tmp_path / "killed"), str(TESTS)]
    for last in ("10", "75"):  # before the first part, after it
        running = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        for line in running.stdout:
            if line.strip() == last:
                running.send_signal(signal.SIGKILL)
                break
        running.wait()
    (tmp_path / "killed" / "3" / f".003.png.{'a' * 32}.tmp").write_bytes(b"half")  # as a kill may leave it
    detector = Slow()
    align_folder(root, tmp_path / "killed", FaceSearch(detector))
    assert content(tmp_path / "killed") == content(tmp_path / "whole")
    assert len(detector.asked) < 40


def test_a_crop_that_is_gone_is_made_again_and_a_photo_that_failed_tried_again(photos, tmp_path):
    out = tmp_path / "faces"
    align_folder(photos, out, FaceSearch(Squares()))
    (out / "ann" / "3.png").unlink()
    save_photo(photos / "bo" / "none.png", (40, 40, 100))
    detector = Squares()
    found = align_folder(photos, out, FaceSearch(detector))
    assert (out / "ann" / "3.png").exists()
    assert (found.faces, len(found.failures), len(detector.asked)) == (8, 1, 2)


def test_boxes_of_the_table_measure_the_size_of_faces(photos, tmp_path):
    align_folder(photos, tmp_path / "faces", FaceSearch(Squares()))
    files = [str(tmp_path / "faces" / "ann" / "0.png"), str(tmp_path / "faces" / "bo" / "two.png")]
    sizes = FaceSize(tmp_path / "faces" / "alignment.csv").score(np.zeros((2, 112, 112, 3), np.uint8), files)
    np.testing.assert_allclose(sizes, [80, 90])


def test_a_turned_photo_of_a_camera_is_set_upright(tmp_path):
    """Orientation 6 of Exif: the camera was turned, so that the picture is stored lying on its left side."""
    from PIL import Image

    root = tmp_path / "photos"
    upright = save_photo(root / "upright.png", (60, 50, 120))
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.rot90(upright).copy()).save(root / "turned.jpg", exif=exif, quality=95)
    align_folder(root, tmp_path / "faces", FaceSearch(Squares()))
    first, second = (read_image(tmp_path / "faces" / name).astype(float) for name in ("upright.png", "turned.png"))
    assert np.abs(first - second).mean() < 12


def test_odd_photos_each_get_a_line(tmp_path):
    """A wrong ending is read all the same; a bomb, an empty file and half a file are failures."""
    root = tmp_path / "photos"
    save_photo(root / "png.png", (60, 50, 120))
    (root / "png.png").rename(root / "really_a_png.jpg")
    whole = save_photo(root / "whole.jpg", (60, 50, 120)) is not None and (root / "whole.jpg").read_bytes()
    (root / "half.jpg").write_bytes(whole[: len(whole) // 2])
    (root / "empty.jpg").write_bytes(b"")
    header = struct.pack(">4sIIBBBBB", b"IHDR", 60000, 60000, 8, 2, 0, 0, 0)
    chunks = [header, b"IDAT" + zlib.compress(b"0"), b"IEND"]
    parts = [struct.pack(">I", len(chunk) - 4) + chunk + struct.pack(">I", zlib.crc32(chunk)) for chunk in chunks]
    (root / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    found = align_folder(root, tmp_path / "faces", FaceSearch(Squares()))
    said = {row["photo"]: row["failure"] for row in table(tmp_path / "faces")}
    assert (found.photos, found.faces) == (5, 2)
    assert said["really_a_png.jpg"] == said["whole.jpg"] == ""
    assert "cut short" in said["half.jpg"]
    assert said["empty.jpg"] == "is empty"
    assert "too large" in said["bomb.png"]


def test_a_photo_of_50_megapixels(tmp_path):
    save_photo(tmp_path / "photos" / "large.jpg", (3000, 2000, 2400), size=(6144, 8192))
    align_folder(tmp_path / "photos", tmp_path / "faces", FaceSearch(Squares()))
    (row,) = table(tmp_path / "faces")
    points = np.array([float(row[f"{axis}{k}"]) for k in range(1, 6) for axis in "xy"]).reshape(5, 2)
    np.testing.assert_allclose(points, points_in(3000, 2000, 2400), atol=20)  # of the face's 2,400 pixels


def test_photos_of_one_name_keep_their_endings(tmp_path):
    save_photo(tmp_path / "photos" / "a.png", (60, 50, 120))
    save_photo(tmp_path / "photos" / "a.bmp", (60, 50, 100))
    align_folder(tmp_path / "photos", tmp_path / "faces", FaceSearch(Squares()), jpeg=90)
    assert {row["file"] for row in table(tmp_path / "faces")} == {"a.png.jpg", "a.bmp.jpg"}


def test_wrong_folders_and_settings_are_refused(photos, tmp_path):
    search = FaceSearch(Squares())
    with pytest.raises(LimenError, match="no such folder"):
        align_folder(tmp_path / "none", tmp_path / "faces", search)
    with pytest.raises(LimenError, match="inside the folder of the photos"):
        align_folder(photos, photos / "faces", search)
    with pytest.raises(LimenError, match=r"holds ann and no alignment\.json"):
        align_folder(photos / "bo", photos, search)
    with pytest.raises(LimenError, match="not a quality"):
        align_folder(photos, tmp_path / "faces", search, jpeg=0)
    with pytest.raises(LimenError, match="workers: 0"):
        align_folder(photos, tmp_path / "faces", search, workers=0)
    assert not (tmp_path / "faces").exists()
    align_folder(photos, tmp_path / "out", search)
    before = content(tmp_path / "out")
    with pytest.raises(LimenError, match="was begun with faces largest, not central"):
        align_folder(photos, tmp_path / "out", search, "central")
    with pytest.raises(LimenError, match="was begun with side 640, not 320"):
        align_folder(photos, tmp_path / "out", FaceSearch(Squares(), 320))
    assert content(tmp_path / "out") == before
    save_photo(tmp_path / "empty" / "none.png")
    with pytest.raises(LimenError, match=r"none of the 1 photos gave a face .*none\.png: no face found"):
        align_folder(tmp_path / "empty", tmp_path / "e", search)
