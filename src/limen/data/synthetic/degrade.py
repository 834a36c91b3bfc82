"""Degrade an image by known amounts."""

import cv2
import numpy as np

from limen.errors import LimenError


def degrade(
    image: np.ndarray,
    *,
    blur: float = 0.0,
    resolution: int | None = None,
    noise: float = 0.0,
    compression: int = 100,
    exposure: float = 1.0,
    rng: np.random.Generator | None = None,
) -> np.ndarray:
    """A copy of an image, uint8 RGB (H, W, 3), that passed a worse camera. In this order, each left out at its default:

    1. exposure: values times `exposure`, rounded, clipped at 0 and 255
    2. blur: Gaussian of standard deviation `blur` pixels, borders reflected
    3. resolution: reduced so that the longer side has `resolution` pixels (area mean), enlarged again (bicubic)
    4. noise: independent normal noise of standard deviation `noise` grey levels per pixel and channel, from `rng`, rounded, clipped
    5. compression: JPEG of quality `compression` (1 to 99), chroma at half resolution

    Raises LimenError for an amount out of range, and for noise without `rng`.
    """
    height, width = image.shape[:2]
    longer = max(height, width)
    resolution = longer if resolution is None else resolution
    if blur < 0 or noise < 0 or exposure <= 0 or not 1 <= resolution <= longer or not 1 <= compression <= 100:
        raise LimenError(
            f"degrade: need blur and noise >= 0, exposure > 0, resolution in 1..{longer}, compression in 1..100, "
            f"not {blur=}, {noise=}, {exposure=}, {resolution=}, {compression=}"
        )
    image = cv2.convertScaleAbs(image, alpha=exposure)
    if blur > 0:
        image = cv2.GaussianBlur(image, (0, 0), blur, borderType=cv2.BORDER_REFLECT_101)
    if resolution < longer:
        small = (max(1, round(width * resolution / longer)), max(1, round(height * resolution / longer)))
        image = cv2.resize(cv2.resize(image, small, interpolation=cv2.INTER_AREA), (width, height), interpolation=cv2.INTER_CUBIC)
    if noise > 0:
        if rng is None:
            raise LimenError("degrade: noise needs a generator, pass rng=numpy.random.default_rng(seed)")
        grain = rng.standard_normal(image.shape, dtype=np.float32)
        image = cv2.convertScaleAbs(np.maximum(image + np.float32(noise) * grain, 0))
    if compression < 100:
        encoded = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), (cv2.IMWRITE_JPEG_QUALITY, compression))[1]
        image = cv2.cvtColor(np.asarray(cv2.imdecode(encoded, cv2.IMREAD_COLOR)), cv2.COLOR_BGR2RGB)
    return image
