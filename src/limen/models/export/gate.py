"""The proof that an exported model still computes the same: images through both, and a refusal where they differ."""

from dataclasses import dataclass

import numpy as np

from limen.data.synthetic import SyntheticFaces
from limen.errors import LimenError
from limen.models.model import Model

# Of a unit vector's length; a distance d is a cosine of 1 - d^2 / 2.
# Beside what benchmarks/export_parity.py measured over real faces (docs/results/speed.md, "Backends on a CPU"):
# float32: six times the largest that was seen, 1.7e-5 of a quality (vectors 6.7e-6). A cosine of 1 - 5e-9: no printed digit moves.
# bf16: eight times what a MobileFaceNet moved by, .026, in 16 images; deeper networks round more often. A cosine of .98.
# int8: twice what a trained MobileFaceNet moved by, .30. A cosine of .82 is still on the side of the same person at any threshold in use
#   (.2 to .5), and far from what a wrong graph gives (around 0). It does not say that the accuracy holds: that is what --pairs measure.
TOLERANCE = {"float32": 1e-4, "bf16": 0.2, "int8": 0.6}
MADE = 16


@dataclass(frozen=True)
class Parity:
    """The largest differences between a model and what was exported of it.

    vectors   |a - b| of the unit vectors
    norms     |a - b| / a
    quality   |a - b| / max(1, |a|), None where there is no quality
    cosine    lowest of the two vectors of an image
    """

    images: int
    vectors: float
    norms: float
    quality: float | None
    cosine: float
    tolerance: float

    def __str__(self) -> str:
        quality = "" if self.quality is None else f", quality {self.quality:.2g}"
        return f"largest difference over {self.images} images: vectors {self.vectors:.2g}, norms {self.norms:.2g}{quality}"


def check_parity(reference: Model, exported: Model, images: np.ndarray, tolerance: float) -> Parity:
    """The differences over `images` (N, size, size, 3) uint8, without and with the mirror image. Raises LimenError above `tolerance`."""
    differences, cosine = [], 1.0
    for flip in (False, True):
        a, b = reference.embed(images, flip=flip), exported.embed(images, flip=flip)
        if (a.quality is None) != (b.quality is None):
            raise LimenError(f"not exported: one of the two has a quality and the other has none ({reference!r}, {exported!r})")
        found = [np.linalg.norm(a.vectors - b.vectors, axis=1).max(), (abs(a.norms - b.norms) / a.norms).max(), 0.0]
        if a.quality is not None and b.quality is not None:
            found[2] = (abs(a.quality - b.quality) / np.maximum(1, abs(a.quality))).max()
        differences.append(found)
        cosine = min(cosine, float((a.vectors * b.vectors).sum(1).min()))
    vectors, norms, quality = np.max(differences, axis=0).tolist()
    parity = Parity(len(images), vectors, norms, quality if exported.has_quality else None, cosine, tolerance)
    if not max(vectors, norms, quality) <= tolerance:
        raise LimenError(
            f"not exported: {parity}, above the tolerance {tolerance:g}; nothing was written; export at float32, or see --tolerance"
        )
    return parity


def made_images(size: int) -> np.ndarray:
    """(MADE, size, size, 3) uint8: drawn faces, where no real ones are given."""
    faces = SyntheticFaces(MADE, 1)
    images = np.stack([faces.image(number) for number in range(MADE)])
    rows = np.arange(size) * images.shape[1] // size
    return images[:, rows][:, :, rows]
