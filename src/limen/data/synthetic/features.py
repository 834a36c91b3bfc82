"""What moves with the expression and is painted for every image: eyes, brows, mouth, and sunglasses and scarf over them."""

import numpy as np

from limen.data.synthetic.canvas import blend, texels
from limen.data.synthetic.conditions import SIDE, Conditions, Occlusion
from limen.data.synthetic.identity import Identity

ARC = np.linspace(-1, 1, 17)
ARCH = 1 - ARC**2
CIRCLE = np.exp(2j * np.pi * np.arange(24) / 24)
WHITE, BLACK = np.full(3, 240.0), np.full(3, 14.0)


def disc(x: float, y: float, radius: float) -> np.ndarray:
    return np.stack([x + radius * CIRCLE.real, y + radius * CIRCLE.imag], axis=1)


def between(x: np.ndarray, upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    """The polygon between two curves over the same x."""
    return np.stack([np.concatenate([x, x[::-1]]), np.concatenate([upper, lower[::-1]])], axis=1)


def line(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.stack([x, y], axis=1)


def paint_features(texture: np.ndarray, person: Identity, conditions: Conditions, cloth: np.ndarray) -> None:
    """Paints into a float texture of the bare head; `cloth` is the colour of a scarf."""
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
    """Sclera, iris, pupil and highlight within the lids, then the lids' lines."""
    middle, height, skin = side * person.eye_spacing, person.eye_height, person.skin_colour
    x = middle + side * person.eye_width * ARC
    level = 0.8 - person.eye_tilt * person.eye_width * ARC
    opened = (1 - conditions.eye_close) * (1 + 0.2 * conditions.brow_raise - 0.15 * max(0.0, conditions.smile))
    lower = level + 0.5 * height * ARCH * (1 + 0.25 * ARC)
    upper = lower - 1.5 * height * opened * ARCH * (1 - 0.15 * ARC)
    almond = between(x, upper, lower)
    blend(texture, almond, 0.72 * WHITE + 0.2 * skin, within=almond)
    iris_x, iris_y, radius = middle + 1.6 * conditions.gaze, 0.4 - 0.12 * height, 3.5
    blend(texture, disc(iris_x, iris_y, radius), 0.45 * person.iris_colour, 1, 0.2, within=almond)
    blend(texture, disc(iris_x, iris_y, 0.78 * radius), 1.15 * person.iris_colour, 1, 0.3, within=almond)
    blend(texture, disc(iris_x, iris_y, 0.42 * radius), BLACK, 1, 0.1, within=almond)
    blend(texture, between(x, upper - 1, upper + 1.4), BLACK, 0.3, 0.5, within=almond)
    blend(texture, disc(iris_x - 1.1, iris_y - 1.2, 0.75), 255 * np.ones(3), 0.95, within=almond)
    blend(texture, line(x, lower), 0.6 * skin, 0.5, 0.3, 0.5)
    blend(texture, line(x, upper - person.lid_crease * ARCH**0.5), 0.55 * skin, 0.55, 0.4, 0.5)
    lash = 0.5 + 0.9 * person.femininity
    blend(texture, between(x, upper - lash * (0.4 + 0.5 * (ARC + 1)) * ARCH**0.4, upper + 0.35), 0.18 * skin, 0.9, 0.2)


def _brow(texture: np.ndarray, person: Identity, conditions: Conditions, side: int) -> None:
    """A stroke of hair that tapers outwards."""
    t = 0.5 * (ARC + 1)
    x = side * (person.eye_spacing + person.brow_length * (1.05 * ARC + 0.05))
    raised = person.brow_height + 3.0 * conditions.brow_raise
    y = -raised - person.brow_arch * (1 - (ARC - 0.25) ** 2) - side * 0 + person.brow_tilt * person.brow_length * ARC
    half = 0.5 * person.brow_thickness * (1.25 - 0.35 * person.femininity) * (1 - t**3) * np.minimum(1, 0.5 + 3 * t)
    colour = 0.8 * person.hair_colour + 0.08 * person.skin_colour
    blend(texture, between(x, y - half, y + half), colour, 0.55, 0.8)
    blend(texture, between(x, y - 0.8 * half, y + 0.8 * half), colour, 0.6, 0.35)


def _mouth(texture: np.ndarray, person: Identity, conditions: Conditions) -> None:
    """Two lips that part over teeth; a smile widens them and lifts the corners."""
    smile, opened = conditions.smile, conditions.mouth_open
    x = person.mouth_width * (1 + 0.12 * smile - 0.08 * opened) * ARC
    seam = person.mouth_height - 2.6 * smile * ARC**2 + 0.35 * np.cos(3 * np.pi * ARC) * ARCH + 0.7 * smile
    bow = ARCH**0.7 * (1 - 0.32 * np.exp(-((ARC / 0.13) ** 2)) + 0.15 * np.exp(-(((np.abs(ARC) - 0.25) / 0.15) ** 2)))
    parted, gap = seam + 7.5 * opened * ARCH, 0.9 * opened * ARCH
    top = seam - gap - person.upper_lip * (1 - 0.15 * smile) * bow
    bottom = parted + person.lower_lip * (1 - 0.12 * smile) * ARCH**0.6
    lip = person.lip_colour
    blend(texture, between(x, top, bottom), lip, 0.9, 0.45)
    blend(texture, between(x, top, seam - gap), 0.82 * lip, 0.6, 0.5)
    blend(texture, between(0.55 * x, parted + 0.25 * person.lower_lip, parted + 0.6 * person.lower_lip), 1.18 * lip + 8, 0.35, 0.6)
    if opened > 0.05:
        hollow = between(0.94 * x, seam - gap, parted)
        blend(texture, hollow, (46, 18, 20), 1, 0.25)
        blend(texture, between(0.8 * x, seam - gap, seam - gap + 2.6 * ARCH**0.3), 0.95 * WHITE, 0.9, 0.3, within=hollow)
    else:
        blend(texture, line(x, seam), 0.36 * lip, 0.8, 0.25, 0.5)
    for corner in (0, -1):
        blend(texture, disc(x[corner], seam[corner], 1.0), 0.5 * person.skin_colour, 0.5, 0.8)


def _sunglasses(texture: np.ndarray, person: Identity, conditions: Conditions) -> None:
    """Two dark lenses, a bridge and the bows."""
    half, frame = 0.5 * SIDE * conditions.occlusion_size, np.array([20.0, 19, 22])
    power = np.sign(CIRCLE.real) * np.abs(CIRCLE.real) ** 0.6 + 1j * np.sign(CIRCLE.imag) * np.abs(CIRCLE.imag) ** 0.7
    for side in (-1, 1):
        middle = side * person.eye_spacing
        lens = np.stack([middle + 13.5 * power.real, 1 + half * power.imag], axis=1)
        blend(texture, lens, frame, 0.97, 0.2)
        blend(texture, lens * (0.5, 0.35) + (0.5 * middle - 3, -0.3 * half), (96, 100, 112), 0.35, 1.5)
        blend(texture, np.array([(middle + side * 12, -2), (side * 66, -4)]), frame, 0.95, 0.2, 1.6)
    blend(texture, np.array([(-6, -2), (0, -3.2), (6, -2)]), frame, 0.95, 0.2, 1.6)
