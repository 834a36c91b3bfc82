"""TinyFace (Cheng et al., 2018): faces of few pixels, searched among many others."""

from pathlib import Path

from limen.protocols.layouts.layout import Layout
from limen.protocols.layouts.listed_ids import listed_ids
from limen.protocols.layouts.searches import aligned_folder, every_image, joined, search_set, strangers
from limen.protocols.layouts.tree import entry
from limen.protocols.task import SearchSet

GALLERY, DISTRACTORS, PROBE = "Gallery_Match", "Gallery_Distractor", "Probe"


def _anywhere(name: str) -> str:
    return f"Testing_Set/{name}|{name}|tinyface/Testing_Set/{name}"


GALLERY_LIST, PROBE_LIST = _anywhere("gallery_match_img_ID_pairs.mat"), _anywhere("probe_img_ID_pairs.mat")


def _read(layout: Layout, path: Path) -> SearchSet:
    lists = layout.files(path, GALLERY_LIST, PROBE_LIST)
    root = aligned_folder(layout, path, lists.values(), below="Testing_Set")
    gallery, probe = listed_ids(
        layout.name,
        (root / GALLERY, lists[GALLERY_LIST], "gallery_set", "gallery_ids"),
        (root / PROBE, lists[PROBE_LIST], "probe_set", "probe_ids"),
    )
    distractors = every_image(entry(root, DISTRACTORS) or root)
    entries = joined(gallery, strangers(distractors))
    return search_set(layout.name, root, {"": (entries, probe)}, ranks=(1, 5, 20), counts={"distractors": len(distractors)})


TINYFACE = Layout(
    name="tinyface",
    title="TinyFace: faces of few pixels among many others",
    kind="one to many",
    holds={
        GALLERY_LIST: "the names and ids of the gallery's mates",
        PROBE_LIST: "names and ids of the probes",
        f"{GALLERY}/": "the images of the gallery that have probes",
        f"{DISTRACTORS}/": "images of other people, all in the gallery",
        f"{PROBE}/": "the images that are looked for",
    },
    source="the TinyFace page (Queen Mary University of London)",
    images="raw",
    read=_read,
    also="the three folders of aligned 112x112 copies in any folder here or beside it, named as the native ones",
    expected={"entries": 157_871, "probes": 3_728, "distractors": 153_428},
)
