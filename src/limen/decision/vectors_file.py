"""A file of vectors that `limen embed` wrote, read as people: what was embedded once need not be embedded again."""

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from limen.data import FaceSource, open_source
from limen.data.images import SIZE, read_image
from limen.data.source import reader_of
from limen.decision.overlap import means_of
from limen.errors import LimenError
from limen.files import open_plain_file, parse_json

WRITTEN = "name a file that `limen embed` wrote"


class EmbeddedPeople:
    """A FaceSource of the images in a .npz file of `limen embed`, with their vectors.

    The person in an image is the one that `--templates` gave it, else the name of the folder that it lies in. An image is read from where
    it lay when it was embedded.

    labels (N,), class_names (C,): of a FaceSource. vectors: (N, D) float32, of unit length; None in a gallery of older versions, which
    kept those of the people alone.
    people: (C, D) float32 a gallery's templates; NaN for a person without one. None where the file is no gallery.
    made_by: what made the file.

    Raises LimenError for another file, a damaged one, and vectors that are not of unit length. Nothing in the file is run.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        arrays = read_arrays(
            path, ("vectors", "files", "made_by"), ("templates", "template", "image_vectors"), "vectors, files or made_by", WRITTEN
        )
        gallery = "templates" in arrays
        self.files: np.ndarray = arrays["files"]
        made_by = parse_json(str(arrays["made_by"]), f"{path} made_by")
        self.made_by: dict[str, Any] = made_by if isinstance(made_by, dict) else {}
        names: Sequence[str] = arrays["template"].tolist() if gallery else [Path(file).parent.name for file in self.files.tolist()]
        self.class_names: Sequence[str] = sorted({*names, *(arrays["templates"].tolist() if gallery else ())})
        number = {name: label for label, name in enumerate(self.class_names)}
        self.labels = np.array([number[name] for name in names], np.int64)
        self.vectors: Any = arrays.get("image_vectors") if gallery else arrays["vectors"]
        self.people: np.ndarray | None = None
        if gallery:
            self.people = np.full((len(self.class_names), arrays["vectors"].shape[-1]), np.nan, np.float32)
            places = [number[name] for name in arrays["templates"].tolist()]
            if arrays["vectors"].shape != (len(places), self.people.shape[1]):
                raise LimenError(f"{path}: is damaged: a vector is needed for each person; embed the faces again")
            self.people[places] = arrays["vectors"]
        for kind, vectors, count in (("image", self.vectors, len(self.files)), ("person", arrays["vectors"], None)):
            if vectors is not None and not _are_units(vectors, count):
                raise LimenError(f"{path}: is damaged: a vector of unit length is needed for each {kind}; embed the faces again")
        if len(self.labels) != len(self.files):
            raise LimenError(f"{path}: is damaged: a person is needed for each image; embed the faces again")

    def person_vectors(self) -> np.ndarray:
        """(C, D): each person's template, else the mean of the vectors of the person's images; NaN for a person without one."""
        if self.people is not None:
            return self.people
        return means_of(self.vectors, self.labels, len(self.class_names))

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, index: int) -> np.ndarray:
        return read_image(self.locate(index), SIZE, "resize")

    def locate(self, index: int) -> str:
        return str(self.files[index])


def open_people(path: str | Path, reader: str | None = None) -> FaceSource:
    """The people in a file of `limen embed` (.npz), with their vectors, else the faces that the reader, or the look of the path, opens."""
    if reader is None and Path(path).suffix.lower() == ".npz":
        return EmbeddedPeople(path)
    return open_source(reader or reader_of(path), path)


def read_arrays(path: str | Path, wanted: Sequence[str], also: Sequence[str], lacks: str, remedy: str) -> dict[str, np.ndarray]:
    """The arrays `wanted` of a .npz file, and those of `also` that it has. Raises LimenError for another or a damaged file.

    Nothing in the file is run, and it takes no more memory than it is long.
    """
    try:
        with open_plain_file(path) as file, zipfile.ZipFile(file) as archive:
            names = {info.filename.removesuffix(".npy") for info in archive.infolist() if info.compress_type == zipfile.ZIP_STORED}
            if not names >= set(wanted):
                raise LimenError(f"{path}: lacks {lacks}; {remedy}")
            found = {}
            for name in (*wanted, *(name for name in also if name in names)):
                with archive.open(f"{name}.npy") as member:
                    found[name] = np.lib.format.read_array(member, allow_pickle=False)
            return found
    except (zipfile.BadZipFile, ValueError, EOFError, OSError, NotImplementedError, RuntimeError, MemoryError) as error:
        raise LimenError(f"{path}: is no .npz file that can be read ({error}); {remedy}") from error


def _are_units(vectors: np.ndarray, count: int | None) -> bool:
    fits = vectors.ndim == 2 and vectors.dtype == np.float32 and (count is None or len(vectors) == count)
    return fits and np.isfinite(vectors).all() and np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-3)
