"""Hair: its colour and cover on a shell around the skull."""

from typing import NamedTuple

import cv2
import numpy as np

from limen.data.synthetic.canvas import enlarge, noise
from limen.data.synthetic.head import COLUMNS, ROWS
from limen.data.synthetic.identity import Identity


class Cut(NamedTuple):
    """A kind of haircut: heights in pixels below the eyes, and how far from the middle the forehead ends."""

    length: float
    side: float
    temple: float
    bald: bool = False


CUTS = ((0.08, Cut(4, -20, 40, bald=True)), (0.5, Cut(8, 2, 40)), (0.75, Cut(45, 40, 34)), (1.0, Cut(110, 110, 34)))


def cut(person: Identity) -> Cut:
    """Longer for women: each entry of CUTS reaches up to a place between shortest, 0, and longest, 1."""
    place = person.hair_cut * 0.62 + 0.38 * (person.femininity > 0.5)
    return next(kind for end, kind in CUTS if place <= end)


def hair_length(person: Identity) -> float:
    """How far down the hair reaches, pixels below the eyes."""
    return cut(person).length + 6 * person.hair_curl


def paint_hair(person: Identity, rng: np.random.Generator) -> np.ndarray:
    """The texture of the hair, uint8 (rows, columns, 4): colour and cover."""
    curly = person.hair_curl > 0.75
    knots = (64, 58) if curly else (4 + round(6 * person.hair_curl), 90)
    streaks = noise(rng, *knots) + 0.5 * noise(rng, knots[0] // 2 + 2, knots[1] * 2)
    gleam = 0.3 * enlarge(np.exp(-0.5 * ((ROWS[:, None] + 46 - 0.25 * np.abs(COLUMNS)) / 6) ** 2))
    light = (1 + gleam + (0.16 + 0.4 * gleam) * streaks).clip(0.35, 2)
    edge = _edge(person) + 1.1 * noise(rng, 1, 60, (1, len(COLUMNS)))[0]
    cover = ((edge - ROWS[:, None]) / 3.5 + 0.5).astype(np.float32)
    cover = (enlarge(cover) + 0.22 * streaks).clip(0, 1)
    return cv2.merge(
        [*(cv2.convertScaleAbs(light, alpha=channel) for channel in person.hair_colour), cv2.convertScaleAbs(cover, alpha=255)]
    )


def _edge(person: Identity) -> np.ndarray:
    """The height where the hair ends, one for each column."""
    kind, away = cut(person), np.abs(COLUMNS)
    front = -66.0 if kind.bald else person.hairline
    ends = [front, front - 1, front - person.temples + 3, -20, kind.side]
    edge = np.interp(away, [0, 16, 27, kind.temple, kind.temple + 9], ends)
    if not kind.bald:
        parted = np.interp(COLUMNS, [-36, 26 * person.parting, 36], [0.5, -0.5, 0.5]) * (away < kind.temple)
        edge += (11 if person.femininity > 0.5 else 5) * parted * person.hair_volume / 6
    return edge.astype(np.float32)
