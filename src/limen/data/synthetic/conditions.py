"""How one image is taken: pose, light, expression, occlusion, and the true figures of its quality."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from limen.align import SIZE as SIDE


class Occlusion(IntEnum):
    """What lies before the face."""

    NONE = 0
    SUNGLASSES = 1
    SCARF = 2
    HAT = 3
    HAND = 4


SIZES = {Occlusion.SUNGLASSES: (0.14, 0.2), Occlusion.SCARF: (0.25, 0.45), Occlusion.HAT: (0.1, 0.25), Occlusion.HAND: (0.25, 0.45)}


@dataclass(frozen=True)
class Conditions:
    """Angles in radians, lengths in pixels of the 112 x 112 crop; the values are those the image is made with.

    yaw > 0 turns the nose to the image's right, pitch > 0 down; roll, zoom and shift are what alignment left over.
    light_contrast is the share of directed light, warmth > 0 a yellower white. smile, mouth_open, brow_raise and eye_close run from 0
    (neutral) to 1 (smile from -1). occlusion_size is the share of the crop's side that the occluder reaches over.
    severity in [0, 1] is the common cause behind blur, resolution, noise, compression and exposure, which are `degrade`'s arguments.
    """

    yaw: float
    pitch: float
    roll: float
    zoom: float
    shift_x: float
    shift_y: float
    light_azimuth: float
    light_elevation: float
    light_contrast: float
    warmth: float
    smile: float
    mouth_open: float
    brow_raise: float
    eye_close: float
    gaze: float
    occlusion: Occlusion
    occlusion_size: float
    severity: float
    blur: float
    resolution: int
    noise: float
    compression: int
    exposure: float


def draw_conditions(seed: int, person: int, image: int, difficulty: float) -> Conditions:
    """The conditions of one image: independent of all others. `difficulty` scales every departure from a frontal, clean photograph."""
    rng = np.random.default_rng((seed, 1, person, image))

    def normal(spread: float, limit: float) -> float:
        return max(-limit, min(limit, difficulty * spread * float(rng.normal())))

    def rare(probability: float) -> float:
        """Zero, or with a probability that grows with the difficulty a value in [0, 1]."""
        happens, amount = rng.random(2)
        return float(amount) if happens < difficulty * probability else 0.0

    occluded, kind = rng.random() < 0.1 * difficulty, Occlusion(int(rng.integers(1, len(Occlusion))))
    occlusion_size = float(rng.uniform(*SIZES[kind]))
    severity = float(min(1.0, difficulty * rng.random() ** 4))
    shares = severity * rng.random(5) ** 1.5
    blur, coarse, noise, compression, exposure = np.where(shares < 0.05, 0, shares)
    return Conditions(
        yaw=normal(0.25, 0.75),
        pitch=normal(0.1, 0.35),
        roll=normal(0.03, 0.12),
        zoom=float(np.exp(normal(0.02, 0.08))),
        shift_x=normal(0.8, 3),
        shift_y=normal(0.8, 3),
        light_azimuth=normal(0.6, 1.3),
        light_elevation=0.5 + normal(0.3, 0.6),
        light_contrast=0.45 + normal(0.12, 0.3),
        warmth=normal(0.07, 0.2),
        smile=normal(0.4, 1),
        mouth_open=rare(0.35),
        brow_raise=rare(0.3),
        eye_close=rare(0.25) * 0.9,
        gaze=normal(0.3, 1),
        occlusion=kind if occluded else Occlusion.NONE,
        occlusion_size=occlusion_size if occluded else 0.0,
        severity=severity,
        blur=round(3.5 * float(blur), 3),
        resolution=round(SIDE * (1 - 0.88 * float(coarse))),
        noise=round(30 * float(noise), 3),
        compression=round(100 - 92 * float(compression)),
        exposure=round(2 ** (1.3 * float(exposure) * float(rng.choice((-1, 1)))), 4),
    )
