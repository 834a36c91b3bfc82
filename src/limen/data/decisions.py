"""What people decided about labels, and the labels that follow from it."""

import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from limen.data.readers.people import check_folder_names
from limen.data.source import FaceSource
from limen.errors import LimenError
from limen.files import explain
from limen.lookup import did_you_mean
from limen.tables import csv_columns, read_csv

COLUMNS = ("file", "person", "decision", "new_person", "model")
DECISIONS = ("right", "wrong", "unsure", "move")
OF_PEOPLE = ("same", "different")  # of two people, each named by an image


class Decision(NamedTuple):
    """A person's word on the label of one image, or on two people; `where` is its line, for messages."""

    file: str
    person: str
    decision: str
    new_person: str
    pair_with: str
    where: str


class Decisions(NamedTuple):
    """On single images; on two people, whom `file` and `pair_with` show; and the number on two images, which name none at fault."""

    images: list[Decision]
    people: list[Decision]
    pairs: int


class Change(NamedTuple):
    """An image whose label changes; `new_person` is empty where it is left out."""

    file: str
    person: str
    new_person: str


class Corrected(NamedTuple):
    """Labelled images after the decisions.

    indices, people every image that stays, by its number, and its person
    changes         what was moved or left out
    decided         decision -> images
    people_gone     people of whom no image is left
    """

    indices: list[int]
    people: list[str]
    changes: list[Change]
    decided: dict[str, int]
    people_gone: list[str]


def read_decisions(paths: Iterable[str | PathLike[str]]) -> Decisions:
    """The decisions in files that `limen review` saved.

    Raises LimenError for a decision that is not known, and for two on one image, or on the same two, that differ.
    """
    found: dict[tuple[str, str], Decision] = {}
    for path in paths:
        columns = (*COLUMNS, "pair_with") if "pair_with" in csv_columns(path) else COLUMNS
        for line, row in read_csv(path, columns):
            words = (row["file"], row["person"], row["decision"], row["new_person"], row.get("pair_with", ""))
            one = Decision(*words, f"{path}: line {line}")
            known = (*DECISIONS, *OF_PEOPLE)
            if one.decision not in known:
                raise LimenError(f"{one.where}: the decision {one.decision!r} is not known; {did_you_mean(one.decision, known)}")
            if (one.decision == "move") != bool(one.new_person):
                raise LimenError(f"{one.where}: a move, and nothing else, names a new_person; correct it")
            if one.decision in OF_PEOPLE and not one.pair_with:
                raise LimenError(f"{one.where}: {one.decision} is said of two people; pair_with has to name an image of the other")
            other = found.setdefault((one.file, one.pair_with), one)
            if other[:5] != one[:5]:
                raise LimenError(f"{one.where}: {one.file} is decided otherwise in {other.where}; take one of them out")
    people = [one for one in found.values() if one.decision in OF_PEOPLE]
    images = [one for one in found.values() if not one.pair_with]
    return Decisions(images, people, len(found) - len(people) - len(images))


def _numbers(source: FaceSource) -> dict[str, int]:
    """File -> number of its image."""
    return {os.path.realpath(source.locate(index)): index for index in range(len(source))}


def decided_people(decisions: Sequence[Decision], first: FaceSource, second: FaceSource | None = None) -> dict[tuple[int, int], bool]:
    """Labels in `first` and in `second` -> whether the two are one person. Without `second` both are of `first`, the lower label first.

    Raises LimenError for an image that the sets do not have, or have under another person, and for decisions on two people that differ.
    """
    ours = _numbers(first)
    theirs = ours if second is None else _numbers(second)
    found: dict[tuple[int, int], tuple[bool, Decision]] = {}
    for one in decisions:
        indices = [ours.get(os.path.realpath(one.file)), theirs.get(os.path.realpath(one.pair_with))]
        if None in indices:
            file = (one.file, one.pair_with)[indices.index(None)]
            raise LimenError(f"{one.where}: the data have no image {file}; give the data that the decisions were made on")
        labels = [int((first if side == 0 or second is None else second).labels[index]) for side, index in enumerate(indices)]
        if first.class_names[labels[0]] != one.person:
            raise LimenError(f"{one.where}: {one.file} is labelled {first.class_names[labels[0]]}, not {one.person}; decide on them anew")
        pair = (min(labels), max(labels)) if second is None else (labels[0], labels[1])
        same, other = found.setdefault(pair, (one.decision == "same", one))
        if same != (one.decision == "same"):
            raise LimenError(f"{one.where}: the two are decided otherwise in {other.where}; take one of them out")
    return {pair: same for pair, (same, _) in found.items()}


def joined(source: FaceSource, decided: Mapping[tuple[int, int], bool]) -> np.ndarray:
    """(C,): the label that each person takes: that of the most images among those who are decided to be one, else its own.

    Raises LimenError where two who are decided to be two people are joined through others.
    """
    people = len(source.class_names)
    same = np.array([pair for pair, one in decided.items() if one], np.int64).reshape(-1, 2)
    component = connected_components(coo_array((np.ones(len(same)), same.T), shape=(people, people)), directed=False)[1]
    for one, other in (pair for pair, alike in decided.items() if not alike):
        if component[one] == component[other]:
            names = f"{source.class_names[one]} and {source.class_names[other]}"
            raise LimenError(f"{names}: are decided to be two people, but others join them; correct the decisions")
    order = np.lexsort((np.arange(people), -np.bincount(source.labels, minlength=people)))  # the most images first
    chosen = {part: label for part, label in zip(component[order][::-1].tolist(), order[::-1].tolist(), strict=True)}
    return np.array([chosen[part] for part in component.tolist()], np.int64)


def corrected(source: FaceSource, decisions: Sequence[Decision], people: Sequence[Decision] = ()) -> Corrected:
    """The images of `source`: those moved have their new person, those whose label is wrong are left out, all others are as they were;
    then two people who are decided to be one are one, see `joined`.

    Raises LimenError for a decision on an image that `source` does not have, or has under another person, and for a move to a person whom
    it does not have.
    """
    files, names = [source.locate(index) for index in range(len(source))], source.class_names
    number = _numbers(source)
    label_of, by_index = {name: label for label, name in enumerate(names)}, dict[int, Decision]()
    for one in decisions:
        index = number.get(os.path.realpath(one.file))
        if index is None:
            raise LimenError(f"{one.where}: the data have no image {one.file}; apply decisions to the data they were made on")
        if names[source.labels[index]] != one.person:
            raise LimenError(
                f"{one.where}: {one.file} is labelled {names[source.labels[index]]}, not {one.person}; they are decided already"
            )
        if one.new_person and one.new_person not in label_of:
            raise LimenError(f"{one.where}: there is no person {one.new_person} to move to; {did_you_mean(one.new_person, names)}")
        by_index[index] = one
    decided = decided_people(people, source)
    taken = joined(source, decided)
    before = source.labels.tolist()
    gone = {index for index, one in by_index.items() if one.decision == "wrong"}
    moved = {index: label_of[one.new_person] for index, one in by_index.items() if one.new_person}
    after = [int(taken[moved.get(index, label)]) for index, label in enumerate(before)]
    left = [index for index in range(len(files)) if index not in gone]
    remaining = {after[index] for index in left}
    changed = [index for index in range(len(files)) if index in gone or after[index] != before[index]]
    counts = Counter(one.decision for one in by_index.values()) + Counter("same" if same else "different" for same in decided.values())
    return Corrected(
        left,
        [names[after[index]] for index in left],
        [Change(files[index], names[before[index]], "" if index in gone else names[after[index]]) for index in changed],
        {kind: counts[kind] for kind in (*DECISIONS, *OF_PEOPLE)},
        [name for label, name in enumerate(names) if label not in remaining],
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
