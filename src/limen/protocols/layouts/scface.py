"""SCface (Grgic et al., 2011): mugshots against surveillance cameras, a search for each of three distances."""

import re
from collections.abc import Iterator
from pathlib import Path

from limen.data.readers.people import list_images
from limen.errors import LimenError
from limen.protocols.layouts.layout import Layout
from limen.protocols.layouts.searches import Listed, aligned_folder, every_image, search_set
from limen.protocols.layouts.tree import entry, stem_of
from limen.protocols.task import SearchSet

MUGSHOTS, FLAT = "mugshot_frontal_cropped_all/", "surveillance_cameras_all/"
DISTANCES = {1: "4.2 m", 2: "2.6 m", 3: "1.0 m"}
FOLDERS = tuple(f"surveillance_cameras_distance_{distance}/|{FLAT}" for distance in DISTANCES)
VISIBLE = 5  # cameras; two more and the eighth see infrared
_PROBE = re.compile(r"(\d{3})_cam([1-8])(?:_([1-3]))?")
_MUGSHOT = re.compile(r"(\d{3})_frontal")


def _mugshots(folder: Path) -> Listed:
    files = every_image(folder)
    named = [_MUGSHOT.fullmatch(stem_of(file.name)) for file in files]
    if wrong := [file for file, found in zip(files, named, strict=True) if not found]:
        raise LimenError(f"{wrong[0]}: is not named as a mugshot, 001_frontal.jpg; correct it or leave it out ({len(wrong)} such)")
    return Listed(files, [found[1] for found in named if found])


def _probes(root: Path) -> Iterator[tuple[Path, str, int, int]]:
    """(file, person, camera, distance) of each image of a camera."""
    seen: dict[tuple[str, str, str], Path] = {}
    for folder in dict.fromkeys(folder for name in FOLDERS if (folder := entry(root, name))):
        for file in list_images([folder]):
            if not (found := _PROBE.fullmatch(stem_of(file.name))) or (not found[3] and found[2] != "8"):
                raise LimenError(f"{file}: is not named as person, camera and distance, 001_cam1_1.jpg; correct it or leave it out")
            person, camera, distance = found.groups()
            if not distance:  # the eighth camera takes infrared mugshots
                continue
            if any(place[-1] != number for place, number in zip(_placed(file.relative_to(root)), (distance, camera), strict=True) if place):
                raise LimenError(f"{file}: is named as camera {camera} at distance {distance} and stands in another folder; correct it")
            if (first := seen.setdefault((person, camera, distance), file)) is not file:
                raise LimenError(f"{file}: is the same image as {first}; leave one of them")
            yield file, person, int(camera), int(distance)


def _read(layout: Layout, path: Path) -> SearchSet:
    root = aligned_folder(layout, path)
    mugshots = _mugshots(entry(root, MUGSHOTS) or root)
    probes = list(_probes(root))
    galleries = {}
    for distance in DISTANCES:
        seen = [(file, person) for file, person, camera, at in probes if at == distance and camera <= VISIBLE]
        galleries[f"distance {distance}"] = (mugshots, Listed([file for file, _ in seen], [person for _, person in seen]))
    infrared = sum(camera > VISIBLE for _, _, camera, _ in probes)
    switches = {"cameras": f"1 to {VISIBLE}, of visible light", "distances": ", ".join(f"{d}: {metres}" for d, metres in DISTANCES.items())}
    return search_set(layout.name, root, galleries, ranks=(1,), counts={"infrared images left out": infrared}, switches=switches)


def _placed(file: Path) -> tuple[str, str]:
    """The folders of the distance and of the camera that a file stands in; empty for none."""
    at, by = ([part for part in file.parts[:-1] if re.fullmatch(name, part, re.I)] for name in (r".*_distance_\d", r"cam_\d"))
    return at[0] if at else "", by[0] if by else ""


SCFACE = Layout(
    name="scface",
    title="SCface: mugshots against surveillance cameras at three distances",
    kind="one to many",
    holds={MUGSHOTS: "the gallery, 001_frontal.jpg and on"}
    | {
        name: f"what the cameras saw at {metres}, 001_cam1_{at}.jpg and on"
        for name, (at, metres) in zip(FOLDERS, DISTANCES.items(), strict=True)
    },
    source="the SCface authors (University of Zagreb), on request",
    images="raw",
    read=_read,
    also="a tree of the same names beside it, of aligned 112x112 copies",
    expected={"galleries": 3}
    | {f"{what} distance {at}": count for at in DISTANCES for what, count in (("entries", 130), ("probes", 130 * VISIBLE))},
)
