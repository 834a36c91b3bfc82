"""Several sources of faces as one."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from limen.data.source import BY_SUFFIX, FaceSource, open_source, reader_of
from limen.errors import LimenError
from limen.lookup import did_you_mean

KEYS = ("name", "reader", "path", "options", "weight")  # of an entry of data.sources


class JointSource:
    """A FaceSource of the images of `sources`, one source after the other.

    Person `Ann` of source `lfw` is `Ann@lfw`, so people of one name in two sources are two people. With `join` they are one, of their bare
    name, and people stand in the order of their names. An image is named as its own source names it.

    Args:
        sources: by their names, which hold neither @ nor /.
        weights: how many times an image of each source stands in an epoch, on average; 1 unless given.

    >>> from limen.data import JointSource, SyntheticFaces
    >>> both = JointSource({"a": SyntheticFaces(2, 1), "b": SyntheticFaces(1, 2, first_identity=2)})
    >>> both.class_names, both.labels.tolist()
    (['synthetic-00000@a', 'synthetic-00001@a', 'synthetic-00002@b'], [0, 1, 2, 2])
    """

    def __init__(self, sources: Mapping[str, FaceSource], weights: Sequence[float] | None = None, join: bool = False) -> None:
        for name in sources:
            if not name or set(name) & set("@/"):
                raise LimenError(f"source {name!r}: give it a name without @ and /")
        self.names, self.sources = list(sources), list(sources.values())
        self.bounds = np.cumsum([0, *map(len, self.sources)])
        self.weights = [1.0] * len(self.sources) if weights is None else list(weights)
        people = [
            [name if join else f"{name}@{own}" for name in source.class_names] for own, source in zip(self.names, self.sources, strict=True)
        ]
        everyone = [name for names in people for name in names]
        self.class_names: Sequence[str] = sorted(set(everyone)) if join else everyone
        number = {name: label for label, name in enumerate(self.class_names)}
        labels = [np.array([number[name] for name in names])[source.labels] for names, source in zip(people, self.sources, strict=True)]
        self.labels = np.concatenate(labels).astype(np.int64)

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, index: int) -> np.ndarray:
        source, own = self.place(index)
        return source.image(own)

    def locate(self, index: int) -> str:
        source, own = self.place(index)
        return source.locate(own)

    def place(self, index: int) -> tuple[FaceSource, int]:
        """The source of an image, and its number there."""
        which = int(np.searchsorted(self.bounds, index, side="right")) - 1
        return self.sources[which], int(index - self.bounds[which])

    @property
    def images_per_epoch(self) -> int:
        return sum(round(weight * size) for weight, size in zip(self.weights, np.diff(self.bounds).tolist(), strict=True))


def open_data(data: Mapping[str, Any]) -> FaceSource:
    """The faces that the section `data` of a recipe names: those of its `sources` where there are some, else of its reader.

    Raises LimenError for an entry that is not known or lacks its path, two sources of one name, a path beside sources, and as of the
    readers.
    """
    if not data.get("sources"):
        return open_source(data["reader"], data["path"], **data["options"])
    for key in ("path", "options"):
        if data[key]:
            raise LimenError(f"data.{key}: is there beside data.sources, which have their own; leave one of them out")
    opened, weights = dict[str, FaceSource](), list[float]()
    for number, entry in enumerate(data["sources"]):
        where, path, options = f"data.sources[{number}]", entry.get("path"), entry.get("options") or {}
        if unknown := [key for key in entry if key not in KEYS]:
            raise LimenError(f"{where}: unknown key {str(unknown[0])[:40]!r}; {did_you_mean(str(unknown[0])[:40], KEYS)}")
        texts = {key: entry[key] for key in ("name", "reader", "path") if entry.get(key) is not None}
        if bad := [key for key, value in texts.items() if not isinstance(value, str)] or ([] if isinstance(options, dict) else ["options"]):
            raise LimenError(f"{where}: {bad[0]} is {entry[bad[0]]!r}; give {'a mapping' if bad == ['options'] else 'text'}")
        if path is None and "name" not in texts:
            raise LimenError(f"{where}: has no path; give the folder or file to read")
        weight = entry.get("weight", 1.0)
        if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 < weight <= 1000:
            raise LimenError(f"{where}: weight {weight!r} must be a number above 0, of at most 1000")
        name = texts.get("name") or name_of(path)
        if name in opened:
            raise LimenError(f"{where}: there is a source {name!r} already; give it another name")
        opened[name] = open_source(texts.get("reader") or reader_of(path), path, **options)
        weights.append(float(weight))
    return JointSource(opened, weights)


def name_of(path: str) -> str:
    """What a source is called by its path: the last part of it, without the suffix of a file; of a train.rec the folder's."""
    last = Path(path).resolve()
    if last.name in ("train.rec", "data.mdb", "data"):
        last = last.parent
    return last.stem if last.suffix.lower() in BY_SUFFIX else last.name
