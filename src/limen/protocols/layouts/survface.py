"""QMUL-SurvFace (Cheng et al., 2018): faces as surveillance cameras see them, searched in an open set, and compared in pairs."""

import warnings
from pathlib import Path

from limen.data.pairs import PairSet
from limen.errors import LimenError, LimenWarning
from limen.protocols.layouts.layout import Layout
from limen.protocols.layouts.listed_ids import listed_ids, person_number
from limen.protocols.layouts.matlab import names_in, read_matlab
from limen.protocols.layouts.pairs import pair_set
from limen.protocols.layouts.searches import aligned_folder, every_image, joined, search_set, strangers
from limen.protocols.layouts.tree import FEW, entry
from limen.protocols.task import SearchSet

SEARCH, COMPARE = "Face_Identification_Test_Set", "Face_Verification_Test_Set"
FPIR = (0.3, 0.2, 0.1, 0.01)
FAR = (0.3, 0.1, 0.01, 0.001)


def _anywhere(test: str, name: str, *others: str) -> str:
    return "|".join(f"{top}{folder}{name}" for top in ("", "QMUL-SurvFace/") for folder in (f"{test}/", *others, ""))


GALLERY_LIST, MATED_LIST = (
    _anywhere(SEARCH, f"{side}_img_ID_pairs.mat", "Face_Identification_Evaluation/") for side in ("gallery", "mated_probe")
)
MATED_PAIRS, OTHER_PAIRS = (_anywhere(COMPARE, f"{kind}_pairs_names.mat") for kind in ("positive", "negative"))


def _read_search(layout: Layout, path: Path) -> SearchSet:
    lists = layout.files(path, GALLERY_LIST, MATED_LIST)
    root = aligned_folder(layout, path, lists.values(), below=SEARCH)
    gallery, mated = listed_ids(
        layout.name,
        (root / "gallery", lists[GALLERY_LIST], "gallery_set", "gallery_ids"),
        (root / "mated_probe", lists[MATED_LIST], "mated_probe_set", "mated_probe_ids"),
    )
    unmated = every_image(entry(root, "unmated_probe") or root)
    enrolled = {person_number(file.name) for file in gallery.files}
    lonely = [file.name for file in mated.files if person_number(file.name) not in enrolled]
    known = [file.name for file in unmated if person_number(file.name) in enrolled]
    for images, fault in ((lonely, "mated_probe have nobody in the gallery"), (known, "unmated_probe are named as people in the gallery")):
        if images:
            text = f"{layout.name}: {len(images):,} images in {fault} ({', '.join(images[:FEW])}); they count as unmated"
            warnings.warn(text, LimenWarning, stacklevel=3)
    return search_set(
        layout.name,
        root,
        {"": (gallery, joined(mated, strangers(unmated)))},
        ranks=(1, 20),
        fpir=FPIR,
        open_rank=20,
        counts={"unmated probes": len(unmated) + len(lonely)},
    )


def _read_pairs(layout: Layout, path: Path) -> PairSet:
    lists = layout.files(path, MATED_PAIRS, OTHER_PAIRS)
    root = aligned_folder(layout, path, lists.values(), below=COMPARE) / "verification_images"
    first: list[str] = []
    second: list[str] = []
    same: list[bool] = []
    for listed, mated in ((lists[MATED_PAIRS], True), (lists[OTHER_PAIRS], False)):
        (pairs,) = read_matlab(listed, listed.stem)
        if pairs.ndim != 2 or pairs.shape[1] != 2:
            raise LimenError(f"{listed}: {listed.stem} is of {pairs.shape} where two names a pair are expected; fetch it again")
        one, other = (names_in(listed, listed.stem, pairs[:, side]) for side in (0, 1))
        first, second, same = first + one, second + other, same + [mated] * len(pairs)
    people = [person_number(image) for image in first], [person_number(image) for image in second]
    return pair_set(layout.name, root, lists[MATED_PAIRS], first, second, same, people, folds=None, far=FAR)


SOURCE = "the SurvFace page (Queen Mary University of London)"
SURVFACE = Layout(
    name="survface",
    title="QMUL-SurvFace, identification in an open set",
    kind="one to many",
    holds={
        GALLERY_LIST: "the names and ids of the gallery",
        MATED_LIST: "names and ids of the probes whose people are in the gallery",
        "gallery/": "the images of the gallery",
        "mated_probe/": "probes of people in the gallery",
        "unmated_probe/": "probes of people who are not",
    },
    source=SOURCE,
    images="raw",
    read=_read_search,
    also="the three folders of aligned 112x112 copies in any folder here or beside it, named as the native ones",
)
SURVFACE_PAIRS = Layout(
    name="survface-pairs",
    title="QMUL-SurvFace, verification",
    kind="one to one",
    holds={
        MATED_PAIRS: "the mated pairs",
        OTHER_PAIRS: "the non-mated pairs",
        "verification_images/": "their images",
    },
    source=SOURCE,
    images="raw",
    read=_read_pairs,
    also="verification_images/ of aligned 112x112 copies in any folder here or beside it",
    expected={"pairs": 10_640, "mated": 5_320},
)
