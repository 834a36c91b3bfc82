"""Encoded bytes to one kind of picture: 8-bit RGB of the size wanted. What cannot become one is an UnreadableImage that says why."""

import os
from os import PathLike

import cv2
import numpy as np

from limen.errors import LimenError, UnreadableImage

SIZE = 112
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")

# A bad image is reported once, with its name, by the caller; OpenCV would print a nameless line of its own for each.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def decode_image(encoded: bytes | np.ndarray, where: str, size: int = SIZE, on_other_size: str = "refuse") -> np.ndarray:
    """The picture in `encoded` as (size, size, 3) uint8 RGB; gray, CMYK, palette, 16-bit and transparent ones are converted.

    Args:
        encoded: the bytes of a JPEG, PNG, WebP, BMP or TIFF file, or a uint8 array of them.
        where: what to call the image in messages, such as its path.
        size: side of the square wanted, in pixels.
        on_other_size: "refuse" raises for a picture of another size, "resize" scales it, not keeping its proportions.

    Raises:
        UnreadableImage: not an image, empty, cut short, or of another size; the text starts with `where`.
    """
    data = encoded.tobytes() if isinstance(encoded, np.ndarray) else bytes(encoded)
    if not data:
        raise UnreadableImage(f"{where}: is empty")
    if _is_cut_short(data):
        raise UnreadableImage(f"{where}: is cut short (it has no end-of-image marker)")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error as error:
        raise UnreadableImage(f"{where}: cannot be decoded ({error.err})") from error
    if image is None:
        raise UnreadableImage(f"{where}: is not an image, or a damaged one")
    height, width = image.shape[:2]
    if (height, width) == (size, size):
        return image
    if on_other_size == "resize":
        shrinks = height * width > size * size
        return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    raise UnreadableImage(
        f"{where}: is {width}x{height}, not {size}x{size}; align the faces, or resize them "
        "(--data.options.on_other_size resize in training, --resize in limen embed and limen quality)"
    )


def read_image(path: str | PathLike[str], size: int = SIZE, on_other_size: str = "refuse") -> np.ndarray:
    """decode_image of a file; one that cannot be opened is an UnreadableImage too."""
    where = str(path)
    try:
        descriptor = os.open(path, os.O_RDONLY)  # a file object would cost as much as reading a small image
        try:
            encoded = os.read(descriptor, os.fstat(descriptor).st_size)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise UnreadableImage(f"{where}: cannot be opened ({error.strerror})") from error
    return decode_image(encoded, where, size, on_other_size)


def check_on_other_size(on_other_size: str) -> str:
    """`on_other_size` itself if decode_image knows it, so that a reader refuses a misspelt one before the first image."""
    if on_other_size not in ("refuse", "resize"):
        raise LimenError(f"on_other_size: {on_other_size!r} is not known; use refuse or resize")
    return on_other_size


def _is_cut_short(data: bytes) -> bool:
    """Whether a JPEG or PNG lacks its end. OpenCV before 4.12 returns such a JPEG with the rest in gray."""
    if data.startswith(b"\xff\xd8"):
        # Neither marker occurs inside a scan, where 0xff is followed by 0; comparing the two passes over the end marker of an
        # embedded thumbnail and over padding after the image.
        return not data.endswith(b"\xff\xd9") and data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda")
    return data.startswith(b"\x89PNG") and data.rfind(b"IEND") < 0
