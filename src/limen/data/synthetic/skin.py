"""What is painted on the head once for a person: skin, its shadows and marks, and the beard."""

import cv2
import numpy as np

from limen.data.synthetic.canvas import DENSITY, SHAPE, enlarge, noise, paint
from limen.data.synthetic.head import COLUMNS, ROWS, bumps, mirrored
from limen.data.synthetic.identity import Identity


def paint_skin(person: Identity, rng: np.random.Generator) -> np.ndarray:
    """The texture of the bare head, uint8 (rows, columns, 3), without eyes, brows and mouth."""
    tip, eye, mouth, wing = person.nose_length, person.eye_spacing, person.mouth_height, person.nose_width
    shadow = bumps(
        np.array(
            [
                *mirrored(eye, -1, 8.5, 5, 0.16),
                *mirrored(0.45 * eye, -1, 3, 5, 0.1),
                *mirrored(0.95 * eye, 6.5, 6, 2.2, 0.04 + 0.1 * person.lines),
                (0, tip + 5.2, 0.8 * wing, 1.6, 0.2),
                *mirrored(0.95 * wing, tip + 1.5, 1.3, 2.6, 0.14),
                (0, mouth + 7.5, 7, 2.2, 0.14),
                (0, mouth - 6, 1.1, 3, 0.07),
                *mirrored(60, 20, 14, 40, 0.15),
                (0, 70, 60, 8, 0.2),
            ]
        )
    )
    blush = bumps(np.array([*mirrored(25, 18, 9, 8, 0.5), (0, tip, 6, 5, 0.5), (0, 52, 12, 6, 0.2), *mirrored(14, -30, 14, 8, 0.1)]))
    tone = enlarge(1 - shadow) * (1 + 0.012 * (noise(rng, 24, 22) + noise(rng, 110, 100)))
    flush = enlarge(blush) * tone * (1 - 0.5 * person.melanin)
    channels = zip(person.skin_colour, (4, -12, -9), strict=True)
    skin = cv2.merge([cv2.addWeighted(tone, colour, flush, red, 0, dtype=cv2.CV_8U) for colour, red in channels])
    _lines(skin, person)
    _marks(skin, person, rng)
    return _beard(skin, person, rng) if person.beard_density > 0 else skin


def _lines(skin: np.ndarray, person: Identity) -> None:
    """The folds from nose to mouth, and the nostrils."""
    dark = 0.62 * person.skin_colour
    tip, wing, mouth = person.nose_length, person.nose_width, person.mouth_height
    for side in (-1, 1):
        fold = [(wing + 1.5, tip - 1), (wing + 5, tip + 6), (person.mouth_width + 2.5, mouth - 4), (person.mouth_width + 3.5, mouth + 2)]
        paint(skin, np.array(fold) * (side, 1), dark, 0.06 + 0.34 * person.lines, 1.2, 1.0)
        angle = np.linspace(0, 2 * np.pi, 12)
        nostril = np.array([side * 0.46 * wing + 0.2 * wing * np.cos(angle), tip + 3.6 + 0.8 * np.sin(angle)]).T
        paint(skin, nostril, 0.3 * person.skin_colour, 0.7, 0.5)
        rim = [(wing * 0.98, tip - 2.5), (wing * 1.12, tip + 0.8), (wing * 0.95, tip + 3.0), (wing * 0.7, tip + 3.6)]
        paint(skin, np.array(rim) * (side, 1), dark, 0.35, 0.7, 0.6)


def _marks(skin: np.ndarray, person: Identity, rng: np.random.Generator) -> None:
    """Freckles over nose and cheeks, and moles anywhere."""
    angle = np.linspace(0, 2 * np.pi, 8)
    circle = np.array([np.cos(angle), np.sin(angle)]).T
    for place in rng.normal((0, 14), (16, 6), (int(50 * max(0.0, person.freckles)), 2)):
        paint(skin, place + rng.uniform(0.3, 0.6) * circle, person.skin_colour * (0.76, 0.66, 0.6), 0.6, 0.3)
    for place in rng.uniform((-34, -26), (34, 56), (int(max(0.0, person.moles)), 2)):
        paint(skin, place + rng.uniform(0.6, 1.2) * circle, person.skin_colour * 0.36, 0.85, 0.3)


def _beard(skin: np.ndarray, person: Identity, rng: np.random.Generator) -> np.ndarray:
    """Hair below a line from the sideburns under the cheeks to the upper lip, thin to full."""
    mouth, away = person.mouth_height, np.abs(COLUMNS)
    line = np.interp(away, [0, 7, person.mouth_width + 4, 34, 46, 56], [mouth - 9, mouth - 9, mouth - 4, mouth - 8, mouth - 26, -6])
    cover = ((ROWS[:, None] - line) / 7).clip(0, 1).astype(np.float32)
    cover *= 1 - bumps(np.array([(0, mouth + 0.5, 0.62 * person.mouth_width, 2.6, 1.0)])).clip(0, 1)
    strands = (0.5 + 0.22 * noise(rng, 90, SHAPE[1] // DENSITY)).clip(0, 1)
    alpha = enlarge(cover) * (0.25 + 0.75 * strands) * min(1.0, 1.5 * person.beard_density)
    channels = zip(cv2.split(skin), 0.85 * person.hair_colour.astype(np.float32), strict=True)
    return cv2.merge([(below + alpha * (colour - below)).astype(np.uint8) for below, colour in channels])
