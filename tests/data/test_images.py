import io
import os
import re
import struct
import subprocess
import sys
import zlib

import cv2
import numpy as np
import pytest
from PIL import Image

from limen.data import FolderSource, decode_image, list_images, read_image
from limen.errors import LimenWarning, UnreadableImage


def picture(size=112):
    """A smooth colour picture, so that lossy formats stay near it."""
    coarse = np.random.default_rng(0).integers(30, 220, (6, 6, 3), dtype=np.uint8)
    return cv2.resize(coarse, (size, size), interpolation=cv2.INTER_LINEAR)


def encode(image, mode="RGB", kind="JPEG", **options):
    file = io.BytesIO()
    Image.fromarray(image).convert(mode).save(file, kind, **options)
    return file.getvalue()


JPEG = encode(picture(), quality=95, subsampling=0)


@pytest.mark.parametrize(
    ("encoded", "tolerance"),
    [
        (JPEG, 2),
        (encode(picture(), quality=95, subsampling=0, progressive=True), 2),
        (encode(picture(), mode="CMYK", quality=95), 2),
        (encode(picture(), kind="PNG"), 0),
        (encode(picture(), mode="RGBA", kind="PNG"), 0),
        (encode(picture(), kind="WEBP", lossless=True), 0),
        (encode(picture(), kind="BMP"), 0),
        (encode(picture(), kind="TIFF"), 0),
        (cv2.imencode(".png", picture()[..., ::-1].astype(np.uint16) * 257)[1].tobytes(), 0),
    ],
    ids=["jpeg", "progressive", "cmyk", "png", "rgba", "webp", "bmp", "tiff", "png16"],
)
def test_every_kind_becomes_the_same_rgb(encoded, tolerance):
    decoded = decode_image(encoded, "face")
    assert decoded.shape == (112, 112, 3)
    assert decoded.dtype == np.uint8
    assert np.abs(decoded.astype(int) - picture()).mean() <= tolerance


@pytest.mark.parametrize("mode", ["L", "1", "I;16"])
def test_gray_becomes_three_equal_channels(mode):
    gray = np.asarray(Image.fromarray(picture()).convert("L"))
    encoded = cv2.imencode(".png", gray.astype(np.uint16) * 257)[1].tobytes() if mode == "I;16" else encode(gray, mode, "PNG")
    decoded = decode_image(encoded, "face")
    assert decoded.shape == (112, 112, 3)
    assert (decoded == decoded[..., :1]).all()


def test_arrays_of_bytes_and_padding_after_the_end_are_taken():
    expected = decode_image(JPEG, "face")
    assert np.array_equal(decode_image(np.frombuffer(JPEG, np.uint8), "face"), expected)
    assert np.array_equal(decode_image(JPEG + b"\0" * 50, "face"), expected)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
def test_a_file_cut_short_is_unreadable(kind, share, capfd):
    encoded = encode(picture(), kind=kind)
    with pytest.raises(UnreadableImage, match=r"^face 7: .*(cut short|damaged|decoded)"):
        decode_image(encoded[: int(len(encoded) * share)], "face 7")
    assert capfd.readouterr().err == ""


def test_a_thumbnail_does_not_hide_that_the_image_is_cut_short():
    thumbnail = encode(picture(16))
    with_thumbnail = JPEG[:2] + b"\xff\xe1" + (len(thumbnail) + 2).to_bytes(2, "big") + thumbnail + JPEG[2:]
    assert decode_image(with_thumbnail, "face").shape == (112, 112, 3)
    with pytest.raises(UnreadableImage, match="cut short"):
        decode_image(with_thumbnail[:-200], "face")


@pytest.mark.parametrize(("encoded", "reason"), [(b"", "empty"), (b"<html>", "not an image"), (bytes(99), "not an image")])
def test_what_is_no_image_is_unreadable(encoded, reason):
    with pytest.raises(UnreadableImage, match=f"^face 7: .*{reason}"):
        decode_image(encoded, "face 7")


def test_another_size_is_refused_with_the_remedy_or_resized():
    wide = encode(np.full((100, 120, 3), 90, np.uint8))
    with pytest.raises(UnreadableImage, match=r"120x100, not 112x112.*on_other_size"):
        decode_image(wide, "face")
    assert np.abs(decode_image(wide, "face", on_other_size="resize").astype(int) - 90).max() <= 1
    assert decode_image(encode(picture(224)), "face", on_other_size="resize").shape == (112, 112, 3)
    assert decode_image(encode(picture(224)), "face", size=224).shape == (224, 224, 3)


def test_read_image_names_a_file_that_cannot_be_opened(tmp_path):
    (tmp_path / "a.jpg").write_bytes(JPEG)
    assert np.array_equal(read_image(tmp_path / "a.jpg"), decode_image(JPEG, "face"))
    with pytest.raises(UnreadableImage, match=r"b\.jpg: no such file"):
        read_image(tmp_path / "b.jpg")


# ---- data damaged or dropped without a word ----


def test_what_the_jpeg_decoder_warns_of_is_unreadable(capfd):
    """A bit of the scan is turned over: where libjpeg warns (the rest is guessed), the image is refused; nothing is printed."""
    refused = 0
    for place in range(700, len(JPEG) - 2, 7):
        damaged = bytearray(JPEG)
        damaged[place] ^= 16
        try:
            assert decode_image(bytes(damaged), "face").shape == (112, 112, 3)
        except UnreadableImage as error:
            refused += str(error).startswith("face: is damaged (")
    assert refused > 20
    with pytest.raises(UnreadableImage, match="extraneous bytes"):
        decode_image(JPEG[:-2] + bytes(range(1, 50)) + JPEG[-2:], "face")
    assert capfd.readouterr().err == ""


def test_jpeg_pixels_are_those_of_opencv():
    for options in ({"subsampling": 2}, {"progressive": True}, {"mode": "L"}, {"mode": "CMYK"}):
        encoded = encode(picture(), quality=80, **options)
        assert np.array_equal(decode_image(encoded, "face"), cv2.imdecode(np.frombuffer(encoded, np.uint8), cv2.IMREAD_COLOR_RGB))


def test_a_camera_picture_is_turned_upright():
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    encoded = encode(picture(), quality=95, subsampling=0, exif=exif)
    assert np.abs(decode_image(encoded, "face").astype(int) - np.rot90(picture(), -1)).mean() < 2


@pytest.mark.parametrize(
    ("suffix", "kind", "tolerance"),
    [("jfif", "JPEG", 2), ("jpe", "JPEG", 2), ("gif", "GIF", 12), ("jp2", "JPEG2000", 6), ("ppm", "PPM", 0)],
)
def test_images_of_other_suffixes_are_read(tmp_path, suffix, kind, tolerance):
    (tmp_path / "Ann").mkdir()
    (tmp_path / "Ann" / f"1.{suffix}").write_bytes(encode(picture(), kind=kind))
    source = FolderSource(tmp_path)
    assert len(source) == 1
    assert np.abs(source.image(0).astype(int) - picture()).mean() <= tolerance


def test_pictures_that_are_passed_over_are_counted(tmp_path):
    (tmp_path / "Ann" / "raw").mkdir(parents=True)
    for name in ("1.jpg", "2.HEIC", "3.heic", "4.psd", "notes.txt", "raw/5.jpg"):
        (tmp_path / "Ann" / name).write_bytes(JPEG)
    said = "4 pictures are passed over .*2 .heic, 1 .psd, 1 in folders inside those of people"
    with pytest.warns(LimenWarning, match=said):
        assert len(FolderSource(tmp_path)) == 1
    with pytest.warns(LimenWarning, match="3 pictures are passed over"):
        assert len(list_images([tmp_path])) == 2


# ---- bombs and special files ----


def png_of(width, height):
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = zlib.compress(bytes(1 + width // 8) * height, 9)
    head = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


BOMBS = {
    "png": png_of(20_000, 20_000),
    "gif": b"GIF89a" + struct.pack("<HH", 60_000, 60_000) + encode(picture(), kind="GIF")[10:],
    "bmp": b"BM" + bytes(12) + struct.pack("<IiiHHI", 40, 40_000, 40_000, 1, 24, 0) + bytes(1000),
    "webp": b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\xff\xff\0" * 2 + bytes(8),
    "jpeg": JPEG.replace(struct.pack(">HH", 112, 112), struct.pack(">HH", 60_000, 60_000), 1),
}


PEAK = """
import resource, sys
import PIL.Image
from limen.data import read_image
from limen.errors import UnreadableImage
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
PIL.Image.init()
first = peak()
for path in sys.argv[1:]:
    try: read_image(path)
    except UnreadableImage as error: print(peak() - first, error, flush=True)
"""


@pytest.fixture(scope="module")
def read(tmp_path_factory):
    """(kB by which memory has grown since the first, error) of each bomb; all in one process, which may crash."""
    folder = tmp_path_factory.mktemp("bombs")
    for kind, content in BOMBS.items():
        (folder / kind).write_bytes(content)
    paths = [folder / kind for kind in BOMBS]
    said = subprocess.run([sys.executable, "-c", PEAK, *paths], capture_output=True, text=True, check=True).stdout
    return {kind: line.split(maxsplit=1) for kind, line in zip(BOMBS, said.splitlines(), strict=True)}


@pytest.mark.skipif(sys.platform == "win32", reason="memory is limited by POSIX means")
@pytest.mark.parametrize("kind", BOMBS)
def test_a_small_file_does_not_unfold_to_gigabytes(read, kind):
    assert len(BOMBS[kind]) < 100_000
    grown, error = read[kind]
    assert int(grown) < 150_000  # kB
    assert re.search(f"{kind}: is (too large|not an image)", error), error


@pytest.mark.skipif(sys.platform == "win32", reason="special files are POSIX")
def test_special_files_are_unreadable_and_never_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    (tmp_path / "zero.jpg").symlink_to("/dev/zero")
    for name, reason in (("pipe", "a named pipe"), ("loop", "lead in a circle"), ("zero", "a device")):
        with pytest.raises(UnreadableImage, match=reason):
            read_image(tmp_path / f"{name}.jpg")


# ---- messages that mislead ----


def test_a_whole_photo_is_to_be_aligned_and_not_squeezed():
    with pytest.raises(UnreadableImage, match="400x300, not 112x112; a whole photo: align its faces first") as caught:
        decode_image(encode(np.full((300, 400, 3), 90, np.uint8)), "face")
    assert "--resize" not in str(caught.value)
