"""Generated people as a source of faces."""

from dataclasses import asdict, fields

import numpy as np

from limen.data.synthetic.conditions import Conditions, draw_conditions
from limen.data.synthetic.degrade import degrade
from limen.data.synthetic.render import photograph
from limen.errors import LimenError


class SyntheticFaces:
    """Images of people who do not exist, drawn when asked for, aligned to the 112 x 112 template; no download, no consent needed.

    The people are numbers first_identity to first_identity + identities - 1 of the population `seed`, so two sources of one seed whose
    ranges do not meet hold different people. Image i shows person i // images_per_identity. Each depends only on (seed, person, number of
    the image, difficulty): the same bytes in any order and process with the same OpenCV and numpy. difficulty scales pose, light,
    expression, occlusion and loss of quality; 0 is frontal, neutral and clean, and only the background varies.

    >>> from limen.data import SyntheticFaces
    >>> faces = SyntheticFaces(identities=3, images_per_identity=2)
    >>> len(faces), faces.labels, faces.image(0).shape
    (6, array([0, 0, 1, 1, 2, 2]), (112, 112, 3))
    """

    def __init__(
        self, identities: int = 200, images_per_identity: int = 20, seed: int = 0, first_identity: int = 0, difficulty: float = 1.0
    ) -> None:
        if identities < 1 or images_per_identity < 1 or min(seed, first_identity) < 0 or difficulty < 0:
            raise LimenError(
                "synthetic faces: need identities and images_per_identity >= 1, seed, first_identity and difficulty >= 0, "
                f"not {identities=}, {images_per_identity=}, {seed=}, {first_identity=}, {difficulty=}"
            )
        self.seed, self.first_identity, self.difficulty = seed, first_identity, difficulty
        self.images_per_identity = images_per_identity
        self.labels = np.repeat(np.arange(identities, dtype=np.int64), images_per_identity)
        self.class_names = [f"synthetic-{first_identity + k:05d}" for k in range(identities)]

    def __len__(self) -> int:
        return len(self.labels)

    def _place(self, index: int) -> tuple[int, int]:
        """Number of the person and of the image of that person."""
        if not 0 <= index < len(self):
            raise IndexError(f"image {index} of {len(self)} synthetic faces")
        person, image = divmod(int(index), self.images_per_identity)
        return self.first_identity + person, image

    def conditions(self, index: int) -> Conditions:
        """How image `index` is taken."""
        return draw_conditions(self.seed, *self._place(index), self.difficulty)

    def image(self, index: int) -> np.ndarray:
        """uint8 RGB (112, 112, 3)."""
        taken, (person, image) = self.conditions(index), self._place(index)
        return degrade(
            photograph(self.seed, person, image, taken),
            blur=taken.blur,
            resolution=taken.resolution,
            noise=taken.noise,
            compression=taken.compression,
            exposure=taken.exposure,
            rng=np.random.default_rng((self.seed, 3, person, image)),
        )

    def locate(self, index: int) -> str:
        """Where the image comes from, for messages."""
        person, image = self._place(index)
        return f"synthetic identity {person} image {image} (seed {self.seed})"

    def truth(self, index: int) -> dict[str, float]:
        """The true figures of one image by the names of `Conditions`."""
        return {name: float(value) for name, value in asdict(self.conditions(index)).items()}

    def truths(self) -> dict[str, np.ndarray]:
        """The true figures of all images, float64 (N,) each, without drawing them."""
        every = [self.conditions(index) for index in range(len(self))]
        return {field.name: np.array([getattr(taken, field.name) for taken in every], float) for field in fields(Conditions)}
