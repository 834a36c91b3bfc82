"""CFP (Sengupta et al., 2016): frontal faces against frontal (FF) and against profile faces (FP)."""

from functools import partial
from pathlib import Path

import numpy as np

from limen.data.pairs import PairSet
from limen.errors import LimenError
from limen.protocols.layouts.layout import Layout
from limen.protocols.layouts.packs import PACKED, packed
from limen.protocols.layouts.pairs import image_root, pair_set
from limen.protocols.layouts.text import rows_of, whole_number, wrong_line
from limen.protocols.layouts.tree import folders_in

FRONTAL, PROFILE, SPLITS = "Protocol/Pair_list_F.txt", "Protocol/Pair_list_P.txt", "Protocol/Split/"


def _read(protocol: str, layout: Layout, path: Path) -> PairSet:
    if pack := packed(path, layout.name.replace("-", "_")):
        return pack
    files = layout.files(path)
    frontal = _numbered(files[FRONTAL])
    other = _numbered(files[PROFILE]) if protocol == "FP" else frontal
    first: list[str] = []
    second: list[str] = []
    same: list[bool] = []
    fold: list[int] = []
    splits = folders_in(files[SPLITS + protocol])
    for number, folder in enumerate(splits):
        for name, flag in (("same.txt", True), ("diff.txt", False)):
            listed = folder / name
            for line, row in rows_of(listed, 2, ","):
                for sides, images, text in ((first, frontal, row[0]), (second, other, row[1])):
                    if (index := whole_number(listed, line, text)) not in images:
                        raise wrong_line(listed, line, f"names image {index}, which is not in the list of {len(images):,} images")
                    sides.append(images[index])
                same.append(flag)
                fold.append(number)
    if not same:
        raise LimenError(f"{files[SPLITS + protocol]}: holds no 01/same.txt and 01/diff.txt; fetch it again")
    people = ([_person(name) for name in first], [_person(name) for name in second])
    root = image_root(files[FRONTAL].parent.parent, [*first, *second], files[FRONTAL])
    return pair_set(layout.name, root, files[FRONTAL], first, second, same, people, folds=np.array(fold))


def _numbered(path: Path) -> dict[int, str]:
    """Path below the folder of the set, by the number in column 1."""
    found: dict[int, str] = {}
    for line, (number, name) in rows_of(path, 2):
        index = whole_number(path, line, number)
        if index in found:
            raise wrong_line(path, line, f"has the number {index} a second time")
        found[index] = name.replace("\\", "/").removeprefix("../").removeprefix("./")
    return found


def _person(name: str) -> str:
    """ "001" of Data/Images/001/frontal/01.jpg."""
    return Path(name).parts[-3] if len(Path(name).parts) > 2 else name


CFP_FP, CFP_FF = (
    Layout(
        name=f"cfp-{protocol.lower()}",
        title=f"CFP-{protocol}: Celebrities in Frontal-Profile, frontal against {against}",
        kind="one to one",
        holds={
            FRONTAL: "numbered paths of the frontal images",
            **({PROFILE: "numbered paths of the profile images"} if protocol == "FP" else {}),
            SPLITS + protocol: "01/same.txt, 01/diff.txt, ...: pairs of numbers; and Data/Images/, aligned to 112x112",
        },
        source="the authors' archive, now mirrors",
        images="raw",
        read=partial(_read, protocol),
        also=f"cfp_{protocol.lower()}{PACKED}",
        expected={"pairs": 7000, "mated": 3500},
    )
    for protocol, against in (("FP", "profile"), ("FF", "frontal"))
)
