"""What a run of `align_folder` leaves beside the crops: its settings, and the table of every face and failure, in parts until it ends."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from limen.errors import LimenError
from limen.files import atomic_write, read_json, remove_temporary
from limen.tables import read_csv, write_csv

TABLE, SETTINGS, PARTS = "alignment.csv", "alignment.json", ".alignment"
FORMAT = 1


class Row(NamedTuple):
    """A face, or a photo that gave none and why. Lengths are pixels of the photo.

    photo    its path below the folder of the photos
    face     its number in the photo, 1 for the first that the rule means
    file     the crop, below the folder of the crops
    left, top, width, height   the box; of given landmarks, of the crop
    score    of the detector
    x1 ... y5   eye on the image's left, eye on its right, tip of the nose, corner of the mouth on the left, on the right
    """

    photo: str
    face: Any = ""
    file: str = ""
    left: Any = ""
    top: Any = ""
    width: Any = ""
    height: Any = ""
    score: Any = ""
    x1: Any = ""
    y1: Any = ""
    x2: Any = ""
    y2: Any = ""
    x3: Any = ""
    y3: Any = ""
    x4: Any = ""
    y4: Any = ""
    x5: Any = ""
    y5: Any = ""
    failure: str = ""


COLUMNS = Row._fields


class Record:
    """The rows known so far, by photo, read from what an earlier run with the same settings left.

    Raises:
        LimenError: `out` holds something else, or the faces of other settings.
    """

    def __init__(self, out: Path, settings: Mapping[str, Any]):
        self.out = out
        self._known: dict[str, list[Row]] = defaultdict(list)
        self._new: list[Row] = []
        self._check(json.loads(json.dumps({"format": FORMAT, **settings})))
        if (out / PARTS).exists():  # killed, perhaps in the middle of a file
            remove_temporary(out)
        (out / PARTS).mkdir(exist_ok=True)
        files = [file for file in (out / TABLE, *sorted((out / PARTS).glob("*.csv"))) if file.exists()]
        self._parts = len(files)
        for file in files:
            rows = [Row(**row) for _, row in read_csv(file, COLUMNS)]
            for photo in {row.photo for row in rows}:
                self._known.pop(photo, None)  # a later part knows better
            for row in rows:
                self._known[row.photo].append(row)

    def is_done(self, photo: Path) -> bool:
        """Whether the photo has rows, none of them a failure, and all of its crops."""
        rows = self._known.get(photo.as_posix(), [])
        return bool(rows) and all(row.file and (self.out / row.file).is_file() for row in rows)

    def add(self, rows: Sequence[Row], flush_after: int) -> None:
        """Takes the rows of a photo, and writes a part when those of `flush_after` are waiting."""
        self._new += rows
        self._known[rows[0].photo] = list(rows)
        if len({row.photo for row in self._new}) >= flush_after:
            self._parts += 1
            write_csv(self.out / PARTS / f"{self._parts:08d}.csv", COLUMNS, self._new)
            self._new = []

    def finish(self, photos: Sequence[Path]) -> list[Row]:
        """Writes the table of `photos`, in their order, removes the parts, and gives its rows."""
        rows = [row for photo in photos for row in self._known[photo.as_posix()]]
        write_csv(self.out / TABLE, COLUMNS, rows)
        for file in (self.out / PARTS).glob("*.csv"):
            file.unlink()
        (self.out / PARTS).rmdir()
        return rows

    def _check(self, settings: dict[str, Any]) -> None:
        path = self.out / SETTINGS
        if not path.exists():
            if others := sorted(file.name for file in self.out.iterdir() if file.name != ".lock"):
                raise LimenError(f"{self.out}: holds {others[0]} and no {SETTINGS}; choose an empty folder for the faces")
            text = json.dumps(settings, indent=2)

            def write(temporary: Path) -> None:
                temporary.write_text(text)

            atomic_write(path, write)
        earlier = read_json(path)
        differing = [name for name in settings if not isinstance(earlier, dict) or earlier.get(name) != settings[name]]
        if differing:
            name = differing[0]
            was = earlier.get(name) if isinstance(earlier, dict) else None
            raise LimenError(f"{self.out}: was begun with {name} {was}, not {settings[name]}; choose another --out, or remove that folder")
