"""Generated faces as files."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2

from limen.data.synthetic.source import SyntheticFaces
from limen.errors import LimenError
from limen.tables import write_csv


def save_folder(source: SyntheticFaces, path: str | Path, progress: Callable[[int, int], None] | None = None) -> Path:
    """Writes path/person/0001.png ... and path/truth.csv (file, person, and the true figures of each image); returns the path.

    The folder appears when all of it is written, or not at all. progress is called with (images written, images in all).
    Raises LimenError where the path holds something already.
    """
    path = Path(path)
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise LimenError(f"{path}: holds something already, name a new folder")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as scratch:
        root = Path(scratch) / path.name
        for name in source.class_names:
            (root / name).mkdir(parents=True)
        truths = source.truths()
        rows = []
        for index, label in enumerate(source.labels):
            person = source.class_names[label]
            name = f"{person}/{index % source.images_per_identity + 1:04d}.png"
            encoded = cv2.imencode(".png", cv2.cvtColor(source.image(index), cv2.COLOR_RGB2BGR))[1]
            (root / name).write_bytes(encoded.tobytes())  # OpenCV's own writing ends in a signal where the path is not UTF-8
            rows.append([name, person, *(float(values[index]) for values in truths.values())])
            if progress is not None:
                progress(index + 1, len(source))
        write_csv(root / "truth.csv", ["file", "person", *truths], rows)
        os.replace(root, path)
    return path
