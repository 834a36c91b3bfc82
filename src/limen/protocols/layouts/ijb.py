"""IJB-B and IJB-C, one to one: insightface's suite of loose crops, or NIST's original tables with crops of one's own."""

from collections.abc import Mapping
from functools import partial
from itertools import zip_longest
from pathlib import Path

import numpy as np

from limen.data.pairs import PairSet
from limen.data.pairs.pair_set import joined_subjects
from limen.data.source import ImageSource
from limen.data.templates import Templates
from limen.errors import LimenError
from limen.files import file_sha256
from limen.protocols.layouts.ijb_original import original_pairs
from limen.protocols.layouts.landmarks import crops
from limen.protocols.layouts.layout import Layout
from limen.protocols.layouts.text import lines_of, number_table, numbers_of, rows_of, whole_number, wrong_line
from limen.protocols.layouts.tree import Images, entry, places

FAR = (1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1)
SUBSETS = {"b": ("S1", "S2"), "c": ("G1", "G2")}
POINTS_FIELDS = 12  # image, x and y of five points, detector score


def table(letter: str, name: str) -> str:
    """Where a table of the suite may be."""
    file = f"ijb{letter}_{name}"
    return "|".join(folder + file for folder in ("meta/", f"IJB{letter.upper()}_meta/", "", f"IJB{letter.upper()}/meta/"))


def read_suite(layout: Layout, path: Path, letter: str) -> tuple[ImageSource, Templates, np.ndarray]:
    """The crops, moved onto the five-point template as they are read; the templates; and (T,) the number of each in the tables, rising.

    The people are unknown. The weights are the detector's scores.
    Raises LimenError where the two tables name other images in any line.
    """
    crop_folder = f"loose_crop/|IJB{letter.upper()}/loose_crop/"
    names = (table(letter, "face_tid_mid.txt"), table(letter, "name_5pts_score.txt"), crop_folder)
    rows, faces, folder = (layout.files(path, *names)[name] for name in names)
    image, template, media, points, score = [], [], [], [], []
    for one, other in zip_longest(rows_of(rows, 3), rows_of(faces, POINTS_FIELDS)):
        if one is None or other is None:
            counts = [sum(1 for _ in lines_of(file)) for file in (rows, faces)]
            raise LimenError(f"{rows}: has {counts[0]:,} lines and {faces.name} {counts[1]:,}; fetch both again")
        (line, row), (_, face) = one, other
        if row[0] != face[0]:
            raise wrong_line(faces, line, f"is of {face[0]} where {rows.name} has {row[0]}")
        *place, confidence = numbers_of(faces, line, face[1:])
        image.append(row[0])
        template.append(whole_number(rows, line, row[1]))
        media.append(whole_number(rows, line, row[2]))
        points.append(place)
        score.append(confidence)
    if not image:
        raise LimenError(f"{rows}: holds no lines; fetch it again")
    files, number = Images(folder).find_all(image, rows)
    by_file = dict(zip((files[index] for index in number), np.array(points).reshape(-1, 5, 2), strict=True))
    ids, index = np.unique(template, return_inverse=True)
    weight = np.array(score).clip(0)
    templates = Templates(number, index, np.array(media), np.full(len(ids), -1), [f"template {found}" for found in ids], weight)
    return crops(files, layout.name, by_file.get), templates, ids


def with_templates(templates: Templates, ids: np.ndarray, wanted: np.ndarray) -> tuple[Templates, np.ndarray]:
    """`templates` and those of `wanted` that no image belongs to: failures to acquire, which count."""
    every = np.union1d(ids, wanted)
    if len(every) == len(ids):
        return templates, ids
    place = np.searchsorted(every, ids)
    person = np.full(len(every), -1)
    person[place] = templates.person
    names = [f"template {found}" for found in every]
    return Templates(templates.image, place[templates.template], templates.media, person, names, templates.weight), every


def subjects_of_templates(folder: Path, letter: str) -> dict[int, str]:
    """The person of each template that the 1:N tables in the folder of the other tables name; empty where they are not there."""
    tables: dict[Path, dict[int, str]] = {}
    for name in (*(f"1N_gallery_{subset}.csv" for subset in SUBSETS[letter]), "1N_probe_mixed.csv"):
        if (file := entry(folder, f"ijb{letter}_{name}")) is None:
            return {}
        tables[file] = template_subjects(file)
    return subjects_of_tables(tables)


def subjects_of_tables(tables: Mapping[Path, Mapping[int, str]]) -> dict[int, str]:
    """The people of all templates in several tables. Raises LimenError where two of them do not agree."""
    found: dict[int, str] = {}
    for file, subjects in tables.items():
        for number, person in subjects.items():
            if found.setdefault(number, person) != person:
                said = f"gives template {number} the person {person}, and another table {found[number]}"
                raise LimenError(f"{file}: {said}; fetch the tables again")
    return found


def template_subjects(path: Path) -> dict[int, str]:
    """The person of each template of a 1:N table: comma, columns 1 and 2, several rows a template, with a header or without.

    Raises LimenError for a template of two people, and where there is none.
    """
    found: dict[int, str] = {}
    for place, (line, row) in enumerate(rows_of(path, range(2, 64), ",")):
        if place == 0 and not row[0].isdigit():
            continue
        number = whole_number(path, line, row[0])
        if not row[1] or found.setdefault(number, row[1]) != row[1]:
            raise wrong_line(path, line, f"gives template {number} the person {row[1]!r}, and an earlier line {found.get(number)!r}")
    if not found:
        raise LimenError(f"{path}: holds no templates; fetch it again")
    return found


def _read(letter: str, layout: Layout, path: Path) -> PairSet:
    labels = table(letter, "template_pair_label.txt")
    if not any(entry(place, table(letter, "face_tid_mid.txt")) for place in [*places(path)][:-1]) and (  # not beside it
        pairs := original_pairs(layout.name, path, letter, FAR)
    ):
        return pairs
    layout.files(path)  # all that are missing are named at once
    source, templates, ids = read_suite(layout, path, letter)
    listed = layout.files(path, labels)[labels]
    pairs_table = number_table(listed, 3)
    if not np.isin(pairs_table[:, 2], (0, 1)).all():
        line = int(np.flatnonzero(~np.isin(pairs_table[:, 2], (0, 1)))[0])
        raise LimenError(f"{listed}: pair {line + 1:,} has the label {pairs_table[line, 2]} where 0 or 1 is expected; fetch it again")
    templates, ids = with_templates(templates, ids, np.unique(pairs_table[:, :2]))
    first, second, same = np.searchsorted(ids, pairs_table[:, 0]), np.searchsorted(ids, pairs_table[:, 1]), pairs_table[:, 2] == 1
    del pairs_table
    named = subjects_of_templates(listed.parent, letter)
    if all(int(number) in named for number in ids):
        subject = np.unique([named[int(number)] for number in ids], return_inverse=True)[1]
        if (wrong := np.flatnonzero((subject[first] == subject[second]) != same)).size:
            one, other = templates.names[first[wrong[0]]], templates.names[second[wrong[0]]]
            raise LimenError(
                f"{listed}: the label of {one} and {other} is not what the 1:N tables say ({wrong.size:,} such); fetch them again"
            )
    else:
        named, subject = {}, joined_subjects(first, second, same, len(ids))
    return PairSet(
        layout.name,
        source,
        first,
        second,
        same,
        subject,
        folds=None,
        people="named" if named else "joined",
        templates=templates,
        far=FAR,
        switches={"pairs_sha256": file_sha256(listed), "tables": "insightface's suite"},
    )


IJBB, IJBC = (
    Layout(
        name=f"ijb{letter}",
        title=f"IJB-{letter.upper()}, one to one",
        kind="one to one",
        holds={
            f"loose_crop/|IJB{letter.upper()}/loose_crop/": "1.jpg, 2.jpg, ...: loose crops",
            table(letter, "face_tid_mid.txt"): "image, template, media",
            table(letter, "template_pair_label.txt"): "template, template, 0 or 1",
            table(letter, "name_5pts_score.txt"): "image, five points in the crop, the detector's score",
        },
        source="insightface's IJB download; NIST stopped on 2023-03-14: holders of older copies",
        images="loose with landmarks",
        read=partial(_read, letter),
        also=(
            "NIST's original protocol/ or protocols/ with aligned/<FILENAME>, own crops of 112x112; where a file holds several faces, "
            "aligned/<FILENAME without ending>_<FACE_X>_<FACE_Y>_<FACE_WIDTH>_<FACE_HEIGHT>.jpg"
        ),
        expected={"images": images, "templates": templates, "pairs": pairs, "mated": mated},
    )
    for letter, images, templates, pairs, mated in (
        ("b", 227_630, 12_115, 8_010_270, 10_270),
        ("c", 469_375, 23_124, 15_658_489, 19_557),
    )
)
