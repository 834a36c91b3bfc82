"""What a photograph is put together from besides head and hair: light, background, and things before the face."""

from math import cos, sin

import cv2
import numpy as np

from limen.data.synthetic.canvas import DENSITY, blend, texels
from limen.data.synthetic.conditions import SIDE, Conditions
from limen.data.synthetic.head import COLUMNS
from limen.data.synthetic.identity import SKIN, along


def lay(frame: np.ndarray, colour: np.ndarray, cover: np.ndarray, light: np.ndarray) -> np.ndarray:
    """`colour` (H, W, 3) times `light` (H, W) over the frame, float32, where `cover` (H, W) is one."""
    lit = cv2.multiply(colour, cv2.cvtColor(light, cv2.COLOR_GRAY2RGB), dtype=cv2.CV_32F)
    return cv2.blendLinear(frame, lit, 1 - cover, cover)


def illuminate(normal: np.ndarray, conditions: Conditions, gloss: float) -> np.ndarray:
    """The light (H, W) that unit normals of the head (H, W, 3) send to the camera.

    Ambient light from above and before, directed light with a soft terminator, and a highlight. The direction of the light is
    turned into the head's own frame, so that normals need not be turned.
    """
    azimuth, elevation, yaw, pitch = conditions.light_azimuth, conditions.light_elevation, conditions.yaw, conditions.pitch
    right, down, front = sin(azimuth) * cos(elevation), -sin(elevation), cos(azimuth) * cos(elevation)
    down, front = down * cos(pitch) + front * sin(pitch), front * cos(pitch) - down * sin(pitch)
    right, front = right * cos(yaw) - front * sin(yaw), front * cos(yaw) + right * sin(yaw)
    share = conditions.light_contrast
    facing = cv2.transform(normal, np.array([(right, down, front)]))
    ambient = cv2.transform(normal, (1 - share) * np.array([(0, -0.15, 0.35, 0.6)]))  # the last is a constant
    diffuse, highlight = np.maximum(facing + 0.25, 0), cv2.pow(np.maximum(facing, 0), 16)
    return cv2.scaleAdd(diffuse, 1.2 * share, cv2.scaleAdd(highlight, gloss * share, ambient))


def background(rng: np.random.Generator) -> np.ndarray:
    """Smooth noise of muted colour, float32 (112, 112, 3)."""
    knots = rng.uniform(45, 205) + rng.normal(0, 18, 3) + rng.normal(0, 18, (4, 4, 1)) + rng.normal(0, 5, (4, 4, 3))
    return cv2.resize(knots.clip(0, 255).astype(np.uint8), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC).astype(np.float32)


def dye(rng: np.random.Generator) -> np.ndarray:
    """The colour of a cloth, float32 (3,)."""
    return (rng.uniform(40, 190) + rng.normal(0, 25, 3)).clip(5, 230).astype(np.float32)


def put_on_hat(hair_texture: np.ndarray, conditions: Conditions, cloth: np.ndarray, eyes_at: float) -> np.ndarray:
    """A copy of the hair's texture under a knitted cap, whose brim is occlusion_size of the crop below its upper edge."""
    capped, brim = hair_texture.copy(), int(texels(np.array([0, SIDE * conditions.occlusion_size - eyes_at]))[1])
    ribs = 1 + 0.12 * np.sin(2.2 * np.repeat(COLUMNS, DENSITY))[:, None]
    capped[:brim, :, :3] = np.minimum(cloth * ribs, 255)
    capped[brim - 7 * DENSITY : brim, :, :3] = 0.7 * cloth
    capped[:brim, :, 3] = 255
    return capped


def raise_hand(frame: np.ndarray, conditions: Conditions, rng: np.random.Generator) -> None:
    """Four fingers, occlusion_size of the crop wide, laid over the frame from any side but above."""
    colour, width = along(SKIN, rng.random()), SIDE * conditions.occlusion_size / 4
    direction = np.exp(1j * rng.uniform(-0.3, np.pi + 0.3))
    middle = SIDE * (0.5 + 0.5j + rng.uniform(-0.2, 0.2) * 1j * direction)
    for k, shorter in enumerate((0.08, 0.01, 0.0, 0.04)):
        tip = middle + ((k - 1.5) * width * 1j + shorter * SIDE) * direction
        finger = np.array([tip, tip + SIDE * direction])
        for shade, share in ((0.7, 1.0), (1.0, 0.65)):
            blend(frame, np.array([finger.real, finger.imag]).T, shade * colour, 1, 0.12 * width, share * width)
