"""Faces in Parquet files, as Hugging Face keeps them: the same table as in Arrow files, packed in groups of rows."""

from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from limen.data.images import SIZE, check_on_other_size, decode_image
from limen.data.readers.arrow_table import check_columns, label_names, people_of, pyarrow, tables_in
from limen.errors import LimenError, UnreadableImage
from limen.files import MIB, open_plain_file

LARGEST_GROUP = 1024 * MIB


class ParquetSource:
    """A FaceSource of Parquet files, with the columns of ArrowSource, images and people in the same order.

    An image can only be unpacked with its whole group of rows, 100 as Hugging Face writes them. One after the other they are read fast;
    for training, which reads them in random order, `limen data convert` to Arrow or RecordIO first.

    Args: as of ArrowSource.

    Raises:
        LimenError: pyarrow is missing; no Parquet file, or a damaged one; a column as of ArrowSource; a group of more than a gigabyte.
    """

    def __init__(
        self, path: str | PathLike[str], image: str = "image", label: str = "label", size: int = SIZE, on_other_size: str = "refuse"
    ) -> None:
        arrow = pyarrow()
        self.path = Path(path)
        self.size = size
        self.on_other_size = check_on_other_size(on_other_size)
        self.files = tables_in(self.path, (".parquet",))
        self.image_column = image
        self._open: dict[int, Any] = {}
        self._kept: tuple[int, Any] = (-1, None)
        groups, labels, names = list[tuple[int, int, int]](), list[Any](), list[list[str] | None]()  # file, group in it, rows
        for number, file in enumerate(self.files):
            try:
                table = self._table(number)
                check_columns(file, table.schema_arrow, image, label)
                names.append(label_names(file, table.schema_arrow, label))
                for group in range(table.num_row_groups):
                    about = table.metadata.row_group(group)
                    if about.total_byte_size > LARGEST_GROUP:
                        raise LimenError(
                            f"{file}: has a group of {about.num_rows:,} rows, too large to unpack; write it with 1,000 rows each"
                        )
                    cells = table.read_row_group(group, columns=[label]).column(label)
                    cells.validate(full=True)
                    if len(cells) != about.num_rows:
                        raise LimenError(f"{file}: has groups of other lengths than it says; fetch it again")
                    groups.append((number, group, about.num_rows))
                    labels.append(cells.to_pylist() if not arrow.types.is_integer(cells.type) or cells.null_count else cells.to_numpy())
            except (arrow.ArrowException, OSError, ValueError) as error:
                raise _damaged(file, error) from error
        self._groups = np.array(groups, np.int64).reshape(-1, 3)
        self._ends = np.cumsum(self._groups[:, 2])
        self.labels, self.class_names = people_of(self.path, labels, names)

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, index: int) -> np.ndarray:
        try:
            encoded = self.encoded(index)
        except LimenError as error:
            raise UnreadableImage(f"{self.locate(index)}: {error}") from error
        return decode_image(encoded, self.locate(index), self.size, self.on_other_size)

    def encoded(self, index: int) -> bytes:
        """Image `index` as it stands in the file."""
        arrow = pyarrow()
        place = int(np.searchsorted(self._ends, index, side="right"))
        if self._kept[0] != place:
            number, group, rows = self._groups[place].tolist()
            try:
                column = self._table(number).read_row_group(group, columns=[self.image_column]).column(self.image_column)
                column.validate(full=True)
            except (arrow.ArrowException, OSError, ValueError) as error:
                raise _damaged(self.files[number], error) from error
            if len(column) != rows:
                raise LimenError(f"{self.files[number]}: has groups of other lengths than it says; fetch it again")
            self._kept = place, column
        cell = self._kept[1][index - int(self._ends[place] - self._groups[place, 2])].as_py()
        cell = cell.get("bytes") if isinstance(cell, dict) else cell
        if cell is None:
            raise LimenError("has no bytes of an image; images outside of the file are not read")
        return bytes(cell)

    def locate(self, index: int) -> str:
        number = int(self._groups[np.searchsorted(self._ends, index, side="right"), 0])
        before = self._groups[self._groups[:, 0] < number, 2].sum()
        return f"{self.files[number]} row {index - before}"

    def __getstate__(self) -> dict[str, Any]:
        return vars(self) | {"_open": {}, "_kept": (-1, None)}

    def _table(self, number: int) -> Any:
        if number not in self._open:
            self._open[number] = pyarrow().parquet.ParquetFile(open_plain_file(self.files[number]))
        return self._open[number]


def _damaged(path: Path, error: Exception) -> LimenError:
    return LimenError(f"{path}: is no whole Parquet file ({(str(error).splitlines() or [''])[0]}); fetch it again")
