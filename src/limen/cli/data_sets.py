"""`limen data merge`, `split` and `convert`: sets of faces put together, divided, or written in another form."""

import argparse
import os
from collections import Counter
from typing import Any

import numpy as np

from limen.cli.progress import progress_bar
from limen.data import FaceSource, open_source
from limen.data.joint import JointSource, name_of
from limen.data.source import READERS, reader_of
from limen.data.splitting import counts_of_shares, split_people
from limen.data.written import FORMS, ChosenFaces, form_of, readable, write_faces
from limen.errors import LimenError

LISTED = 10  # names in an error or in the text; --json has them all
CHEAP = ("list", "links")  # which name images where they lie: none is read


def add_sets(actions: Any) -> None:
    merge = actions.add_parser("merge", help="two or more sets to one: a list that names the images where they lie, or another form")
    merge.add_argument("paths", nargs="+", metavar="PATH", help="a folder of people, a list (FILE.csv), a train.rec, ...")
    merge.add_argument("--same-name", choices=("join", "apart"), help="people of one name in two sets: one person, or two (Ann@a, Ann@b)")
    merge.add_argument("--out", required=True, metavar="OUT", help="FILE.csv, .tar, .arrow, .parquet, or a new folder (of links)")
    split = actions.add_parser("split", help="one set to several, nobody in two of them, alike in images per person")
    split.add_argument("path", metavar="PATH", help="a folder of people, a list (FILE.csv), a train.rec, ...")
    amount = split.add_mutually_exclusive_group(required=True)
    amount.add_argument("--shares", nargs="+", type=float, metavar="X", help="share of the people of each part; they sum to 1")
    amount.add_argument(
        "--people", nargs="+", type=int, metavar="N", help="people of each part; with one number fewer, the last has the rest"
    )
    split.add_argument("--seed", type=int, default=0, help="seed of the draw (0)")
    split.add_argument("--out", nargs="+", required=True, metavar="OUT", help="a name for each part, as of merge")
    convert = actions.add_parser("convert", help="any set to RecordIO, Arrow, Parquet, tar, a folder or a list; images keep their bytes")
    convert.add_argument("path", metavar="PATH", help="a folder of people, a list (FILE.csv), a train.rec, ...")
    convert.add_argument("--out", required=True, metavar="OUT", help="FILE.arrow, .parquet, .tar, .csv, or a new folder")
    for words in (split, convert):
        words.add_argument("--reader", help=f"{', '.join(READERS)}, or package.module:Class (told by PATH)")
    for words, default in ((merge, "links"), (split, "links"), (convert, "folder")):
        add_form(words, default)


def add_form(words: argparse.ArgumentParser, default: str) -> None:
    words.add_argument("--to", choices=FORMS, help=f"the form (told by the name's ending, else {default})")
    words.add_argument(
        "--unreadable",
        choices=("refuse", "leave-out"),
        default="refuse",
        help="images that cannot be read, where they are copied (refuse)",
    )


def merge(options: argparse.Namespace) -> dict[str, Any]:
    form = form_of(options.out, options.to, "links")
    if len(options.paths) < 2:
        raise LimenError("data merge: give two sets or more")
    if twice := [path for path, count in Counter(map(os.path.realpath, options.paths)).items() if count > 1]:
        raise LimenError(f"{twice[0]}: a set cannot be merged with itself; name it once")
    sources = [open_source(reader_of(path), path) for path in options.paths]
    known = Counter(name for source in sources for name in source.class_names)
    shared = sorted(name for name, count in known.items() if count > 1)
    if shared and options.same_name is None:
        few = ", ".join(shared[:3])
        raise LimenError(
            f"{len(shared)} people stand in several sets by name ({few}{', ...' * (len(shared) > 3)}); "
            "--same-name join makes one person of each name, --same-name apart two (limen data overlap compares their faces)"
        )
    source = JointSource(dict(zip(_names(options.paths), sources, strict=True)), join=options.same_name != "apart")
    files = Counter(os.path.realpath(source.locate(index)) for index in range(len(source)))
    if twice := [file for file, count in files.items() if count > 1]:
        raise LimenError(f"{twice[0]}: stands in two of the sets, as {len(twice):,} images do; leave them out of one")
    return save_set(options, options.out, form, source) | {"same_name": options.same_name, "people_in_several": shared}


def split(options: argparse.Namespace) -> dict[str, Any]:
    if len(options.out) < 2 or len(set(map(os.path.realpath, options.out))) < len(options.out):
        raise LimenError("--out: give two names or more, each once")
    forms = [form_of(out, options.to, "links") for out in options.out]
    source = open_source(options.reader or reader_of(options.path), options.path)
    people, parts = len(source.class_names), len(options.out)
    if options.shares:
        counts = counts_of_shares(options.shares, people)
    else:
        counts = [*options.people, people - sum(options.people)] if len(options.people) == parts - 1 else options.people
    if len(counts) != parts:
        raise LimenError(f"--out: {parts} names for {len(counts)} parts; give one name for each")
    sizes = np.bincount(source.labels, minlength=people)
    part = split_people(sizes, counts, options.seed)[source.labels]
    ready: list[tuple[FaceSource, list[str]]] = []  # all are checked before any is written
    for number, form in enumerate(forms):
        faces = ChosenFaces(source, np.flatnonzero(part == number))
        ready.append((faces, []) if form in CHEAP else _checked(options, faces))
    made = [_save(out, form, faces, faults) for out, form, (faces, faults) in zip(options.out, forms, ready, strict=True)]
    return {"parts": made, "seed": options.seed}


def convert(options: argparse.Namespace) -> dict[str, Any]:
    form = form_of(options.out, options.to, "folder")
    return save_set(options, options.out, form, open_source(options.reader or reader_of(options.path), options.path))


def save_set(options: argparse.Namespace, out: str, form: str, source: FaceSource) -> dict[str, Any]:
    """Writes the faces in this form, and tells what was written and left out."""
    faces, faults = (source, list[str]()) if form in CHEAP else _checked(options, source)
    gone = sorted(set(source.class_names) - set(faces.class_names))
    return _save(out, form, faces, faults) | {"people_gone": gone}


def _save(out: str, form: str, faces: FaceSource, faults: list[str]) -> dict[str, Any]:
    with progress_bar(f"writing {out}") as progress:
        write_faces(out, form, faces, progress)
    sizes = np.bincount(faces.labels)
    return {
        "out": out,
        "form": form,
        "images": len(faces),
        "people": len(sizes),
        "images_per_person_median": float(np.median(sizes)),
        "left_out": faults,
    }


def _checked(options: argparse.Namespace, source: FaceSource) -> tuple[FaceSource, list[str]]:
    """The images that can be read, and what is wrong with the others."""
    with progress_bar("reading") as progress:
        good, faults = readable(source, progress)
    if faults and options.unreadable == "refuse":
        raise LimenError(f"{len(faults):,} images cannot be read, {faults[0]}; nothing is written (--unreadable leave-out leaves them out)")
    if not good:
        raise LimenError(f"none of the {len(source):,} images can be read, {faults[0]}; nothing is written")
    return (ChosenFaces(source, good) if faults else source), faults


def _names(paths: list[str]) -> list[str]:
    """A name for each set, as in data.sources; one that is taken gets its number."""
    found = list[str]()
    for number, path in enumerate(paths, start=1):
        name = name_of(path).replace("@", "_")
        found.append(f"{name}-{number}" if name in found else name)
    return found


def sets_text(result: dict[str, Any]) -> str:
    lines = list[str]()
    for made in result.get("parts", [result]):
        lost = made["left_out"]
        lines += [*lost[:LISTED], *([f"{len(lost)} images cannot be read and are left out"] if lost else [])]
        people = f"{made['images']} images of {made['people']} people (half of them have {made['images_per_person_median']:g} or fewer)"
        lines.append(f"{people}: {made['out']}, {made['form']}")
    if gone := result.get("people_gone"):
        lines.append(f"no image is left of {', '.join(gone[:LISTED])}{', ...' * (len(gone) > LISTED)}")
    if shared := result.get("people_in_several"):
        lines.append(f"{len(shared)} people stand in several sets by name: {'joined' if result['same_name'] == 'join' else 'kept apart'}")
    return "\n".join(lines)
