"""One photograph: head and hair traced at every pixel, lit, and laid over a background."""

from functools import lru_cache
from math import cos, sin
from typing import NamedTuple

import cv2
import numpy as np

from limen.data.synthetic.canvas import DENSITY, blend, texels
from limen.data.synthetic.conditions import SIDE, Conditions, Occlusion
from limen.data.synthetic.features import disc, paint_features
from limen.data.synthetic.hair import hair_length, paint_hair
from limen.data.synthetic.head import COLUMNS, TOP, Shell, hair_shell, head_shell, sample
from limen.data.synthetic.identity import SKIN, Identity, along, draw_identity
from limen.data.synthetic.skin import paint_skin

TEMPLATE = np.array([38.2946 + 51.6963j, 73.5318 + 51.5014j, 56.0252 + 71.7366j, 41.5493 + 92.3655j, 70.7299 + 92.2041j])
GRID = np.arange(SIDE, dtype=np.float32)


class Sitter(NamedTuple):
    """A person with what of them does not change between images."""

    person: Identity
    head: Shell
    head_normals: np.ndarray
    skin: np.ndarray
    hair: Shell
    hair_normals: np.ndarray
    hair_texture: np.ndarray


@lru_cache(maxsize=128)
def sitter(seed: int, number: int) -> Sitter:
    person = draw_identity(seed, number)
    rng = np.random.default_rng(int(person.strands))
    head, hair, texture = head_shell(person), hair_shell(person, hair_length(person)), paint_hair(person, rng)
    shadow = cv2.GaussianBlur(np.roll(texture[..., 3], 5 * DENSITY, axis=0), (0, 0), 3 * DENSITY) * np.float32(0.3 / 255)
    skin = (paint_skin(person, rng) * (1 - shadow[..., None])).astype(np.uint8)
    return Sitter(person, head, head.normals(), skin, hair, hair.normals(), texture)


def landmarks(person: Identity, head: Shell, conditions: Conditions) -> np.ndarray:
    """Eyes, nose and mouth corners as seen before alignment, complex (5,)."""
    eye, mouth = person.eye_spacing, person.mouth_width
    x = np.array([-eye, eye, 0, -mouth, mouth])
    y = np.array([0, 0, person.nose_length, person.mouth_height, person.mouth_height])
    return head.project(x, y, conditions.yaw, conditions.pitch)


def alignment(points: np.ndarray, conditions: Conditions) -> tuple[complex, complex]:
    """(a, b) of the similarity  a z + b  that brings the landmarks to the template by least squares, then misplaces them as told."""
    centred, target = points - points.mean(), TEMPLATE - TEMPLATE.mean()
    fit = np.vdot(centred, target) / np.vdot(centred, centred)
    slip = conditions.zoom * np.exp(1j * conditions.roll)
    return slip * fit, TEMPLATE.mean() + complex(conditions.shift_x, conditions.shift_y) - slip * fit * points.mean()


def photograph(seed: int, number: int, image: int, conditions: Conditions) -> np.ndarray:
    """The face of person `number`, uint8 RGB (112, 112, 3), before degradation."""
    subject, rng = sitter(seed, number), np.random.default_rng((seed, 2, number, image))
    person, yaw, pitch = subject.person, conditions.yaw, conditions.pitch
    frame, cloth = _background(rng), (rng.uniform(40, 190) + rng.normal(0, 25, 3)).clip(5, 230).astype(np.float32)

    a, b = alignment(landmarks(person, subject.head, conditions), conditions)
    turn, offset = 1 / a, -b / a
    u = np.float32(turn.real) * GRID - np.float32(turn.imag) * GRID[:, None] + np.float32(offset.real)
    v = np.float32(turn.imag) * GRID + np.float32(turn.real) * GRID[:, None] + np.float32(offset.imag)

    hair_texture = subject.hair_texture
    if conditions.occlusion == Occlusion.HAT:
        hair_texture = _hat(hair_texture, conditions, cloth)
    phi, y, outline = subject.hair.trace(u, v, yaw, pitch)
    hair = sample(hair_texture, phi, y, DENSITY)
    hair_colour, hair_cover = cv2.cvtColor(hair, cv2.COLOR_RGBA2RGB), outline * hair[..., 3] * np.float32(1 / 255)
    hair_light = _light(sample(subject.hair_normals, phi, y), conditions, 0.1)
    at_side = hair_texture[:, 0, 3].take(((y - TOP) * DENSITY).astype(np.intp), mode="clip")
    frame = _lay(frame, hair_colour, outline * at_side * np.float32(1 / 255), 0.6 * hair_light)

    across = (u - 8 * sin(yaw)) / (0.74 * person.width)
    neck = ((1 - np.abs(across)) * 24).clip(0, 1) * ((v - 25) / 8).clip(0, 1)
    throat = cloth if conditions.occlusion == Occlusion.SCARF else person.skin_colour.astype(np.float32)
    frame = _lay(frame, np.broadcast_to(throat, frame.shape), neck, 0.68 - 0.3 * across * across)
    for side in (-1, 1):
        ear = disc(0, 0, 1) * (4.5, 8.5) @ (1, 1j) + side * (person.width + 1.0) * cos(yaw) + 6j
        seen = a * ear + b
        blend(frame, np.array([seen.real, seen.imag]).T, 0.8 * person.skin_colour, 1, 0.8)

    texture = subject.skin.copy()
    paint_features(texture, person, conditions, cloth)
    texture = cv2.GaussianBlur(texture, (3, 3), 0)  # two texels to the pixel, so sampling needs them averaged
    phi, y, cover = subject.head.trace(u, v, yaw, pitch)
    face_light = _light(sample(subject.head_normals, phi, y), conditions, 0.18)
    frame = _lay(frame, sample(texture, phi, y, DENSITY), cover, face_light)
    frame = _lay(frame, hair_colour, hair_cover, hair_light)
    if conditions.occlusion == Occlusion.HAND:
        _hand(frame, conditions, rng)
    return cv2.convertScaleAbs(frame * np.array([1 + conditions.warmth, 1, 1 - conditions.warmth], np.float32))


def _lay(frame: np.ndarray, colour: np.ndarray, cover: np.ndarray, light: np.ndarray) -> np.ndarray:
    """`colour` times `light` over the frame where `cover` is one."""
    kept, added = cv2.cvtColor(1 - cover, cv2.COLOR_GRAY2RGB), cv2.cvtColor(cover * light, cv2.COLOR_GRAY2RGB)
    return frame * kept + cv2.multiply(colour, added, dtype=cv2.CV_32F)


def _background(rng: np.random.Generator) -> np.ndarray:
    """Smooth noise, muted, uint8."""
    knots = rng.uniform(45, 205) + rng.normal(0, 18, 3) + rng.normal(0, 18, (4, 4, 1)) + rng.normal(0, 5, (4, 4, 3))
    return cv2.resize(knots.clip(0, 255).astype(np.uint8), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)


def _hat(hair_texture: np.ndarray, conditions: Conditions, cloth: np.ndarray) -> np.ndarray:
    """The hair's texture under a knitted cap."""
    covered, brim = hair_texture.copy(), int(texels(np.array([0, SIDE * conditions.occlusion_size - TEMPLATE[0].imag]))[1])
    ribs = 1 + 0.12 * np.sin(2.2 * np.repeat(COLUMNS, DENSITY))[:, None]
    covered[:brim] = np.append(np.minimum(cloth * ribs, 255), np.full_like(ribs, 255), axis=1)
    covered[brim - 7 * DENSITY : brim, :, :3] = covered[brim, :, :3] * 0 + (0.7 * cloth).astype(np.uint8)
    return covered


def _hand(frame: np.ndarray, conditions: Conditions, rng: np.random.Generator) -> None:
    """Four fingers laid over the face from any side but above."""
    colour = along(SKIN, rng.random())
    width = SIDE * conditions.occlusion_size / 4
    along_finger = np.exp(1j * rng.uniform(-0.3, np.pi + 0.3))
    tip = SIDE * (0.5 + 0.5j) + SIDE * rng.uniform(-0.2, 0.2) * 1j * along_finger
    for k, shorter in enumerate((0.08, 0.01, 0.0, 0.04)):
        start = tip + (k - 1.5) * width * 1j * along_finger + shorter * SIDE * along_finger
        finger = np.array([start, start + SIDE * along_finger])
        for shade, share in ((0.7, 1.0), (1.0, 0.65)):
            blend(frame, np.array([finger.real, finger.imag]).T, shade * colour, 1, 0.12 * width, share * width)


def _light(normal: np.ndarray, conditions: Conditions, gloss: float) -> np.ndarray:
    """Ambient plus directed light on unit normals (H, W, 3) of the head: (H, W), with a soft terminator and a highlight."""
    azimuth, elevation, yaw, pitch = conditions.light_azimuth, conditions.light_elevation, conditions.yaw, conditions.pitch
    right, down, front = sin(azimuth) * cos(elevation), -sin(elevation), cos(azimuth) * cos(elevation)
    down, front = down * cos(pitch) + front * sin(pitch), front * cos(pitch) - down * sin(pitch)
    right, front = right * cos(yaw) - front * sin(yaw), front * cos(yaw) + right * sin(yaw)
    share = conditions.light_contrast
    facing, open_sky = cv2.split(cv2.transform(normal, np.array([[right, down, front], [0, -0.3, 0.7]], np.float32)))
    lit = np.maximum(facing, 0)
    shine = np.square(np.square(np.square(np.square(lit))))
    diffuse = np.maximum((facing + np.float32(0.25)) * np.float32(1 / 1.25), 0)
    return (1 - share) * (0.6 + 0.5 * open_sky) + 1.5 * share * diffuse + gloss * share * shine
