"""A person ready to be photographed: shape and paint, kept while in use."""

from functools import lru_cache
from typing import NamedTuple

import cv2
import numpy as np

from limen.data.synthetic.canvas import DENSITY
from limen.data.synthetic.hair import hair_length, paint_hair
from limen.data.synthetic.head import Shell, hair_shell, head_shell
from limen.data.synthetic.identity import Identity, draw_identity
from limen.data.synthetic.skin import paint_skin


class Sitter(NamedTuple):
    """What of a person does not change between images; textures uint8, normals float32 on the grid of the head."""

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
    shadow = cv2.GaussianBlur(np.roll(texture[..., 3], 5 * DENSITY, axis=0), (0, 0), 3 * DENSITY) * np.float32(0.3 / 255)
    skin = (paint_skin(person, rng) * (1 - shadow[..., None])).astype(np.uint8)
    return Sitter(person, head, head.normals(), skin, hair, hair.normals(), texture)
