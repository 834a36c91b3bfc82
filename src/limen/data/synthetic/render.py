"""One photograph: head and hair traced at every pixel, lit, laid over a background and degraded."""

from functools import lru_cache
from math import cos, sin
from typing import NamedTuple

import cv2
import numpy as np

from limen.data.synthetic.canvas import DENSITY, noise
from limen.data.synthetic.conditions import SIDE, Conditions, Occlusion
from limen.data.synthetic.features import paint_features
from limen.data.synthetic.hair import hair_length, paint_hair
from limen.data.synthetic.head import Shell, hair_shell, head_shell, sample
from limen.data.synthetic.identity import Identity, draw_identity
from limen.data.synthetic.skin import paint_skin

TEMPLATE = np.array([38.2946 + 51.6963j, 73.5318 + 51.5014j, 56.0252 + 71.7366j, 41.5493 + 92.3655j, 70.7299 + 92.2041j])
OVERSAMPLING = 1.5
FRAME = round(SIDE * OVERSAMPLING)
GRID = (np.arange(FRAME) + 0.5) / OVERSAMPLING - 0.5
PIXELS = GRID[None, :] + 1j * GRID[:, None]


class Sitter(NamedTuple):
    """A person with what of them does not change between images."""

    person: Identity
    head: Shell
    skin: np.ndarray
    head_normals: np.ndarray
    hair: Shell
    hair_texture: np.ndarray
    hair_normals: np.ndarray
    length: float


@lru_cache(maxsize=64)
def sitter(seed: int, number: int) -> Sitter:
    person = draw_identity(seed, number)
    rng = np.random.default_rng(int(person.strands))
    length = hair_length(person)
    head, hair, texture = head_shell(person), hair_shell(person, length), paint_hair(person, rng)
    skin = paint_skin(person, rng)
    shade = cv2.GaussianBlur(np.roll(texture[..., 3], 5 * DENSITY, axis=0), (0, 0), 3 * DENSITY)
    skin *= 1 - 0.3 * shade[..., None]
    return Sitter(person, head, skin, head.normals(), hair, texture, hair.normals(), length)


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
    rng = np.random.default_rng((seed, 2, number, image))
    subject = sitter(seed, number)
    a, b = alignment(landmarks(subject.person, subject.head, conditions), conditions)
    seen = (PIXELS - b) / a
    u, v = seen.real.astype(np.float32), seen.imag.astype(np.float32)
    cloth = rng.uniform(20, 210, 3)
    frame = _background(rng)
    yaw, pitch = conditions.yaw, conditions.pitch
    skin_shadow = subject.person.skin_colour * 0.62

    phi, y, cover = subject.hair.trace(u, v, yaw, pitch)
    hair = sample(subject.hair_texture, phi, y, DENSITY)
    hair_light = _light(sample(subject.hair_normals, phi, y), conditions, 0.1)[..., None]
    behind = (cover * (subject.person.hair_cut * 0 + 1))[..., None]
    frame += behind * (0.55 * hair[..., :3] * hair_light - frame)

    neck = ((0.74 * subject.person.width - np.abs(u - 8 * sin(yaw))) * 0.8).clip(0, 1) * ((v - 25) / 8).clip(0, 1)
    frame += neck[..., None] * (skin_shadow - frame)

    texture = subject.skin.copy()
    paint_features(texture, subject.person, conditions, cloth)
    phi, y, head_cover = subject.head.trace(u, v, yaw, pitch)
    face = sample(texture, phi, y, DENSITY)
    light = _light(sample(subject.head_normals, phi, y), conditions, 0.18)
    frame += head_cover[..., None] * (face * light[..., None] - frame)

    alpha = (cover * hair[..., 3])[..., None]
    frame += alpha * (hair[..., :3] * hair_light - frame)
    frame *= np.array([1 + conditions.warmth, 1, 1 - conditions.warmth], np.float32)
    small = cv2.resize(frame, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return np.rint(small).clip(0, 255).astype(np.uint8)


def _background(rng: np.random.Generator) -> np.ndarray:
    base = rng.uniform(30, 220, 3)
    knots = (base + rng.normal(0, 22, (4, 4, 1)) + rng.normal(0, 8, (4, 4, 3))).astype(np.float32)
    return cv2.resize(knots, (FRAME, FRAME), interpolation=cv2.INTER_CUBIC)


def _light(normal: np.ndarray, conditions: Conditions, gloss: float) -> np.ndarray:
    """Ambient plus directed light on unit normals (..., 3), with a soft terminator and a highlight."""
    azimuth, elevation, yaw, pitch = conditions.light_azimuth, conditions.light_elevation, conditions.yaw, conditions.pitch
    right, down, front = sin(azimuth) * cos(elevation), -sin(elevation), cos(azimuth) * cos(elevation)
    down, front = down * cos(pitch) + front * sin(pitch), front * cos(pitch) - down * sin(pitch)
    right, front = right * cos(yaw) - front * sin(yaw), front * cos(yaw) + right * sin(yaw)
    facing = normal @ np.array([right, down, front], np.float32)
    share = conditions.light_contrast
    diffuse = np.maximum((facing + 0.3) / 1.3, 0)
    highlight = np.maximum(facing, 0) ** 16
    return (1 - share) + 1.45 * share * diffuse + gloss * share * highlight
