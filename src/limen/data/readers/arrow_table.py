"""What tables of faces in Arrow and Parquet files have in common: their files, columns and people."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from limen.data.readers.placed import people_of_numbers
from limen.errors import LimenError
from limen.files import parse_json

MOST_LABELS = 1 << 31


def pyarrow() -> Any:
    """pyarrow with its readers of files. Raises LimenError where it is missing."""
    try:
        import pyarrow
        import pyarrow.ipc
        import pyarrow.parquet
    except ImportError as error:
        raise LimenError(f"Arrow and Parquet files need pyarrow ({error}); pip install 'limen[arrow]'") from error
    return pyarrow


def tables_in(path: Path, suffixes: Sequence[str]) -> list[Path]:
    """The file itself, or those in a folder, or in its folder `data`, in the order of their names."""
    if not path.is_dir():
        return [path]
    for folder in (path, path / "data"):
        if files := sorted(file for suffix in suffixes for file in folder.glob(f"*{suffix}")):
            return files
    raise LimenError(f"{path}: holds no {' or '.join(suffixes)} files; give such a file, or the folder of them")


def check_columns(path: Path, schema: Any, image: str, label: str) -> None:
    """Raises LimenError unless there are a column `image` of bytes and one `label` of numbers or text."""
    kinds = pyarrow().types
    for option, name in (("image", image), ("label", label)):
        if (count := schema.names.count(name)) != 1:
            raise LimenError(
                f"{path}: has {count or 'no'} columns {name!r}; name that of {option}s (--data.options.{option}). "
                f"It has {', '.join(schema.names[:20])}"
            )
    kind = schema.field(image).type
    if kinds.is_struct(kind) and kind.get_field_index("bytes") >= 0:
        kind = kind.field("bytes").type
    if not (kinds.is_binary(kind) or kinds.is_large_binary(kind)):
        raise LimenError(f"{path}: column {image!r} holds {kind}, not the bytes of images; name another (--data.options.image)")
    kind = schema.field(label).type
    if not (kinds.is_integer(kind) or kinds.is_string(kind) or kinds.is_large_string(kind)):
        raise LimenError(f"{path}: column {label!r} holds {kind}, not numbers or names of people; name another (--data.options.label)")


def label_names(path: Path, schema: Any, label: str) -> list[str] | None:
    """The names of numbered people that Hugging Face's metadata tell; None where they tell none."""
    told = (schema.metadata or {}).get(b"huggingface")
    try:
        feature = parse_json(told, path)["info"]["features"][label] if told else {}
        names = feature.get("names")
    except (LimenError, KeyError, TypeError, AttributeError):
        return None
    return names if isinstance(names, list) and names and all(isinstance(name, str) for name in names) else None


def people_of(path: Path, labels: Sequence[Any], names: Sequence[list[str] | None]) -> tuple[np.ndarray, list[str]]:
    """Labels (N,) and names of people of the labels of all batches, which are all numbers or all names."""
    blocks = [block for block in labels if len(block)]
    if not blocks:
        raise LimenError(f"{path}: holds no rows; fetch it again")
    first = next((one for one in names if one is not None), None)
    if any(one != first for one in names):
        raise LimenError(f"{path}: its files name the numbered people differently; convert them apart and merge them")
    if all(isinstance(block, np.ndarray) for block in blocks):
        numbers = np.concatenate(blocks)
        bad = ~((numbers >= 0) & (numbers < (MOST_LABELS if first is None else len(first))))
        if bad.any():
            raise LimenError(f"{path}: row {bad.argmax()} has label {numbers[bad][0]}, which is no person's; correct it")
        found, known = people_of_numbers(numbers.astype(np.int64))
        people = known if first is None else [first[int(number)] for number in known]
    else:
        flat = [one for block in blocks for one in block]
        if not all(isinstance(one, str) and one for one in flat):
            raise LimenError(f"{path}: has rows whose label is empty, or numbers beside names; give each its person")
        people = sorted(set(flat))
        number = {name: label for label, name in enumerate(people)}
        found = np.array([number[name] for name in flat], np.int64)
    if len(set(people)) < len(people):
        raise LimenError(f"{path}: gives two numbered people one name; correct its metadata")
    return found, people


class BytesOf:
    """Where the images of one batch stand in memory: `address` of the first byte, and for each image its start after that and length.

    Raises LimenError for an empty cell, and for places that do not rise or end after the `total` bytes that there are.
    """

    def __init__(self, path: Path, column: Any, row: int) -> None:
        arrow = pyarrow()
        column.validate()
        if arrow.types.is_struct(column.type):
            empty = column.null_count
            column = column.field("bytes")
        else:
            empty = 0
        column.validate()
        if empty or column.null_count:
            raise LimenError(f"{path}: has rows without the bytes of an image, from row {row} on; images outside of it are not read")
        _, ends, data = column.buffers()
        kind = np.int64 if arrow.types.is_large_binary(column.type) else np.int32
        count = len(column) + 1 if len(column) else 0
        bounds = (
            np.frombuffer(ends, kind, count, column.offset * np.dtype(kind).itemsize).astype(np.int64) if count else np.zeros(1, np.int64)
        )
        self.total = data.size if data is not None else 0
        self.address = data.address if data is not None else 0
        self.starts, self.lengths = bounds[:-1], np.diff(bounds)
        if (self.lengths < 0).any() or bounds[0] < 0 or bounds[-1] > self.total:
            raise LimenError(f"{path}: says that images stand outside of it, from row {row} on; fetch it again")
