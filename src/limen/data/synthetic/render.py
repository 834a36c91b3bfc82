"""One photograph: hair, neck, ears and head traced at every pixel, lit, and laid over a background."""

from math import cos, sin

import cv2
import numpy as np

from limen import align
from limen.data.synthetic.canvas import DENSITY, blend
from limen.data.synthetic.conditions import SIDE, Conditions, Occlusion
from limen.data.synthetic.features import disc, paint_features
from limen.data.synthetic.head import TOP, Shell, sample
from limen.data.synthetic.identity import Identity
from limen.data.synthetic.layers import background, dye, illuminate, lay, put_on_hat, raise_hand
from limen.data.synthetic.sitter import sitter

TEMPLATE = align.TEMPLATE @ (1, 1j)  # as x + iy
GRID = np.arange(SIDE, dtype=np.float32)
EAR = disc(0, 0, 1) @ np.array([4.5, 8.5j]) + 6j


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
    person, yaw, pitch, occlusion = subject.person, conditions.yaw, conditions.pitch, conditions.occlusion
    frame, cloth = background(rng), dye(rng)

    a, b = alignment(landmarks(person, subject.head, conditions), conditions)
    turn, offset = 1 / a, -b / a
    u = np.float32(turn.real) * GRID - np.float32(turn.imag) * GRID[:, None] + np.float32(offset.real)
    v = np.float32(turn.imag) * GRID + np.float32(turn.real) * GRID[:, None] + np.float32(offset.imag)

    # the far side of the hair, which shows where the near side of it does not cover neck and background
    hat = occlusion == Occlusion.HAT
    hair_texture = put_on_hat(subject.hair_texture, conditions, cloth, TEMPLATE[0].imag) if hat else subject.hair_texture
    phi, y, outline = subject.hair.trace(u, v, yaw, pitch)
    outline *= np.float32(1 / 255)
    hair = sample(hair_texture, phi, y, DENSITY)
    hair_colour, hair_cover = cv2.cvtColor(hair, cv2.COLOR_RGBA2RGB), outline * hair[..., 3]
    hair_light = sample(illuminate(subject.hair_normals, conditions, gloss=0.1), phi, y, 0.5)
    far_cover = outline * hair_texture[:, 0, 3].take(((y - TOP) * DENSITY).astype(np.intp), mode="clip")
    frame = lay(frame, hair_colour, far_cover, 0.6 * hair_light)

    lower = frame[SIDE // 2 :]
    across = (u[SIDE // 2 :] - 8 * sin(yaw)) / (0.74 * person.width)
    neck = ((1 - np.abs(across)) * 24).clip(0, 1) * ((v[SIDE // 2 :] - 25) / 8).clip(0, 1)
    throat = cloth if occlusion == Occlusion.SCARF else person.skin_colour.astype(np.float32)
    lower[:] = lay(lower, np.broadcast_to(throat, lower.shape), neck, 0.68 - 0.3 * across * across)
    for side in (-1, 1):
        ear = a * (EAR + side * (person.width + 1) * cos(yaw)) + b
        blend(frame, np.array([ear.real, ear.imag]).T, 0.8 * person.skin_colour, opacity=1, softness=0.8)

    texture = subject.skin.copy()
    paint_features(texture, person, conditions, cloth)
    texture = cv2.GaussianBlur(texture, (3, 3), 0)  # two texels to the pixel: without a mean over them lines would break up
    phi, y, cover = subject.head.trace(u, v, yaw, pitch)
    face_light = illuminate(sample(subject.head_normals, phi, y), conditions, gloss=0.18)
    frame = lay(frame, sample(texture, phi, y, DENSITY), cover, face_light)
    frame = lay(frame, hair_colour, hair_cover, hair_light)

    if occlusion == Occlusion.HAND:
        raise_hand(frame, conditions, rng)
    return cv2.convertScaleAbs(cv2.transform(frame, np.diag([1 + conditions.warmth, 1, 1 - conditions.warmth])))
