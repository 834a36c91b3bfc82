import io

import cv2
import numpy as np
import pytest
from PIL import Image

from limen.data import decode_image, read_image
from limen.errors import UnreadableImage


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
    with pytest.raises(UnreadableImage, match=r"b\.jpg: cannot be opened \(No such file"):
        read_image(tmp_path / "b.jpg")
