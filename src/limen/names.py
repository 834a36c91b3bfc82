"""Names are bytes: how a name of a file or person is shown, hashed, found and told apart.

A name that is not UTF-8 reaches Python with its odd bytes as surrogates (`os.fsdecode`). Files keep them so (errors="surrogateescape").
"""

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from limen.errors import LimenError

# Control characters, line and paragraph ends, what turns the direction of a line, and bytes that are not UTF-8.
_UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str, keep: str = "") -> str:
    """`text` for a terminal or a page: what would not be seen, or would command the terminal, is spelt out (\\x1b), but for `keep`."""
    return _UNSEEN.sub(lambda found: found[0] if found[0] in keep else _spelt(ord(found[0])), text)


def _spelt(code: int) -> str:
    if 0xDC80 <= code <= 0xDCFF:  # a byte, as os.fsdecode hands it on
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


def name_bytes(name: str) -> bytes:
    """The bytes of a name in a file, for hashes; of a name that is UTF-8, `name.encode()`."""
    return name.encode("utf-8", "surrogateescape")


def spelling(name: str) -> str:
    """The same for names that differ in case, in how accents are composed, or in space at the ends."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", name.strip()).casefold())


def without_source(name: str) -> str:
    """The name without the source that `data.sources` and `data merge --same-name apart` put behind it: Ann of Ann@lfw."""
    return name.rpartition("@")[0] or name


class Names:
    """Names to look up: as they are written, else the one that is spelt alike."""

    def __init__(self, names: Iterable[str]):
        self.exact = set(names)
        self.alike: dict[str, list[str]] = {}
        for name in self.exact:
            self.alike.setdefault(spelling(name), []).append(name)

    def find(self, *candidates: str) -> str | None:
        """The first of `candidates` that is there, else the name spelt as one of them; None where there is none.

        Raises LimenError where several names are spelt so, of which none is meant more than another.
        """
        for name in candidates:
            if name in self.exact:
                return name
        for name in candidates:
            if found := self.alike.get(spelling(name)):
                composed = {unicodedata.normalize("NFC", other): other for other in found}
                if len(found) > 1 and unicodedata.normalize("NFC", name) not in composed:
                    raise LimenError(f"{name}: may be {' or '.join(sorted(found))}, which are spelt alike; rename one of them")
                return composed.get(unicodedata.normalize("NFC", name), found[0])
        return None


class Folders:
    """Files below a folder by their names, each listing read once; `respelt` maps a name asked for to the one it was found under."""

    def __init__(self, root: Path):
        self.root = root
        self.respelt: dict[str, str] = {}
        self._listings: dict[Path, Names] = {}

    def find(self, parts: Iterable[str], last: Iterable[str]) -> Path | None:
        """root/parts/name for the first of the names `last` that is there, else one spelt alike; None where there is none."""
        folder = self.root
        for candidates in (*([part] for part in parts), list(last)):
            if folder not in self._listings:
                self._listings[folder] = Names(path.name for path in folder.iterdir()) if folder.is_dir() else Names(())
            if (found := self._listings[folder].find(*candidates)) is None:
                return None
            if found not in candidates:
                self.respelt[candidates[0]] = found
            folder = folder / found
        return folder
