"""Templates: what is compared where a person is known by several images. Of one image each, where a benchmark compares images."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Templates:
    """T templates of R rows over the images of a source. A row is one image in one template; an image may be in several.

    Attributes:
        image: (R,) int64 the number of each row's image in the source.
        template: (R,) int64 in [0, T) the row's template.
        media: (R,) the photo or video that the image is from; the same medium in two templates is two media.
        person: (T,) int64 the person of each template, -1 where nobody knows; two unknown ones are two people.
        names: T names, for messages: "template 12", "Probe/18_3.jpg".
        weight: (R,) 0 or above, such as a face detector's scores; None weighs all alike.
    """

    image: np.ndarray
    template: np.ndarray
    media: np.ndarray
    person: np.ndarray
    names: Sequence[str]
    weight: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.person)

    @classmethod
    def of_images(cls, person: np.ndarray, names: Sequence[str]) -> "Templates":
        """One template of each image, in the order of the source."""
        rows = np.arange(len(person))
        return cls(rows, rows, rows, np.asarray(person, np.int64), names)
