"""What moves with the expression and is painted for every image: eyes, brows, mouth, and sunglasses and scarf over them."""

import numpy as np

from limen.data.synthetic.canvas import fill, keep_within, paint, texels, window
from limen.data.synthetic.conditions import SIDE, Conditions, Occlusion
from limen.data.synthetic.identity import Identity

ARC = np.linspace(-1, 1, 17)
ARCH = 1 - ARC**2
TURN = 2 * np.pi * np.arange(24) / 24
CIRCLE = np.array([np.cos(TURN), np.sin(TURN)]).T
WAVE = ARCH * np.cos(3 * np.pi * ARC)
BOW = ARCH**0.7 * (1 - 0.32 * np.exp(-((ARC / 0.13) ** 2)) + 0.15 * np.exp(-(((np.abs(ARC) - 0.25) / 0.15) ** 2)))
BROW = (1 - (0.5 * (ARC + 1)) ** 3) * np.minimum(1, 2 + 1.5 * ARC)
WHITE, BLACK = np.full(3, 240.0), np.full(3, 14.0)


def disc(x: float, y: float, radius: float) -> np.ndarray:
    return (x, y) + radius * CIRCLE


def between(x: np.ndarray, upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """The polygon between two curves over the same x."""
    return np.array([np.concatenate([x, x[::-1]]), np.concatenate([upper, lower[::-1]])]).T


def line(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.array([x, y]).T


def paint_features(texture: np.ndarray, person: Identity, conditions: Conditions, cloth: np.ndarray) -> None:
    """Paints into a uint8 texture of the bare head; `cloth` is the colour of a scarf."""
    for side in (-1, 1):
        _eye(texture, person, conditions, side)
        _brow(texture, person, conditions, side)
    _mouth(texture, person, conditions)
    if conditions.occlusion == Occlusion.SUNGLASSES:
        _sunglasses(texture, person, conditions)
    if conditions.occlusion == Occlusion.SCARF:
        edge = 60.5 - SIDE * conditions.occlusion_size
        texture[int(texels(np.array([0, edge]))[1]) :] = cloth


def _eye(texture: np.ndarray, person: Identity, conditions: Conditions, side: int) -> None:
    """Sclera, iris, pupil and highlight, seen between the lids, and the lids' lines."""
    middle, height, skin = side * person.eye_spacing, person.eye_height, person.skin_colour
    x = middle + side * person.eye_width * ARC
    level = 0.8 - person.eye_tilt * person.eye_width * ARC
    opened = (1 - conditions.eye_close) * (1 + 0.2 * conditions.brow_raise - 0.15 * max(0.0, conditions.smile))
    lower = level + 0.5 * height * ARCH * (1 + 0.25 * ARC)
    upper = lower - 1.5 * height * opened * ARCH * (1 - 0.15 * ARC)
    iris_x, iris_y, radius = middle + 1.6 * conditions.gaze, 0.4 - 0.12 * height, 3.6
    fill(texture, line(x, upper - person.lid_crease * ARCH**0.5), 0.7 * skin, thickness=0.5)
    almond = between(x, upper, lower)
    lids = window(almond)
    outside = texture[lids].copy()
    texture[lids] = 0.72 * WHITE + 0.2 * skin
    fill(texture, disc(iris_x, iris_y, radius), 0.5 * person.iris_colour)
    fill(texture, disc(iris_x, iris_y, 0.8 * radius), 1.1 * person.iris_colour)
    fill(texture, disc(iris_x, iris_y, 0.42 * radius), BLACK)
    fill(texture, between(x, upper - 1, upper + 0.9), 0.35 * WHITE)
    fill(texture, disc(iris_x - 1.1, iris_y - 1.2, 0.75), WHITE)
    keep_within(texture[lids], outside, almond, lids)
    fill(texture, line(x, lower), 0.66 * skin, thickness=0.5)
    lash = 0.4 + 0.7 * person.femininity
    fill(texture, between(x, upper - lash * (1 + 0.6 * ARC) * ARCH**0.4, upper + 0.3), 0.2 * skin)


def _brow(texture: np.ndarray, person: Identity, conditions: Conditions, side: int) -> None:
    """A stroke of hair that tapers outwards."""
    x = side * (person.eye_spacing + person.brow_length * (1.05 * ARC + 0.05))
    raised = person.brow_height + 3.0 * conditions.brow_raise
    y = person.brow_tilt * person.brow_length * ARC - raised - person.brow_arch * (1 - (ARC - 0.25) ** 2)
    half = 0.5 * person.brow_thickness * (1.35 - 0.35 * person.femininity) * BROW
    paint(texture, between(x, y - half, y + half), 0.7 * person.hair_colour + 0.08 * person.skin_colour, 0.85, 0.5)


def _mouth(texture: np.ndarray, person: Identity, conditions: Conditions) -> None:
    """Two lips that part over teeth; a smile widens them and lifts the corners."""
    smile, opened, lip = conditions.smile, conditions.mouth_open, person.lip_colour
    x = person.mouth_width * (1 + 0.12 * smile - 0.08 * opened) * ARC
    seam = person.mouth_height - (2.6 * smile + 0.7) * ARC**2 + 0.7 * smile + 0.35 * WAVE
    parted, gap = seam + 7 * opened * ARCH**0.7, 0.9 * opened * ARCH
    top = seam - gap - person.upper_lip * (1 - 0.15 * smile) * BOW
    bottom = parted + person.lower_lip * (1 - 0.12 * smile) * ARCH**0.6
    paint(texture, between(x, top, bottom), lip, 0.9, 0.4)
    paint(texture, between(0.96 * x, top + 0.3, seam - gap), 0.84 * lip, 0.7, 0.4)
    paint(texture, between(0.55 * x, parted + 0.25 * person.lower_lip, parted + 0.6 * person.lower_lip), 1.15 * lip + 8, 0.35, 0.6)
    if opened > 0.05:
        fill(texture, between(0.94 * x, seam - gap, parted), (46, 18, 20))
        fill(texture, between(0.8 * x, seam - gap, np.minimum(seam - gap + 2.6 * ARCH**0.3, parted)), 0.92 * WHITE)
    else:
        fill(texture, line(x, seam), 0.45 * lip, thickness=0.5)


def _sunglasses(texture: np.ndarray, person: Identity, conditions: Conditions) -> None:
    """Two dark lenses, a bridge and the bows."""
    half, frame = 0.5 * SIDE * conditions.occlusion_size, np.array([20.0, 19, 22])
    rounded = np.sign(CIRCLE) * np.abs(CIRCLE) ** (0.6, 0.7)
    for side in (-1, 1):
        middle = side * person.eye_spacing
        lens = (middle, 1) + rounded * (13.5, half)
        paint(texture, lens, frame, 0.97, 0.2)
        paint(texture, lens * (0.5, 0.35) + (0.5 * middle - 3, -0.3 * half), (96, 100, 112), 0.35, 1.5)
        paint(texture, np.array([(middle + side * 12, -2), (side * 66, -4)]), frame, 0.95, 0.2, 1.6)
    paint(texture, np.array([(-6, -2), (0, -3.2), (6, -2)]), frame, 0.95, 0.2, 1.6)
