"""Faces in Arrow files: a table with a column of encoded images and one of people, as Hugging Face's datasets and CVLface keep them."""

from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from limen.data.images import SIZE, check_on_other_size
from limen.data.readers.arrow_table import BytesOf, check_columns, label_names, people_of, pyarrow, tables_in
from limen.data.readers.placed import PlacedSource
from limen.errors import LimenError
from limen.files import explain, open_plain_file, read_at

MAGIC, END_OF_STREAM = b"ARROW1", b"\xff\xff\xff\xff\0\0\0\0"
SUFFIXES = (".arrow", ".feather")


class ArrowSource(PlacedSource):
    """A FaceSource of Arrow files: images in the order of the files and of their rows, people in the order of their numbers or names.

    A column of images holds the encoded bytes, or a struct with `bytes`. One of labels holds names, or numbers from 0, of which Hugging
    Face's metadata may tell the names. The batches have to be uncompressed, as datasets writes them: an image is read at its place.

    Args:
        path: an .arrow file, of the form with an index or of the streaming one, or a folder of them.
        image, label: the names of the columns.
        size, on_other_size: as of FolderSource.

    Raises:
        LimenError: pyarrow is missing; no Arrow file, a damaged or compressed one, a column that is missing, of another kind or with an
            empty cell.
    """

    def __init__(
        self, path: str | PathLike[str], image: str = "image", label: str = "label", size: int = SIZE, on_other_size: str = "refuse"
    ) -> None:
        super().__init__()
        self.path = Path(path)
        self.size = size
        self.on_other_size = check_on_other_size(on_other_size)
        self.files = tables_in(self.path, SUFFIXES)
        places, labels, names = [np.empty((0, 3), np.int64)], list[Any](), list[list[str] | None]()
        for number, file in enumerate(self.files):
            found, own = _rows(file, image, label, labels)
            names.append(own)
            places.append(np.column_stack([np.full(len(found), number), found]))
        self.places = np.concatenate(places)
        self.labels, self.class_names = people_of(self.path, labels, names)
        self._first = np.searchsorted(self.places[:, 0], np.arange(len(self.files)))

    def locate(self, index: int) -> str:
        number = int(self.places[index, 0])
        return f"{self.files[number]} row {index - int(self._first[number])}"


def _rows(path: Path, image: str, label: str, labels: list[Any]) -> tuple[np.ndarray, list[str] | None]:
    """(N, 2) first byte and length of each image, and the names of numbered people; the labels of the batches are added to `labels`."""
    arrow = pyarrow()
    with open_plain_file(path) as file:
        size = file.seek(0, 2)
        is_indexed = read_at(file.fileno(), len(MAGIC), 0) == MAGIC
        end = MAGIC if is_indexed else END_OF_STREAM
        if size < 16 or read_at(file.fileno(), len(end), size - len(end)) != end:
            raise LimenError(f"{path}: is no whole Arrow file; it was cut short, or is of another kind: fetch it again")
    found = [np.empty((0, 2), np.int64)]
    try:
        with arrow.memory_map(str(path)) as mapped:  # no image is read: only where the batches say that they are
            first = mapped.read_buffer(size).address
            mapped.seek(0)
            reader = arrow.ipc.open_file(mapped) if is_indexed else arrow.ipc.open_stream(mapped)
            check_columns(path, reader.schema, image, label)
            names = label_names(path, reader.schema, label)
            for batch in (reader.get_batch(k) for k in range(reader.num_record_batches)) if is_indexed else reader:
                column = BytesOf(path, batch.column(image), sum(map(len, found)))
                place = column.address - first
                if len(column.lengths) and not 0 <= place <= size - column.total:
                    raise LimenError(f"{path}: is compressed, so no image can be read at its place; limen data convert writes it anew")
                found.append(np.column_stack([column.starts + place, column.lengths]))
                cells = batch.column(label)
                cells.validate(full=True)
                labels.append(cells.to_pylist() if not arrow.types.is_integer(cells.type) or cells.null_count else cells.to_numpy())
    except (arrow.ArrowException, OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno:
            raise LimenError(f"{path}: {explain(error)}") from error
        raise LimenError(f"{path}: is no whole Arrow file ({str(error).splitlines()[0]}); fetch it again") from error
    return np.concatenate(found), names
