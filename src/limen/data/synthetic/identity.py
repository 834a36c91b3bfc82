"""Who is drawn: the shape and colours of one person, a vector of independent draws.

Lengths are roughly pixels of the 112 x 112 crop, measured along the head's surface; the origin lies between the eyes, x to the
right, y down. Colours are RGB, 0 to 255.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

import numpy as np

Draw = Callable[[np.random.Generator], float]

SKIN = np.array([(236, 202, 184), (226, 184, 158), (206, 158, 126), (166, 115, 84), (116, 76, 56), (82, 54, 43)], float)
HAIR = np.array([(26, 23, 22), (52, 37, 30), (88, 60, 42), (136, 98, 62), (196, 158, 106), (222, 192, 142)], float)
IRIS = np.array([(48, 30, 20), (88, 54, 30), (118, 92, 48), (94, 116, 78), (96, 136, 168), (128, 146, 160)], float)
RED_HAIR, GREY_HAIR, LIP = (np.array(colour, float) for colour in ((150, 66, 30), (176, 174, 170), (176, 58, 64)))


def _drawn(draw: Draw) -> Any:
    return field(metadata={"draw": draw})


def _around(mean: float, spread: float) -> Any:
    """A normal draw cut at two spreads."""
    return _drawn(lambda rng: mean + spread * max(-2.0, min(2.0, float(rng.normal()))))


def _between(low: float, high: float) -> Any:
    return _drawn(lambda rng: float(rng.uniform(low, high)))


def along(palette: np.ndarray, position: float) -> np.ndarray:
    """The colour (3,) at `position` in [0, 1] along a palette (K, 3)."""
    places = np.linspace(0, 1, len(palette))
    return np.array([np.interp(position, places, channel) for channel in palette.T])


@dataclass(frozen=True)
class Identity:
    """One person. Every field is drawn on its own; what depends on two of them is a property."""

    # head
    width: float = _around(40.5, 2.2)
    crown: float = _around(-62, 2.5)
    chin: float = _around(60, 3.2)
    jaw_taper: float = _around(3.0, 0.4)
    jaw_round: float = _around(1.9, 0.2)
    cheekbone: float = _around(1.6, 1.0)
    chin_relief: float = _around(2.2, 1.3)
    # eyes and brows
    eye_spacing: float = _around(18.6, 1.0)
    eye_width: float = _around(9.6, 0.8)
    eye_height: float = _around(4.0, 0.6)
    eye_tilt: float = _around(0.06, 0.07)
    lid_crease: float = _around(2.2, 0.9)
    socket: float = _around(2.6, 0.9)
    iris: float = _between(0, 1)
    brow_height: float = _around(9.6, 1.5)
    brow_length: float = _around(10.6, 1.2)
    brow_thickness: float = _around(2.6, 0.7)
    brow_arch: float = _around(1.8, 1.0)
    brow_tilt: float = _around(0.0, 0.1)
    brow_ridge: float = _around(1.6, 0.9)
    # nose and mouth
    nose_length: float = _around(20.5, 1.7)
    nose_width: float = _around(7.9, 1.1)
    nose_height: float = _around(9.5, 1.8)
    nose_bridge: float = _around(0.55, 0.15)
    mouth_height: float = _around(40.8, 1.6)
    mouth_width: float = _around(18.6, 1.5)
    upper_lip: float = _around(2.9, 0.8)
    lower_lip: float = _around(4.2, 0.9)
    lip_redness: float = _between(0.12, 0.6)
    # skin
    melanin: float = _between(0, 1)
    ruddiness: float = _around(0, 5)
    lines: float = _between(0, 1)
    freckles: float = _between(-2, 1)
    moles: float = _between(-1.5, 3)
    # hair
    femininity: float = _between(0, 1)
    hair_lightness: float = _between(0, 1)
    hair_redness: float = _between(-4, 1)
    hair_greyness: float = _between(-3, 1)
    hair_cut: float = _between(0, 1)
    hair_volume: float = _around(5.5, 1.8)
    hair_curl: float = _between(0, 1)
    hairline: float = _around(-35, 4.5)
    temples: float = _between(0, 9)
    parting: float = _around(0, 0.5)
    beard: float = _between(-1, 1)
    strands: float = _between(0, 2**31)

    @cached_property
    def skin_colour(self) -> np.ndarray:
        return (along(SKIN, self.melanin) + np.array([0.6, -0.5, -0.3]) * self.ruddiness).clip(0, 255)

    @cached_property
    def hair_colour(self) -> np.ndarray:
        colour = along(HAIR, self.hair_lightness * (1 - 0.8 * self.melanin))
        colour = colour + max(0.0, self.hair_redness) * (1 - self.melanin) * (RED_HAIR - colour)
        return colour + max(0.0, self.hair_greyness) * (GREY_HAIR - colour)

    @cached_property
    def iris_colour(self) -> np.ndarray:
        return along(IRIS, self.iris * (1 - 0.85 * self.melanin))

    @cached_property
    def lip_colour(self) -> np.ndarray:
        return 0.9 * self.skin_colour + self.lip_redness * (LIP - 0.9 * self.skin_colour)

    @cached_property
    def beard_density(self) -> float:
        return max(0.0, self.beard) if self.femininity < 0.5 else 0.0


def draw_identity(seed: int, number: int) -> Identity:
    """Person `number` of the population `seed`: the same for ever, whoever else is drawn."""
    rng = np.random.default_rng((seed, 0, number))
    return Identity(**{parameter.name: parameter.metadata["draw"](rng) for parameter in fields(Identity)})
