"""Embeddings kept between runs: by what decides them, the network's identity and the image's pixels."""

import hashlib
import io
import json
from collections.abc import Callable
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from limen.errors import LimenError
from limen.files import atomic_write, reason_and_remedy
from limen.recogniser import Embeddings

FORMAT = 1
Embed = Callable[[np.ndarray], tuple[Embeddings, dict[int, str]]]
"""Images -> their embeddings, NaN where a feature has no direction, and what is wrong with these, by row."""


class EmbeddingCache:
    """A folder `folder`/NETWORK of blocks, each a file that is named by the SHA-256 of its content and never changed.

    NETWORK is a hash of the model's identity (weights and preprocessing), of the library that computes where that is not PyTorch, of flip,
    and of limen's version. A block is written whole or not at all, so a killed run loses at most the block it was at; several runs may
    share the folder. A damaged block is passed over, and its images are embedded again. Images whose feature has no direction are not kept.

    Args:
        recogniser: a limen.models.model.Model.
        flip: None is the model's own rule.

    Raises:
        LimenError: an embedder that does not say what decides its vectors; a folder that cannot be made or written to.
    """

    def __init__(self, folder: str | PathLike[str], recogniser: Any, flip: bool | None):
        if not hasattr(recogniser, "identity"):
            raise LimenError("cache: this embedder has no `identity` that says what decides its vectors; leave the cache out")
        flip = recogniser.preprocessing.flip if flip is None else flip
        network = {"format": FORMAT, "limen": version("limen"), "identity": recogniser.identity, "flip": flip}
        network |= {"backend": backend} if (backend := recogniser.description.get("backend")) else {}
        self.folder = Path(folder) / hashlib.sha256(json.dumps(network, sort_keys=True).encode()).hexdigest()[:32]
        self.has_quality = recogniser.has_quality
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise LimenError(f"cache {folder}: {reason_and_remedy(error)[0]}; choose another folder") from error
        self._rows: dict[bytes, np.void] = {}
        for file in self.folder.glob("*.npy"):
            self._learn(_read(file))

    def around(self, embed: Embed) -> Embed:
        """A function that equals `embed`, but asks it only for images that are not in the cache, and keeps what it answers."""

        def cached(images: np.ndarray) -> tuple[Embeddings, dict[int, str]]:
            keys = [hashlib.sha256(repr(image.shape).encode() + image.tobytes()).digest() for image in images]
            missing = [place for place, key in enumerate(keys) if key not in self._rows]
            reasons: dict[int, str] = {}
            if missing:
                found, wrong = embed(images[missing])
                reasons = {missing[row]: reason for row, reason in wrong.items()}
                rows = _rows([keys[place] for place in missing], found)
                self._keep(np.delete(rows, list(wrong)))
            kept = [rows[missing.index(place)] if place in reasons else self._rows[key] for place, key in enumerate(keys)]
            whole = np.array(kept, kept[0].dtype)
            return Embeddings(whole["vector"], whole["norm"], whole["quality"] if self.has_quality else None), reasons

        return cached

    def _keep(self, rows: np.ndarray) -> None:
        if not len(rows):
            return
        content = io.BytesIO()
        np.save(content, rows, allow_pickle=False)
        name = hashlib.sha256(content.getvalue()).hexdigest()
        atomic_write(self.folder / f"{name}.npy", lambda path: path.write_bytes(content.getvalue()))
        self._learn(rows)

    def _learn(self, rows: np.ndarray) -> None:
        self._rows |= {row["image"].tobytes(): row for row in rows}


def _rows(keys: list[bytes], found: Embeddings) -> np.ndarray:
    """(N,) records of N embeddings and the hashes of their images."""
    kind = [("image", "u1", 32), ("vector", "<f4", found.vectors.shape[1]), ("norm", "<f4"), ("quality", "<f4")]
    rows = np.empty(len(keys), kind)
    rows["image"] = np.frombuffer(b"".join(keys), np.uint8).reshape(-1, 32)
    rows["vector"], rows["norm"] = found.vectors, found.norms
    rows["quality"] = np.nan if found.quality is None else found.quality
    return rows


def _read(file: Path) -> np.ndarray:
    """The rows of a block, none where the file is not what it was when it was named."""
    content = file.read_bytes() if file.is_file() else b""
    if hashlib.sha256(content).hexdigest() != file.stem:
        return np.empty(0)
    return np.load(io.BytesIO(content), allow_pickle=False)
