"""What a source of labelled faces is, and how one is opened by name."""

import difflib
import inspect
from collections.abc import Iterable, Sequence
from importlib import import_module
from os import PathLike
from typing import Any, Protocol, runtime_checkable

import numpy as np

from limen.errors import LimenError


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
    "folder": "limen.data.folder:FolderSource",
    "recordio": "limen.data.recordio:RecordIOSource",
    "synthetic": "limen.data.synthetic:SyntheticFaces",
}


def open_source(reader: str, path: str | PathLike[str] | None = None, **options: Any) -> FaceSource:
    """The source `reader(path=path, **options)`; `path` is left out where it is None.

    Args:
        reader: a name in READERS, or "package.module:Class" for a class of one's own.
        path: the folder or file to read.
        options: further arguments of the class.

    Raises:
        LimenError: an unknown reader or option (the nearest known one is named), or an argument missing.
    """
    build = _load(reader)
    arguments = options if path is None else {"path": path, **options}
    accepted = inspect.signature(build).parameters
    takes_any = any(parameter.kind is parameter.VAR_KEYWORD for parameter in accepted.values())
    for name in arguments:
        if name not in accepted and not takes_any:
            raise LimenError(f"{name}: reader {reader!r} has no such option; {_nearest(name, accepted)}")
    for name, parameter in accepted.items():
        required = parameter.default is parameter.empty and parameter.kind not in (
            parameter.VAR_KEYWORD,
            parameter.VAR_POSITIONAL,
        )
        if required and name not in arguments:
            raise LimenError(f"{name}: reader {reader!r} needs it; set it")
    return build(**arguments)


def _load(reader: str) -> Any:
    module_name, colon, class_name = READERS.get(reader, reader).partition(":")
    if not colon:
        raise LimenError(f"reader: {reader!r} is not known; {_nearest(reader, READERS)}, or package.module:Class for your own")
    try:
        return getattr(import_module(module_name), class_name)
    except (ImportError, AttributeError) as error:
        raise LimenError(f"reader: {reader!r} cannot be imported ({error}); check its spelling and the Python path") from error


def _nearest(name: str, known: Iterable[str]) -> str:
    known = list(known)
    close = difflib.get_close_matches(name, known, n=1)
    return f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}"
