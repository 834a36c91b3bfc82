"""Adience (Eidinger et al., 2014) as CR-FIQA pairs it: all pairs of the images prepared."""

import io
from array import array
from pathlib import Path

import numpy as np

from limen.data.pairs import PairSet
from limen.data.pairs.pair_set import joined_subjects
from limen.data.readers import FileSource
from limen.errors import LimenError
from limen.files import file_sha256, open_plain_file
from limen.protocols.layouts.layout import Layout
from limen.protocols.layouts.text import wrong_line
from limen.protocols.layouts.tree import Images, refuse_raw

LIST, IMAGES = "pair_list.txt", "images/"
FAR = (1e-4, 1e-3, 1e-2)


def _read(layout: Layout, path: Path) -> PairSet:
    found = layout.files(path)
    names, first, second, same = read_pair_list(found[LIST])
    files, number = Images(found[IMAGES]).find_all([name.removeprefix("images/") for name in names], found[LIST])
    refuse_raw(files, layout.name)
    one, other = number[first], number[second]
    people = [_person(file.name) for file in files]
    named = all(people)
    subject = np.unique(people, return_inverse=True)[1] if named else joined_subjects(one, other, same, len(files))
    if named and (wrong := np.flatnonzero((subject[one] == subject[other]) != same)).size:
        place = int(wrong[0])
        raise LimenError(
            f"{found[LIST]}: calls {files[one[place]].name} and {files[other[place]].name} {_KINDS[int(same[place])]}; correct it"
        )
    return PairSet(
        layout.name,
        FileSource(files),
        one,
        other,
        same,
        subject,
        folds=None,
        people="named" if named else "joined",
        far=FAR,
        switches={"pairs_sha256": file_sha256(found[LIST])},
    )


_KINDS = ("two people, and their names say one", "one person, and their names say two")


def read_pair_list(path: Path) -> tuple[list[str], np.ndarray, np.ndarray, np.ndarray]:
    """The names, the numbers (P,) of the first and second of each pair, and (P,) bool, of lines `name name 0|1`.

    All pairs of 19,370 images are 188 million lines: they are read as a stream, and kept as 9 bytes each.
    Raises LimenError for a line of another form.
    """
    numbers: dict[str, int] = {}
    first, second, same = array("i"), array("i"), bytearray()
    with open_plain_file(path) as file, io.TextIOWrapper(file, "utf-8-sig", errors="surrogateescape") as lines:
        for line, text in enumerate(lines, start=1):
            if not (row := text.split()):
                continue
            if len(row) != 3 or row[2] not in ("0", "1"):
                raise wrong_line(path, line, "is not `image image 0` or `1`")
            first.append(numbers.setdefault(row[0], len(numbers)))
            second.append(numbers.setdefault(row[1], len(numbers)))
            same.append(row[2] == "1")
    if not same:
        raise LimenError(f"{path}: holds no pairs; write it again")
    return list(numbers), np.frombuffer(first, np.int32), np.frombuffer(second, np.int32), np.frombuffer(same, bool)


def _person(name: str) -> str:
    """ "7" of "p_7_img_12.jpg", which CR-FIQA's preparation writes; nothing of another name."""
    person, found, _ = name.partition("_img_")
    return person.removeprefix("p_") if found and person.startswith("p_") else ""


ADIENCE = Layout(
    name="adience",
    title="Adience, as CR-FIQA pairs it",
    kind="one to one",
    holds={LIST: "all pairs, `image image 0|1`, without endings", IMAGES: "p_<person>_img_<i>.jpg, aligned to 112x112"},
    source="the Open University of Israel (form); the list and the crops are home-made by CR-FIQA's preparation",
    images="aligned",
    read=_read,
)
