"""What a model's file keeps of the names of people: hashes. Whoever has a list of names can tell who is among them."""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from typing import Any

from limen.names import name_bytes, without_source

DIGITS = 10  # of a person's hash: 40 bits, so that of 10,000 and 10,000 people about one in 10,000 runs takes two for one


def class_names_sha256(names: Iterable[str]) -> str:
    """SHA-256 of the training classes' names, in label order, each ended by a newline: tells whose centres these are, not who they are."""
    return hashlib.sha256(name_bytes("".join(f"{name}\n" for name in names))).hexdigest()


def person_hash(name: str, salt: str = "") -> str:
    """Of a person's name, whatever its letter case and however its accents are composed; `salt` stands before it."""
    return hashlib.sha256(name_bytes(salt + unicodedata.normalize("NFC", name).casefold())).hexdigest()[:DIGITS]


def trained_hashes(names: Iterable[str], salt: str) -> tuple[str, ...]:
    """A short hash of each name without its source, rising. A number is no name: person 7 of one set is seldom person 7 of another."""
    return tuple(sorted({person_hash(bare, salt) for name in names if not (bare := without_source(name)).isdecimal()}))


def checked_hashes(values: Sequence[Any]) -> tuple[str, ...]:
    """These hashes of people. Raises ValueError unless they are such, and rise."""
    if list(values) != sorted({one for one in values if isinstance(one, str) and re.fullmatch(f"[0-9a-f]{{{DIGITS}}}", one)}):
        raise ValueError("hashes of people must rise")
    return tuple(values)
