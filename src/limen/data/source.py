"""What a source of labelled faces is, and how one is opened by name."""

import inspect
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np

from limen.errors import LimenError
from limen.lookup import call, find


@runtime_checkable
class ImageSource(Protocol):
    """Images by number."""

    def __len__(self) -> int: ...

    def image(self, index: int) -> np.ndarray:
        """Image `index` as (112, 112, 3) uint8 RGB. Raises UnreadableImage that names the file and the reason."""
        ...

    def locate(self, index: int) -> str:
        """Where image `index` comes from, for messages: its path, or "train.rec record 17"."""
        ...


@runtime_checkable
class FaceSource(ImageSource, Protocol):
    """Images of known people: what training reads. Any class with these members is one; it need not inherit.

    Worker processes each hold a copy, so an instance must survive pickling and should keep its lists in arrays.
    """

    labels: np.ndarray
    """(N,) int64 in [0, C): the person in each image."""

    class_names: Sequence[str]
    """C names, by label."""


READERS = {
    "folder": "limen.data.readers.folder:FolderSource",
    "recordio": "limen.data.readers.recordio:RecordIOSource",
    "list": "limen.data.readers.listed:ListSource",
    "archive": "limen.data.readers.archive:ArchiveSource",
    "lmdb": "limen.data.readers.lmdb:LMDBSource",
    "arrow": "limen.data.readers.arrow:ArrowSource",
    "parquet": "limen.data.readers.parquet:ParquetSource",
    "raw": "limen.data.readers.raw:RawSource",
    "synthetic": "limen.data.synthetic:SyntheticFaces",
}


BY_SUFFIX = {".csv": "list", ".rec": "recordio", ".tar": "archive", ".zip": "archive", ".lmdb": "lmdb", ".mdb": "lmdb"} | {
    ".arrow": "arrow",
    ".feather": "arrow",
    ".parquet": "parquet",
}
IN_FOLDERS = {  # of what a folder holds
    "people.json": "raw",
    "train.rec": "recordio",
    "data.mdb": "lmdb",
    "*.tar": "archive",
    "*.arrow": "arrow",
    "*.parquet": "parquet",
    "data/*.parquet": "parquet",
}


def reader_of(path: str | PathLike[str]) -> str:
    """The reader that the look of a path suggests: that of its suffix (BY_SUFFIX), or of what a folder holds (IN_FOLDERS), else folder."""
    path = Path(path)
    if path.is_dir():
        return next((reader for pattern, reader in IN_FOLDERS.items() if any(path.glob(pattern))), "folder")
    return BY_SUFFIX.get(path.suffix.lower(), "folder")


def open_source(reader: str, path: str | PathLike[str] | None = None, **options: Any) -> FaceSource:
    """The source `reader(path=path, **options)`; `path` is left out where it is None.

    Args:
        reader: a name in READERS, or "package.module:Class" for a class of one's own.
        path: the folder or file to read.
        options: further arguments of the class.

    Raises:
        LimenError: an unknown reader or option (the nearest known one is named), or an argument missing.

    >>> from limen.data import open_source
    >>> faces = open_source("synthetic", identities=2, images_per_identity=3)
    >>> len(faces)
    6
    """
    build = find("data.reader", reader, READERS, FaceSource)
    asked = inspect.signature(build).parameters.get("path")
    if path is None and "path" not in options and asked is not None and asked.default is asked.empty:
        raise LimenError(f"reader {reader}: it needs 'path', the folder or file to read; set --data.path")
    return call(f"reader {reader}", build, options if path is None else {"path": path, **options})
