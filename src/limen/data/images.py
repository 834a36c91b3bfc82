"""Encoded bytes to one kind of picture: 8-bit RGB of the size wanted. What cannot become one is an UnreadableImage that says why.

JPEG is read by libjpeg-turbo through simplejpeg, which gives the same pixels as OpenCV and refuses what OpenCV only warns of (a damaged
scan, bytes too many). All else is read by OpenCV, after Pillow has read from its head how large it would be.
Importing this sets OpenCV's log level for the whole process, for OpenCV prints a nameless line for each bad image, which the caller names.
"""

import io
from os import PathLike

import cv2
import numpy as np
import simplejpeg

from limen.align import SIZE
from limen.errors import LimenError, UnreadableImage
from limen.files import MIB, read_plain_file

MEAN, STD = 0.5, 0.5  # a network is fed (image / 255 - MEAN) / STD, where nothing else is stated
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".jfif", ".jpe", ".gif", ".jp2", ".avif", ".ppm", ".pgm")
# Pictures that are not read: whoever passes over some says so.
OTHER_SUFFIXES = (".heic", ".heif", ".jxl", ".svg", ".psd", ".raw", ".dng", ".cr2", ".nef", ".arw", ".tga", ".ico", ".exr", ".hdr")
FORMATS = ("PNG", "WEBP", "BMP", "DIB", "TIFF", "GIF", "JPEG2000", "AVIF", "PPM")  # as Pillow calls those that OpenCV reads
LARGEST_FILE = 256 * MIB
MOST_PIXELS = 1 << 26  # 67 million: a 400 MP file of 50 kB would take gigabytes
ALIGNED_UP_TO = 256  # pixels a side: a larger picture of another size is a photo, not a crop

cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def decode_image(encoded: bytes | np.ndarray, where: str, size: int = SIZE, on_other_size: str = "refuse") -> np.ndarray:
    """The picture in `encoded` as (size, size, 3) uint8 RGB; gray, CMYK, palette, 16-bit and transparent ones are converted.

    Args:
        encoded: the bytes of a JPEG, PNG, WebP, BMP, TIFF, GIF (its first frame), JPEG 2000, AVIF or PPM file, or a uint8 array of them.
        where: what to call the image in messages, such as its path.
        size: side of the square wanted, in pixels.
        on_other_size: "refuse" raises for a picture of another size, "resize" scales it, not keeping its proportions.

    Raises:
        UnreadableImage: not an image, empty, cut short, damaged as far as its format can tell, of more than 67 million pixels, or of
            another size; the text starts with `where`.

    >>> import numpy as np
    >>> import cv2
    >>> from limen.data import decode_image
    >>> encoded = cv2.imencode(".png", np.zeros((112, 112, 3), np.uint8))[1]
    >>> decode_image(encoded, "black.png").shape
    (112, 112, 3)
    """
    image = decode_photo(encoded, where, size)
    height, width = image.shape[:2]
    if (height, width) == (size, size):
        return image
    if on_other_size == "resize":
        shrinks = height * width > size * size
        return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    remedy = (
        "a whole photo: align its faces first (limen data align, or --detector), for resizing would squeeze it"
        if max(height, width) > ALIGNED_UP_TO
        else "align the faces (limen data align, or --detector), or where they are aligned, resize them (--resize; "
        "--data.options.on_other_size resize in training)"
    )
    raise UnreadableImage(f"{where}: is {width}x{height}, not {size}x{size}; {remedy}")


def read_image(path: str | PathLike[str], size: int = SIZE, on_other_size: str = "refuse") -> np.ndarray:
    """decode_image of a file; one that cannot be opened, or is no plain file, is an UnreadableImage too.

    >>> import cv2, pathlib, tempfile
    >>> import numpy as np
    >>> from limen.data import read_image
    >>> path = pathlib.Path(tempfile.mkdtemp(), "black.png")
    >>> cv2.imwrite(str(path), np.zeros((112, 112, 3), np.uint8))
    True
    >>> read_image(path).shape
    (112, 112, 3)
    """
    return decode_image(encoded_file(path), str(path), size, on_other_size)


def encoded_file(path: str | PathLike[str]) -> bytes:
    """The bytes of an image file. Raises UnreadableImage for one that cannot be opened, or is no plain file."""
    try:
        return read_plain_file(path, LARGEST_FILE)
    except LimenError as error:
        raise UnreadableImage(str(error)) from error


def decode_photo(encoded: bytes | np.ndarray, where: str, likely_size: int = 0) -> np.ndarray:
    """The picture in `encoded` as (H, W, 3) uint8 RGB, as large as it is; otherwise as `decode_image`. One that turns out to have no more
    pixels than a square of `likely_size` takes less time."""
    data = encoded.tobytes() if isinstance(encoded, np.ndarray) else bytes(encoded)
    if not data:
        raise UnreadableImage(f"{where}: is empty")
    return _decode_jpeg(data, where, likely_size) if data.startswith(b"\xff\xd8") else _decode_other(data, where)


def read_photo(path: str | PathLike[str]) -> np.ndarray:
    """decode_photo of a file; one that cannot be opened, or is no plain file, is an UnreadableImage too."""
    return decode_photo(encoded_file(path), str(path))


def image_size(path: str | PathLike[str]) -> tuple[int, int]:
    """(width, height) in the head of an image file, which is not decoded. Raises UnreadableImage."""
    from PIL import Image  # here, for most images are JPEG

    try:
        with Image.open(io.BytesIO(read_plain_file(path, LARGEST_FILE))) as head:
            return head.size
    except Exception as error:  # the readers of damaged heads raise what they like
        raise UnreadableImage(f"{path}: is not an image, or a damaged one") from error


def stem_of(name: str) -> str:
    """`name` without the ending of an image; names of people may hold dots."""
    ending = next((suffix for suffix in IMAGE_SUFFIXES if name.lower().endswith(suffix)), "")
    return name[: len(name) - len(ending)]


def check_on_other_size(on_other_size: str) -> str:
    """`on_other_size` itself if decode_image knows it, so that a reader refuses a misspelt one before the first image."""
    if on_other_size not in ("refuse", "resize"):
        raise LimenError(f"on_other_size: {on_other_size!r} is not known; use refuse or resize")
    return on_other_size


def _decode_jpeg(data: bytes, where: str, likely_size: int) -> np.ndarray:
    # Neither marker occurs inside a scan, where 0xff is followed by 0; comparing the two passes over the end marker of an embedded
    # thumbnail and over padding after the image.
    if not data.endswith(b"\xff\xd9") and data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda"):
        raise UnreadableImage(f"{where}: is cut short (it has no end-of-image marker)")
    try:
        image = simplejpeg.decode_jpeg(data, buffer=np.empty(3 * likely_size**2, np.uint8))
    except ValueError:  # larger than that, or damaged: now its head is asked
        try:
            height, width, _, _ = simplejpeg.decode_jpeg_header(data)
            _check_pixels(width, height, where)
            image = simplejpeg.decode_jpeg(data)
        except ValueError as error:
            raise UnreadableImage(f"{where}: is damaged ({error})") from error
    # A camera's picture says which way is up, and OpenCV turns it.
    return _opencv(data, where) if data.find(b"Exif\0\0", 0, 1 << 16) >= 0 else image


def _decode_other(data: bytes, where: str) -> np.ndarray:
    from PIL import Image  # here, for most images are JPEG

    if data.startswith(b"\x89PNG") and data.rfind(b"IEND") < 0:
        raise UnreadableImage(f"{where}: is cut short (it has no end-of-image marker)")
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as head:
            width, height = head.size
    except Image.DecompressionBombError as error:
        raise UnreadableImage(f"{where}: is too large, of more than {MOST_PIXELS:,} pixels; reduce it") from error
    except Exception as error:  # the readers of damaged heads raise what they like
        raise UnreadableImage(f"{where}: is not an image, or a damaged one") from error
    _check_pixels(width, height, where)
    return _opencv(data, where)


def _check_pixels(width: int, height: int, where: str) -> None:
    if width * height > MOST_PIXELS:
        raise UnreadableImage(f"{where}: is too large, {width}x{height} pixels of at most {MOST_PIXELS:,}; reduce it")


def _opencv(data: bytes, where: str) -> np.ndarray:
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error as error:
        raise UnreadableImage(f"{where}: cannot be decoded ({error.err})") from error
    if image is None:
        raise UnreadableImage(f"{where}: is not an image, or a damaged one")
    return image
