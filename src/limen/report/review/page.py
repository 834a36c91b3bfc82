"""The file of a review page: its pictures, its data and the scripts that show them."""

import base64
import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.resources import files
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from limen.data import ImageSource
from limen.errors import LimenError, UnreadableImage
from limen.files import atomic_write, write_text

IN_PAGE = 2000  # pictures at most; the others lie beside the page
MOST_TEXT = 13_000_000  # characters of the pictures in the page
SIDE = 112  # pixels of a picture


@dataclass
class Pictures:
    """The pictures of the page at `page`, each image once: as many of the first `IN_PAGE` as fit in `MOST_TEXT`
    in the page, the others in a folder beside it.

    gone    what is wrong with each image that cannot be read: the page says so in its place
    """

    page: Path
    addresses: list[str] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    _numbers: dict[str, int] = field(default_factory=dict)
    _text: int = 0

    @property
    def folder(self) -> Path:
        return self.page.with_name(f"{self.page.stem}-images")

    def add(self, source: ImageSource, index: int) -> int:
        """The number of the picture of an image."""
        name = source.locate(index)
        if name not in self._numbers:
            self._numbers[name] = len(self.addresses)
            try:
                self.addresses.append(self._address(source.image(index)))
            except UnreadableImage as error:
                self.gone.append(str(error))
                self.addresses.append("data:,")
        return self._numbers[name]

    def _address(self, image: np.ndarray) -> str:
        small = image if image.shape[:2] == (SIDE, SIDE) else cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
        encoded = cv2.imencode(".jpg", cv2.cvtColor(small, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85])[1].tobytes()
        number = len(self.addresses)
        inside = "data:image/jpeg;base64," + base64.b64encode(encoded).decode()
        if number < IN_PAGE and self._text + len(inside) <= MOST_TEXT:
            self._text += len(inside)
            return inside
        self.folder.mkdir(exist_ok=True)
        atomic_write(self.folder / f"{number:06d}.jpg", lambda path: path.write_bytes(encoded))
        return f"{self.folder.name}/{number:06d}.jpg"


def check_page(path: str | Path) -> Path:
    """`path` as the place of a page. Raises LimenError unless its name ends in .html and its folder is there."""
    page = Path(path)
    if page.suffix.lower() != ".html":
        raise LimenError(f"--out {page}: a review is a page; give a name that ends in .html")
    if not page.parent.is_dir():
        raise LimenError(f"--out {page}: there is no folder {page.parent}; make it or choose another place")
    return page


def key_of(parts: Sequence[Any]) -> str:
    """What tells pages apart whose decisions must not be mixed."""
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def write_deck(pictures: Pictures, items: Sequence[dict[str, Any]], **data: Any) -> dict[str, Any]:
    """Writes the page of decisions on `items`, and returns what stands on it. `data`: title, text, key, model, next, choices, people."""
    write_page(pictures.page, ("decisions.js", "deck.js"), {**data, "items": items, "images": pictures.addresses})
    return {"page": str(pictures.page), "items": len(items), "pictures": len(pictures.addresses), "gone": pictures.gone}


def write_page(path: Path, scripts: Sequence[str], data: dict[str, Any]) -> None:
    """Writes the page that `scripts`, names of files beside this one, make of `data`, all at once.

    Names keep their bytes: JSON spells out what is not ASCII, and no `<` of a name can end the script that holds it.
    """
    here = files("limen.report.review")
    parts = {
        "STYLE": here.joinpath("style.css").read_text("utf-8"),
        "SCRIPT": "\n".join(here.joinpath(name).read_text("utf-8") for name in ("common.js", *scripts)),
        "DATA": json.dumps(data, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c"),
    }
    page = here.joinpath("page.html").read_text("utf-8")
    for name, text in parts.items():  # the data, which may hold anything, go in last
        before, after = page.split(f"@{name}@", 1)
        page = before + text + after
    write_text(path, page)
