"""Changes of one image by OpenCV: functions of uint8 RGB (H, W, 3). None writes into its input."""

import cv2
import numpy as np

from limen.data.augmentation.changes import Changes

INTERPOLATIONS = (cv2.INTER_NEAREST, cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)  # in the order of `changes`
LUMA = (2989, 5870, 1140)  # ten-thousandths of red, green and blue
SHARES, UNIT = np.array(LUMA) / 10_000, np.eye(3)


def apply(image: np.ndarray, changes: Changes) -> np.ndarray:
    """The image after `changes`, in the order of their fields; where there are none, the very same array."""
    height, width = image.shape[:2]
    if changes.mirrored:
        image = cv2.flip(image, 1)
    if changes.kept is not None:
        image = crop(image, *changes.kept)
    if changes.reduced is not None:
        h, w, down, up = changes.reduced
        image = resize(resize(image, w, h, INTERPOLATIONS[down]), width, height, INTERPOLATIONS[up])
    for operation, factor in changes.photometric:
        image = OPERATIONS[operation](image, factor)
    return image


def crop(image: np.ndarray, top: int, left: int, height: int, width: int) -> np.ndarray:
    """A rectangle left where it is, black around it."""
    cropped = np.zeros(image.shape, np.uint8)
    cropped[top : top + height, left : left + width] = image[top : top + height, left : left + width]
    return cropped


def resize(image: np.ndarray, width: int, height: int, interpolation: int) -> np.ndarray:
    """cv2.resize; cubic and Lanczos in float32, rounded and clipped: within one level of its uint8 answer.

    OpenCV's loops for float32 are faster. For cubic it would ask Intel's library, whose pixels depend on the processor: for the time of the
    call it is told not to, in this thread alone.
    """
    if interpolation not in (cv2.INTER_CUBIC, cv2.INTER_LANCZOS4):
        return cv2.resize(image, (width, height), interpolation=interpolation)
    asks = cv2.ipp.useIPP()
    cv2.ipp.setUseIPP(False)
    try:
        resized = cv2.resize(image.astype(np.float32), (width, height), interpolation=interpolation)
    finally:
        cv2.ipp.setUseIPP(asks)
    return cv2.addWeighted(resized, 1, resized, 0, 0, dtype=cv2.CV_8U)


def brightness(image: np.ndarray, factor: float) -> np.ndarray:
    """factor * image, rounded and clipped to 0..255."""
    return cv2.convertScaleAbs(image, alpha=factor)


def contrast(image: np.ndarray, factor: float) -> np.ndarray:
    """factor * image + (1 - factor) * mean luma of the image, rounded and clipped."""
    red, green, blue, _ = cv2.sumElems(image)  # whole numbers, as their weights: exact
    total = LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue
    return cv2.addWeighted(image, factor, image, 0, (1 - factor) * (total / (10_000 * image.shape[0] * image.shape[1])))


def saturation(image: np.ndarray, factor: float) -> np.ndarray:
    """factor * image + (1 - factor) * luma of each pixel, rounded and clipped."""
    return cv2.transform(image, factor * UNIT + (1 - factor) * SHARES)


OPERATIONS = (brightness, contrast, saturation)  # in the order of `changes`
