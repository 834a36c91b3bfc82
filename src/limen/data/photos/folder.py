"""A folder of photos to a folder of aligned faces: parallel, resumable, with a table of every face and failure."""

from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from limen.align import SIZE, Face
from limen.data.images import read_photo
from limen.data.photos.record import TABLE, Record, Row
from limen.data.photos.source import FaceFinder, aligned_faces
from limen.data.readers import list_images
from limen.devices import cores
from limen.errors import LimenError, UnreadableImage
from limen.files import atomic_write
from limen.locks import sole_use

PART = 64  # photos whose rows are written at a time: what a kill may cost


@dataclass(frozen=True)
class Aligned:
    """What became of the photos of a folder: their number, that of the faces written, each failure with its photo, and the table."""

    photos: int
    faces: int
    failures: list[str]
    table: Path


def align_folder(
    path: str | PathLike[str],
    out: str | PathLike[str],
    finder: FaceFinder,
    rule: str = "largest",
    workers: int | None = None,
    jpeg: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Aligned:
    """Writes the faces of the photos below `path` to `out`, under the photos' own folders and names, and their table, alignment.csv.

    A crop has the photo's name with .png; with rule "all" name_1.png for the largest face, name_2.png, ... The table has a row for each
    face and each failure, in the order of the photos, see `record.COLUMNS`. A run that was killed goes on where it was, with the same
    result: photos whose crops are there are passed over, failures are tried again.

    Args:
        finder, rule: see AlignedSource; "all" takes every face.
        workers: threads, each a core; None is one for each core. The result is the same.
        jpeg: quality of JPEG files in place of lossless PNG.
        progress: called with (photos done, photos in all).

    Raises:
        LimenError: a folder without photos; `out` inside it, or holding something else or the faces of other settings; no face in any
            photo; the system refuses.
    """
    root, out = Path(path), Path(out)
    if not root.is_dir():
        raise LimenError(f"{root}: no such folder; give the folder of the photos")
    if out.resolve().is_relative_to(root.resolve()):
        raise LimenError(f"--out {out}: lies inside the folder of the photos; choose another place")
    if jpeg is not None and not 1 <= jpeg <= 100:
        raise LimenError(f"jpeg: {jpeg} is not a quality from 1 to 100")
    workers = cores() if workers is None else workers
    if workers < 1:
        raise LimenError(f"workers: {workers} threads do no work; give 1 or more")
    photos = [file.relative_to(root) for file in list_images([root])]
    crops = dict(zip(photos, _crop_names(photos, ".png" if jpeg is None else ".jpg"), strict=True))
    with sole_use(out, "aligning"), _one_thread_each():
        record = Record(out, {**finder.description, "faces": rule, "size": SIZE, "jpeg": jpeg, "photos": str(root.resolve())})

        def work(photo: Path) -> list[Row]:
            return _align(root / photo, photo, out, crops[photo], finder, rule, jpeg)

        waiting = [photo for photo in photos if not record.is_done(photo)]
        done = len(photos) - len(waiting)
        for rows in _in_order(work, waiting, workers):
            record.add(rows, flush_after=PART)
            done += 1
            if progress:
                progress(done, len(photos))
        rows = record.finish(photos)
    failures = [f"{root / row.photo}: {row.failure}" for row in rows if row.failure]
    if len(failures) == len(photos):
        raise LimenError(f"none of the {len(photos)} photos gave a face (first: {failures[0]}); look at the photos and {out / TABLE}")
    return Aligned(len(photos), len(rows) - len(failures), failures, out / TABLE)


def _align(file: Path, photo: Path, out: Path, crop: Path, finder: FaceFinder, rule: str, jpeg: int | None) -> list[Row]:
    """Writes the crops of one photo and gives its rows."""
    try:
        found = aligned_faces(read_photo(file), str(file), finder, rule)
    except UnreadableImage as error:
        return [Row(photo.as_posix(), failure=str(error).removeprefix(f"{file}: "))]
    rows = []
    for number, (face, pixels) in enumerate(found, start=1):
        name = crop.with_name(f"{crop.stem}_{number}{crop.suffix}") if rule == "all" else crop
        _write(out / name, pixels, jpeg)
        rows.append(_row(photo, number, name, face))
    return rows


def _row(photo: Path, number: int, crop: Path, face: Face) -> Row:
    left, top, width, height = face.box.round(3).tolist()
    score = "" if np.isnan(face.score) else round(face.score, 4)
    return Row(photo.as_posix(), number, crop.as_posix(), left, top, width, height, score, *face.points.ravel().round(3).tolist())


def _write(path: Path, pixels: np.ndarray, jpeg: int | None) -> None:
    options = [] if jpeg is None else [cv2.IMWRITE_JPEG_QUALITY, jpeg]
    encoded = cv2.imencode(path.suffix, pixels[..., ::-1], options)[1].tobytes()

    def write(temporary: Path) -> None:
        temporary.write_bytes(encoded)

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LimenError(f"{path.parent}: {error.strerror or error}; choose another --out") from error
    atomic_write(path, write)


def _crop_names(photos: list[Path], suffix: str) -> list[Path]:
    """The crop of each photo: its name with another ending, after its own where two photos would have one name."""
    taken = Counter(photo.with_suffix("") for photo in photos)
    return [photo.with_suffix(suffix) if taken[photo.with_suffix("")] == 1 else photo.with_name(photo.name + suffix) for photo in photos]


def _in_order(work: Callable[[Path], list[Row]], photos: list[Path], workers: int) -> Iterator[list[Row]]:
    """work(photo) of each, in their order, by threads a few photos ahead."""
    pool, running = ThreadPoolExecutor(workers, "limen-aligning"), deque[Future[list[Row]]]()
    try:
        for photo in photos:
            running.append(pool.submit(work, photo))
            if len(running) > 4 * workers:
                yield running.popleft().result()
        while running:
            yield running.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _one_thread_each() -> Iterator[Any]:
    """OpenCV's own threads off, for each worker is one."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)
