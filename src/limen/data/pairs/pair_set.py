"""Pairs over the images of a source, and sources that hold images in memory or choose some of another's."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from limen.data.images import SIZE, check_on_other_size, decode_image
from limen.data.source import ImageSource
from limen.data.templates import Templates

FOLDS = 10


@dataclass(frozen=True)
class PairSet:
    """P pairs of images, or of templates, over a source in which each image stands once however many pairs it is in.

    Attributes:
        name: what to call the set in a report.
        source: the images.
        first, second: (P,) int64 numbers of the images of each pair; of the templates where there are any.
        same: (P,) bool, True for a mated pair.
        subject: (len(source),) int64, the person in each image, or (T,) in each template, for intervals that draw people and not pairs.
        folds: into how many contiguous folds the pairs fall, or the fold of each pair (P,); None where the benchmark has none and
            reports TAR@FAR alone.
        people: "named", or "joined" where the file names none and those whom a mated pair joins count as one.
        templates: what the pairs compare, where that is not single images.
        groups: grouping -> (P,) the group of people that each pair stands for, such as "African" in RFW; "" for a pair that it passes over.
            The grouping of a benchmark itself is "", others have the names of columns: "sex".
        far: false accept rates that the benchmark's tables print; empty where it has none of its own.
        switches: how it was read, for people.
        names: of the people, by the number in `subject`; None where they are not known.
        sha256: of the file of pairs; empty where it is none, or not known.
    """

    name: str
    source: ImageSource
    first: np.ndarray
    second: np.ndarray
    same: np.ndarray
    subject: np.ndarray
    folds: int | np.ndarray | None = FOLDS
    people: Literal["named", "joined"] = "named"
    templates: Templates | None = None
    groups: Mapping[str, np.ndarray] = field(default_factory=dict)
    far: tuple[float, ...] = ()
    switches: Mapping[str, Any] = field(default_factory=dict)
    names: Sequence[str] | None = None
    sha256: str = ""

    def __len__(self) -> int:
        return len(self.same)

    def place(self, number: int) -> str:
        """What to call the image or template `number`, as `first` and `second` have them."""
        return self.source.locate(number) if self.templates is None else str(self.templates.names[number])

    def image_of(self, number: int) -> int:
        """The image `number` itself, or the first one of the template."""
        return number if self.templates is None else int(self.templates.image[np.argmax(self.templates.template == number)])


def joined_subjects(first: np.ndarray, second: np.ndarray, same: np.ndarray, count: int) -> np.ndarray:
    """(count,) int64: the groups of images joined by mated pairs, which stand for people where a file names none."""
    mated = coo_array((np.ones(same.sum()), (first[same], second[same])), shape=(count, count))
    return connected_components(mated, directed=False)[1].astype(np.int64)


class EncodedSource:
    """An ImageSource of encoded images held in memory; `places` say where each comes from."""

    def __init__(self, encoded: Sequence[bytes], places: Sequence[str], size: int = SIZE, on_other_size: str = "refuse") -> None:
        self.encoded = encoded
        self.places = places
        self.size = size
        self.on_other_size = check_on_other_size(on_other_size)

    def __len__(self) -> int:
        return len(self.encoded)

    def image(self, index: int) -> np.ndarray:
        return decode_image(self.encoded[index], self.places[index], self.size, self.on_other_size)

    def locate(self, index: int) -> str:
        return self.places[index]


class SubsetSource:
    """An ImageSource of some images of another, renumbered."""

    def __init__(self, source: ImageSource, indices: np.ndarray) -> None:
        self.source = source
        self.indices = indices

    def __len__(self) -> int:
        return len(self.indices)

    def image(self, index: int) -> np.ndarray:
        return self.source.image(int(self.indices[index]))

    def locate(self, index: int) -> str:
        return self.source.locate(int(self.indices[index]))
