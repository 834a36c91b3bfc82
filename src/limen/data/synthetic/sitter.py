"""A person ready to be photographed: shape and paint, kept while in use."""

from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

from limen.data.synthetic.canvas import DENSITY, enlarge
from limen.data.synthetic.hair import hair_length, paint_hair
from limen.data.synthetic.head import Shell, hair_shell, head_shell
from limen.data.synthetic.identity import Identity, draw_identity
from limen.data.synthetic.skin import paint_skin


class Sitter(NamedTuple):
    """What of a person does not change between images.

    Textures are uint8; normals float32, on the head's grid, and for the hair, which is smooth, on every second point of it.
    """

    person: Identity
    head: Shell
    head_normals: np.ndarray
    skin: np.ndarray
    hair: Shell
    hair_normals: np.ndarray
    hair_texture: np.ndarray


@lru_cache(maxsize=128)  # of about 1.2 MB each
def sitter(seed: int, number: int) -> Sitter:
    """Person `number` of the population `seed`."""
    person = draw_identity(seed, number)
    rng = np.random.default_rng(int(person.strands))
    head, hair, texture = head_shell(person), hair_shell(person, hair_length(person)), paint_hair(person, rng)
    cast = cv2.GaussianBlur(np.roll(texture[::DENSITY, ::DENSITY, 3], 5, axis=0), (0, 0), 3)
    shade = enlarge(cv2.convertScaleAbs(cast, alpha=-0.3, beta=255))
    skin = cv2.multiply(paint_skin(person, rng), cv2.cvtColor(shade, cv2.COLOR_GRAY2RGB), scale=1 / 255)
    return Sitter(person, head, head.normals(), skin, hair, hair.normals()[::2, ::2].copy(), texture)
