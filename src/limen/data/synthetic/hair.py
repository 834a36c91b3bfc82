"""Hair: its colour and cover on a shell around the skull."""

import numpy as np

from limen.data.synthetic.canvas import enlarge, noise
from limen.data.synthetic.head import COLUMNS, ROWS
from limen.data.synthetic.identity import Identity

CUTS = {"bald": 0.08, "short": 0.5, "medium": 0.75, "long": 1.0}  # upper end of each on hair_cut, which femininity lengthens


def cut(person: Identity) -> str:
    position = person.hair_cut * 0.62 + 0.38 * (person.femininity > 0.5)
    return next(name for name, end in CUTS.items() if position <= end)


def hair_length(person: Identity) -> float:
    """How far down the hair reaches at the sides, pixels below the eyes."""
    return {"bald": 4.0, "short": 8.0, "medium": 45.0, "long": 110.0}[cut(person)] + 6 * person.hair_curl


def paint_hair(person: Identity, rng: np.random.Generator) -> np.ndarray:
    """The texture of the hair, uint8 (rows, columns, 4): colour and cover."""
    curly = person.hair_curl > 0.75
    knots = (64, 58) if curly else (4 + round(6 * person.hair_curl), 90)
    streaks = noise(rng, *knots) + 0.5 * noise(rng, knots[0] // 2 + 2, knots[1] * 2)
    gleam = enlarge(np.exp(-0.5 * ((ROWS[:, None] + 46 - 0.25 * np.abs(COLUMNS)) / 6) ** 2))
    light = 1 + 0.16 * streaks + 0.3 * gleam * (1 + 0.4 * streaks)
    edge = _edge(person) + 1.1 * noise(rng, 1, 60, (1, len(COLUMNS)))[0]
    cover = ((edge - ROWS[:, None]) / 3.5 + 0.5).astype(np.float32)
    cover = (enlarge(cover) + 0.22 * streaks).clip(0, 1)
    colour = person.hair_colour.astype(np.float32) * light[..., None].clip(0.35, 2)
    return np.dstack([colour.clip(0, 255), 255 * cover]).astype(np.uint8)


def _edge(person: Identity) -> np.ndarray:
    """The height where the hair ends, one for each column."""
    style, away = cut(person), np.abs(COLUMNS)
    front = -66.0 if style == "bald" else person.hairline
    side = {"bald": -20.0, "short": 2.0, "medium": 40.0, "long": 110.0}[style]
    inner = 40 if style in ("bald", "short") else 34
    edge = np.interp(away, [0, 16, 27, inner, inner + 9], [front, front - 1, front - person.temples + 3, -20, side])
    if style != "bald":
        sweep = np.interp(COLUMNS, [-36, 26 * person.parting, 36], [1, 0, 1])
        edge += (14 if person.femininity > 0.5 else 6) * (sweep - 0.5) * (away < inner) * (person.hair_volume / 6) * 0.8
    return edge.astype(np.float32)
