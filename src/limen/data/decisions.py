"""What people decided about labels, and the labels that follow from it."""

import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from os import PathLike
from pathlib import Path
from typing import NamedTuple

from limen.data.readers.people import check_folder_names
from limen.data.source import FaceSource
from limen.errors import LimenError
from limen.files import explain
from limen.lookup import did_you_mean
from limen.tables import csv_columns, read_csv

COLUMNS = ("file", "person", "decision", "new_person", "model")
DECISIONS = ("right", "wrong", "unsure", "move")


class Decision(NamedTuple):
    """A person's word on the label of one image; `where` is its line, for messages."""

    file: str
    person: str
    decision: str
    new_person: str
    where: str


class Change(NamedTuple):
    """An image whose label changes; `new_person` is empty where it is left out."""

    file: str
    person: str
    new_person: str


class Corrected(NamedTuple):
    """Labelled images after the decisions.

    files, people   every image that stays, and its person
    changes         what was moved or left out
    decided         decision -> images
    people_gone     people of whom no image is left
    """

    files: list[str]
    people: list[str]
    changes: list[Change]
    decided: dict[str, int]
    people_gone: list[str]


def read_decisions(paths: Iterable[str | PathLike[str]]) -> tuple[list[Decision], int]:
    """The decisions on single images in files that `limen review` saved, and the number of those on pairs, which name no image at fault.

    Raises LimenError for a decision that is not known, and for two on one image that differ.
    """
    found: dict[str, Decision] = {}
    pairs = 0
    for path in paths:
        with_pairs = "pair_with" in csv_columns(path)
        for line, row in read_csv(path, (*COLUMNS, "pair_with") if with_pairs else COLUMNS):
            one = Decision(row["file"], row["person"], row["decision"], row["new_person"], f"{path}: line {line}")
            if one.decision not in DECISIONS:
                raise LimenError(f"{one.where}: the decision {one.decision!r} is not known; {did_you_mean(one.decision, DECISIONS)}")
            if (one.decision == "move") != bool(one.new_person):
                raise LimenError(f"{one.where}: a move, and nothing else, names a new_person; correct it")
            if row.get("pair_with"):
                pairs += 1
                continue
            other = found.setdefault(one.file, one)
            if other[:4] != one[:4]:
                raise LimenError(f"{one.where}: {one.file} is decided otherwise in {other.where}; take one of them out")
    return list(found.values()), pairs


def corrected(source: FaceSource, decisions: Sequence[Decision]) -> Corrected:
    """The images of `source`: those moved have their new person, those whose label is wrong are left out, all others are as they were.

    Raises LimenError for a decision on an image that `source` does not have, or has under another person, and for a move to a person whom
    it does not have.
    """
    files, names = [source.locate(index) for index in range(len(source))], source.class_names
    number = {os.path.realpath(file): index for index, file in enumerate(files)}
    known, by_index = set(names), dict[int, Decision]()
    for one in decisions:
        index = number.get(os.path.realpath(one.file))
        if index is None:
            raise LimenError(f"{one.where}: the data have no image {one.file}; apply decisions to the data they were made on")
        if names[source.labels[index]] != one.person:
            raise LimenError(
                f"{one.where}: {one.file} is labelled {names[source.labels[index]]}, not {one.person}; they are decided already"
            )
        if one.new_person and one.new_person not in known:
            raise LimenError(f"{one.where}: there is no person {one.new_person} to move to; {did_you_mean(one.new_person, names)}")
        by_index[index] = one
    people = [names[label] for label in source.labels.tolist()]
    gone = {index for index, one in by_index.items() if one.decision == "wrong"}
    moved = {index: one.new_person for index, one in by_index.items() if one.new_person}
    after = [moved.get(index, person) for index, person in enumerate(people)]
    left = [index for index in range(len(files)) if index not in gone]
    remaining = {after[index] for index in left}
    changes = [Change(files[index], people[index], moved.get(index, "")) for index in sorted({*gone, *moved})]
    counts = Counter(one.decision for one in by_index.values())
    return Corrected(
        [files[index] for index in left],
        [after[index] for index in left],
        changes,
        {kind: counts[kind] for kind in DECISIONS},
        [name for name in names if name not in remaining],
    )


def save_links(path: str | PathLike[str], files: Sequence[str], people: Sequence[str]) -> Path:
    """Makes path/person/name for each of `files`, a link to it, and returns the path. Nothing is copied, moved or deleted.

    A link whose name is taken has the name of its file's folder before it. The folder appears when all of it is written, or not at all.
    Raises LimenError where the path holds something already, and for a file that is not there.
    """
    path = Path(path)
    check_folder_names(set(people))
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise LimenError(f"{path}: holds something already; name a new folder")
    if not path.parent.is_dir():
        raise LimenError(f"{path}: there is no folder {path.parent}; make it or choose another place")
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}-") as scratch:
            root = Path(scratch) / path.name
            for file, person in zip(files, people, strict=True):
                target = Path(os.path.realpath(file))
                if not target.is_file():
                    raise LimenError(f"{file}: is no file of its own, so no link can name it; give data of a folder or a list")
                (root / person).mkdir(parents=True, exist_ok=True)
                link, home = root / person / Path(file).name, Path(file).parent.name
                while os.path.lexists(link):
                    link = link.with_name(f"{home}-{link.name}")
                os.symlink(target, link)
            os.replace(root, path)
    except OSError as error:
        raise LimenError(f"cannot write the links of {path}: {explain(error)}; --out FILE.csv writes a list instead") from error
    return path
