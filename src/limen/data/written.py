"""Faces of any source, written anew: a list, links, a folder, a tar file, RecordIO, Arrow or Parquet. Encoded images keep their bytes."""

import json
import os
import tarfile
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from limen.data.decisions import save_links
from limen.data.images import decode_photo
from limen.data.joint import JointSource
from limen.data.pairs.pair_set import SubsetSource
from limen.data.readers.arrow_table import pyarrow
from limen.data.readers.listed import save_list
from limen.data.readers.people import check_folder_names, is_image_name
from limen.data.readers.recordio import PEOPLE
from limen.data.readers.recordio_writer import write_recordio
from limen.data.source import FaceSource
from limen.errors import LimenError, UnreadableImage
from limen.files import atomic_write, explain
from limen.tables import write_csv

FORMS = ("list", "links", "folder", "tar", "recordio", "arrow", "parquet")
SUFFIXES = {".csv": "list", ".tar": "tar", ".arrow": "arrow", ".parquet": "parquet"}
ROWS = 100  # of a batch or group, as Hugging Face writes them
MAGIC = (
    (b"\xff\xd8", ".jpg"),
    (b"\x89PNG", ".png"),
    (b"RIFF", ".webp"),
    (b"BM", ".bmp"),
    (b"GIF8", ".gif"),
    (b"P5", ".pgm"),
    (b"P6", ".ppm"),
)
Progress = Callable[[int, int], None]


class ChosenFaces(SubsetSource):
    """A FaceSource of the images `indices` of another, in that order; people without an image left are gone, the rest keep their order."""

    source: FaceSource

    def __init__(self, source: FaceSource, indices: Sequence[int] | np.ndarray) -> None:
        super().__init__(source, np.asarray(indices, np.int64))
        known, labels = np.unique(source.labels[self.indices], return_inverse=True)
        self.labels = labels.astype(np.int64)
        self.class_names: Sequence[str] = [source.class_names[label] for label in known.tolist()]


class RelabelledFaces(ChosenFaces):
    """The images `indices` of another source, image k of the person `people[k]`, who is one of that source's."""

    def __init__(self, source: FaceSource, indices: Sequence[int], people: Sequence[str]) -> None:
        super().__init__(source, indices)
        known = set(people)
        self.class_names = [name for name in source.class_names if name in known]
        number = {name: label for label, name in enumerate(self.class_names)}
        self.labels = np.array([number[name] for name in people], np.int64)


def encoded_image(source: FaceSource, index: int) -> bytes:
    """The bytes of image `index` as its source keeps them; a PNG of its pixels where the source keeps none.

    Raises UnreadableImage.
    """
    while isinstance(source, ChosenFaces | JointSource):
        source, index = (source.source, int(source.indices[index])) if isinstance(source, ChosenFaces) else source.place(index)
    encoded = getattr(source, "encoded", None)
    if encoded is None:
        return cv2.imencode(".png", source.image(index)[..., ::-1])[1].tobytes()
    try:
        return encoded(index)
    except UnreadableImage:
        raise
    except Exception as error:  # a damaged archive raises what zlib likes
        raise UnreadableImage(f"{source.locate(index)}: {error}") from error


def readable(source: FaceSource, progress: Progress) -> tuple[list[int], list[str]]:
    """The images that can be decoded, of whatever size, and what is wrong with the others."""
    good, faults = list[int](), list[str]()
    for index in range(len(source)):
        try:
            decode_photo(encoded_image(source, index), source.locate(index))
            good.append(index)
        except UnreadableImage as error:
            faults.append(str(error))
        progress(index + 1, len(source))
    return good, faults


def form_of(out: str | PathLike[str], form: str | None, of_a_folder: str) -> str:
    """The form of `out`: `form`, or what its suffix says, or `of_a_folder`. Raises LimenError where the two do not agree or out exists."""
    out = Path(out)
    told = SUFFIXES.get(out.suffix.lower())
    if out.suffix.lower() == ".rec":
        raise LimenError(f"--out {out}: RecordIO is a folder with a train.rec; give --to recordio and the folder's name")
    form = form or told or of_a_folder
    wanted = next((suffix for suffix, kind in SUFFIXES.items() if kind == form), "")
    if form != told and (told or wanted):
        raise LimenError(
            f"--out {out}: {form} has a name that ends in {wanted}" if wanted else f"--out {out}: {form} is a folder, not {told}"
        )
    if os.path.lexists(out):
        raise LimenError(f"--out {out}: is there already; name a new one")
    if not out.absolute().parent.is_dir():
        raise LimenError(f"--out {out}: there is no folder {out.parent}; make it or choose another place")
    return form


def write_faces(out: str | PathLike[str], form: str, source: FaceSource, progress: Progress) -> None:
    """Writes all images of `source` to `out`, which appears whole or not at all.

    Images keep their order; in a folder and in RecordIO people stand in their order, and the images of each in theirs. An image keeps
    its file name, with a number before it where the names of a person would not give the order.
    Raises LimenError where an image is no file of its own (list, links) or a person's name is no folder's (links, folder, tar), and
    UnreadableImage.
    """
    out, names = Path(out), source.class_names
    people = [names[label] for label in source.labels.tolist()]
    if form in ("links", "folder", "tar"):
        check_folder_names(names)
    if form in ("list", "links"):
        files = [source.locate(index) for index in range(len(source))]
        if lost := next((file for file in files if not os.path.isfile(file)), None):
            raise LimenError(f"{lost}: is no file of its own, which a list or link could name; --to folder, arrow, ... writes it anew")
        save_list(out, files, people) if form == "list" else save_links(out, files, people)
        progress(len(files), len(files))
    elif form in ("arrow", "parquet"):
        atomic_write(out, lambda temporary: _write_table(temporary, form, source, progress))
    elif form == "tar":
        atomic_write(out, lambda temporary: _write_tar(temporary, source, people, progress))
    else:
        with tempfile.TemporaryDirectory(dir=out.absolute().parent, prefix=f".{out.name}-") as scratch:
            root = Path(scratch) / out.name
            try:
                _write_recordio(root, source, progress) if form == "recordio" else _write_folder(root, source, people, progress)
                os.rename(root, out)
            except OSError as error:
                raise LimenError(f"cannot write {out}: {explain(error)}") from error


def _file_names(source: FaceSource) -> list[str]:
    """A file name for each image, ascending within each person."""
    own = [os.path.basename(source.locate(index)) for index in range(len(source))]
    own = [name if is_image_name(name) else "" for name in own]
    last, mixed = dict[int, str](), set[int]()
    for name, label in zip(own, source.labels.tolist(), strict=True):
        if not name or name <= last.get(label, ""):
            mixed.add(label)
        last[label] = name
    count: Counter[int] = Counter()
    for index, label in enumerate(source.labels.tolist()):
        if label in mixed:
            own[index] = f"{count[label]:06}-{own[index]}" if own[index] else f"{count[label]:06}{_suffix(encoded_image(source, index))}"
        count[label] += 1
    return own


def _suffix(encoded: bytes) -> str:
    return next((suffix for magic, suffix in MAGIC if encoded.startswith(magic)), ".tif" if encoded[:2] in (b"II", b"MM") else ".jpg")


def _write_folder(root: Path, source: FaceSource, people: Sequence[str], progress: Progress) -> None:
    root.mkdir()
    for index, (name, person) in enumerate(zip(_file_names(source), people, strict=True)):
        (root / person).mkdir(exist_ok=True)
        (root / person / name).write_bytes(encoded_image(source, index))
        progress(index + 1, len(source))


def _write_tar(path: Path, source: FaceSource, people: Sequence[str], progress: Progress) -> None:
    with tarfile.open(path, "w", errors="surrogateescape") as archive:
        for index, (name, person) in enumerate(zip(_file_names(source), people, strict=True)):
            encoded = encoded_image(source, index)
            item = tarfile.TarInfo(f"{person}/{name}")
            item.size = len(encoded)
            archive.addfile(item, BytesIO(encoded))
            progress(index + 1, len(source))


def _write_recordio(root: Path, source: FaceSource, progress: Progress) -> None:
    order = np.argsort(source.labels, kind="stable")

    def images() -> Iterator[bytes]:
        for done, index in enumerate(order.tolist(), start=1):
            yield encoded_image(source, index)
            progress(done, len(order))

    write_recordio(root, images(), source.labels[order])
    write_csv(root / PEOPLE, ("label", "person"), ([label, name] for label, name in enumerate(source.class_names)))


def _write_table(path: Path, form: str, source: FaceSource, progress: Progress) -> None:
    arrow = pyarrow()
    image = arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])
    features = {"image": {"_type": "Image"}, "label": {"names": list(source.class_names), "_type": "ClassLabel"}}
    about = {"huggingface": json.dumps({"info": {"features": features}})}
    schema = arrow.schema([("image", image), ("label", arrow.int64())], metadata=about)
    make: Any = arrow.ipc.new_file if form == "arrow" else arrow.parquet.ParquetWriter
    with make(str(path), schema) as table:
        for start in range(0, len(source), ROWS):
            rows = range(start, min(start + ROWS, len(source)))
            cells = [{"bytes": encoded_image(source, index), "path": None} for index in rows]
            table.write_batch(arrow.record_batch([arrow.array(cells, image), arrow.array(source.labels[rows])], schema=schema))
            progress(rows[-1] + 1, len(source))
