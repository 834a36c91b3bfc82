"""NIST's original tables of IJB-B and IJB-C. They name photos and boxes: crops have to be made, and lie in aligned/."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from limen.data.pairs import PairSet
from limen.data.readers import FileSource
from limen.data.templates import Templates
from limen.errors import LimenError
from limen.files import file_sha256
from limen.protocols.layouts.text import csv_rows, rows_of, whole_number, wrong_line
from limen.protocols.layouts.tree import FEW, Images, entry, places, refuse_raw, stem_of, within
from limen.protocols.task import Gallery, SearchSet

MATCHES = {"b": "ijbb_11_S1_S2_matches.csv", "c": "ijbc_11_G1_G2_matches.csv"}
TEMPLATES = {
    "b": ("ijbb_1N_gallery_S1.csv", "ijbb_1N_gallery_S2.csv", "ijbb_1N_probe_mixed.csv"),
    "c": ("ijbc_1N_gallery_G1.csv", "ijbc_1N_gallery_G2.csv", "ijbc_1N_probe_mixed.csv"),
}
NEWER = ("test1/enroll_templates.csv", "test1/verif_templates.csv")
NEWER_SEARCH = ("test4/gallery_G1.csv", "test4/gallery_G2.csv", "test4/probes.csv")
FOLDERS = ("protocol/", "protocols/", "protocols/archive/", "")
BOX = ("FACE_X", "FACE_Y", "FACE_WIDTH", "FACE_HEIGHT")


class Crops(NamedTuple):
    """The templates of some tables, and the crops of their rows."""

    source: FileSource
    templates: Templates
    ids: np.ndarray  # (T,) int64 rising: the number of each template in the tables
    missing: int  # rows without a crop


def original_pairs(name: str, path: Path, letter: str, far: tuple[float, ...]) -> PairSet | None:
    """The pairs of the tables below `path`; None where there are none. Raises LimenError for tables that disagree, and without crops."""
    for tables in ((*TEMPLATES[letter], MATCHES[letter]), (*NEWER, "test1/match.csv")):
        if found := _found(path, tables):
            place, (*templates, matches) = found
            return _pairs(name, place, templates, matches, far)
    return None


def original_search(name: str, path: Path, letter: str, galleries: Sequence[str], fpir: tuple[float, ...]) -> SearchSet | None:
    """The two galleries of the tables below `path`, named `galleries`, and the mixed probes; otherwise as `original_pairs`."""
    for tables in (TEMPLATES[letter], NEWER_SEARCH):
        if found := _found(path, tables):
            return _search(name, *found, galleries, fpir)
    return None


def _found(path: Path, tables: Sequence[str]) -> tuple[Path, list[Path]] | None:
    """The place that holds all `tables`, and the tables. In the parent of `path`, one of them or the crops must be those of `path`."""
    for place in places(path):
        files = [file for table in tables if (file := entry(place, "|".join(folder + table for folder in FOLDERS)))]
        crops = entry(place, "aligned")
        if len(files) == len(tables) and within(path, *files, *([crops] if crops else [])):
            return place, files
    return None


def _pairs(name: str, place: Path, tables: list[Path], matches: Path, far: tuple[float, ...]) -> PairSet:
    source, templates, ids, missing = _crops(name, place, tables)
    first, second = _matches(matches, ids)
    switches = {"pairs_sha256": file_sha256(matches), "tables": "NIST's", "crops missing": missing}
    subject = templates.person
    same = subject[first] == subject[second]
    return PairSet(name, source, first, second, same, subject, folds=None, templates=templates, far=far, switches=switches)


def _search(name: str, place: Path, tables: list[Path], galleries: Sequence[str], fpir: tuple[float, ...]) -> SearchSet:
    source, templates, ids, missing = _crops(name, place, tables)
    *sides, probes = (np.unique([int(row["TEMPLATE_ID"]) for row in template_rows(table)]) for table in tables)
    for side, table in zip(sides, tables, strict=False):
        if (twice := np.intersect1d(side, probes)).size:
            both = f"template {twice[0]} is in {table.name} and in {tables[-1].name} ({twice.size:,} such)"
            raise LimenError(f"{place}: {both}; fetch the tables again")
    searched = [
        Gallery(gallery, np.searchsorted(ids, side), np.searchsorted(ids, probes)) for gallery, side in zip(galleries, sides, strict=True)
    ]
    return SearchSet(name, source, templates, searched, fpir=fpir, switches={"tables": "NIST's", "crops missing": missing})


def _crops(name: str, place: Path, tables: list[Path]) -> Crops:
    """Raises LimenError without crops, and for a template of two people."""
    folder = entry(place, "aligned")
    if folder is None:
        raise LimenError(
            f"{name}: {place} holds NIST's tables and no folder aligned/: its photos are raw, and hold several faces; detect and align the "
            "face of each row to 112x112 and keep it as aligned/<FILENAME> (see `limen protocols`)"
        )
    rows = [row for table in tables for row in template_rows(table)]
    boxes = defaultdict(set)
    for row in rows:
        boxes[row["FILENAME"]].add(_box(row))
    images, found, missing = Images(folder), [], list[str]()
    for row in rows:
        file = row["FILENAME"]
        names = [f"{stem_of(file)}_{_box(row)}.jpg"] if _box(row) else []
        names += [file] if len(boxes[file]) == 1 else []
        if crop := next((crop for candidate in names if (crop := images.find(candidate))), None):
            found.append((row, crop))
        else:
            missing.append((names or [file])[0])
    if not found:
        few = ", ".join(missing[:FEW])
        raise LimenError(f"{folder}: holds none of the {len(missing):,} crops of {name} ({few}, ...); see `limen protocols {name}`")
    files = list(dict.fromkeys(crop for _, crop in found))
    refuse_raw(files, name)
    number = {file: index for index, file in enumerate(files)}
    person: dict[int, str] = {}
    for row in rows:
        if person.setdefault(int(row["TEMPLATE_ID"]), row["SUBJECT_ID"]) != row["SUBJECT_ID"]:
            said = " and ".join(table.name for table in tables)
            raise LimenError(f"{tables[0].parent}: {said} give template {row['TEMPLATE_ID']} two people; fetch them again")
    ids = np.array(sorted(person))
    subject = np.unique([person[one] for one in ids.tolist()], return_inverse=True)[1]
    medium = {name: index for index, name in enumerate(dict.fromkeys(_medium(row["FILENAME"]) for row, _ in found))}
    templates = Templates(
        np.array([number[crop] for _, crop in found]),
        np.searchsorted(ids, [int(row["TEMPLATE_ID"]) for row, _ in found]),
        np.array([medium[_medium(row["FILENAME"])] for row, _ in found]),
        subject,
        [f"template {one}" for one in ids],
    )
    return Crops(FileSource(files), templates, ids, len(missing))


def template_rows(path: Path) -> Iterator[dict[str, str]]:
    """The rows of a table of templates by the words of its header; FILE, VIDEO and the like are FILENAME, of whichever version.

    Raises LimenError for a table without templates, and a template of two people.
    """
    rows = csv_rows(path)
    header = [word.strip().upper() for word in next(rows, (0, []))[1]]
    file = next((word for word in ("FILENAME", "FILE") if word in header), "")
    if not {"TEMPLATE_ID", "SUBJECT_ID"} <= set(header) or not file:
        raise LimenError(f"{path}: its first line does not name TEMPLATE_ID, SUBJECT_ID and FILENAME; is it the right file?")
    words = ["FILENAME" if word == file else word for word in header]
    person: dict[str, str] = {}
    for line, cells in rows:
        row = dict(zip(words, cells, strict=False))
        if not {"TEMPLATE_ID", "SUBJECT_ID", "FILENAME"} <= set(row):
            raise wrong_line(path, line, "is cut short")
        whole_number(path, line, row["TEMPLATE_ID"])
        if person.setdefault(row["TEMPLATE_ID"], row["SUBJECT_ID"]) != row["SUBJECT_ID"]:
            raise wrong_line(path, line, f"gives template {row['TEMPLATE_ID']} a second person")
        yield row


def _matches(path: Path, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The templates (P,) of either side, with or without a header."""
    sides: tuple[list[int], list[int]] = ([], [])
    for place, (line, row) in enumerate(rows_of(path, 2, ",")):
        if place == 0 and not row[0].isdigit():
            continue
        for side, text in zip(sides, row, strict=True):
            side.append(whole_number(path, line, text))
    first, second = (np.array(side, np.int64) for side in sides)
    both = np.unique(np.r_[first, second])
    if not len(both) or (unknown := both[~np.isin(both, ids)]).size:
        what = f"template {unknown[0]}, which no table has" if len(both) else "no templates"
        raise LimenError(f"{path}: names {what}; fetch the tables again")
    return np.searchsorted(ids, first), np.searchsorted(ids, second)


def _box(row: dict[str, str]) -> str:
    values = [(row.get(word) or "").strip() for word in BOX]
    return "_".join(values) if all(values) else ""


def _medium(file: str) -> str:
    """The video of frames/22_1.png is 22; a photo is itself."""
    folder, _, name = file.rpartition("/")
    return f"{folder}/{stem_of(name).rpartition('_')[0] or name}" if folder.endswith(("frames", "frame")) else file
