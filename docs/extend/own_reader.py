"""A data reader of one's own: faces in a zip file, person/picture.jpg, in a file outside the package.

    PYTHONPATH=docs/extend limen train --config small/faces \\
        --data.reader own_reader:ZipFaces --data.path faces.zip --out runs/zip

A reader has `labels`, `class_names`, `__len__`, `image` and `locate` (limen.data.FaceSource); it inherits from nothing. `decode_image` says
which file is unusable and why, and training counts it.
"""

import zipfile
from pathlib import Path

import numpy as np

from limen.data import decode_image
from limen.training import load_recipe, train


class ZipFaces:
    """Aligned 112x112 images in a zip file, one folder per person."""

    def __init__(self, path: str):
        self.path = path
        with zipfile.ZipFile(path) as archive:
            self.names = np.array(sorted(name for name in archive.namelist() if name.lower().endswith((".jpg", ".png"))))
        people = np.array([name.rsplit("/", 2)[-2] for name in self.names])
        self.class_names, self.labels = np.unique(people, return_inverse=True)
        self._archive = None

    def __getstate__(self):
        return self.__dict__ | {"_archive": None}  # every worker process opens the file for itself

    def __len__(self) -> int:
        return len(self.names)

    def locate(self, index: int) -> str:
        return f"{self.path} file {self.names[index]}"

    def image(self, index: int) -> np.ndarray:
        if self._archive is None:
            self._archive = zipfile.ZipFile(self.path)
        return decode_image(self._archive.read(str(self.names[index])), self.locate(index))


def main(archive: Path, out: Path) -> Path:
    """Trains on it for a few steps and returns the bundle."""
    recipe = load_recipe(None, ["--data.reader", "own_reader:ZipFaces", "--data.path", str(archive)])
    recipe.out, recipe.epochs, recipe.batch_size, recipe.data.workers = str(out), 2, 16, 1
    recipe.margin.name, recipe.backbone.name, recipe.backbone.embedding_size = "CosFace", "tiny", 32
    return train(recipe, quiet=True)
