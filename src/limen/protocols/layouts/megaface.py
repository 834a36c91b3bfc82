"""MegaFace challenge 1 (Kemelmacher-Shlizerman et al., 2016): probes among a million distractors, and the peers' noise lists."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from limen.data.readers import FileSource
from limen.errors import LimenError, LimenWarning
from limen.files import file_sha256, read_json
from limen.protocols.layouts.layout import Layout
from limen.protocols.layouts.text import LARGEST, lines_of, wrong_line
from limen.protocols.layouts.tree import Images, entry, refuse_raw, stem_of
from limen.protocols.task import DistractorSet

PROBES = "facescrub_images/|facescrub/|FaceScrub/"
DISTRACTORS = "megaface_images/|FlickrFinal2/|MegaFace/FlickrFinal2/"
TEMPLATES = ("devkit/templatelists/", "templatelists/", "")
PROBE_LIST = "|".join(["facescrub_lst", *(f"{folder}facescrub_features_list.json" for folder in TEMPLATES)])
DISTRACTOR_LIST = "|".join(["megaface_lst", *(f"{folder}megaface_features_list.json_1000000_1" for folder in TEMPLATES)])
NOISE_LISTS = ("facescrub_noises.txt", "megaface_noises.txt")


@dataclass(frozen=True)
class Listed:
    """Images of a list, each once: paths, and where the list says so the person in each."""

    paths: list[str]
    people: list[str]
    twice: int


def read_paths(file: Path) -> Listed:
    """A list of a path a line, or the devkit's JSON with `path` and perhaps `id`. The person is the first folder where no id is given.

    A path may hold spaces. One that stands twice counts once. Raises LimenError for a list of something else, or an empty one.
    """
    if ".json" in file.name:
        listed: Any = read_json(file, LARGEST)
        paths = listed.get("path") if isinstance(listed, dict) else None
        if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
            raise LimenError(f"{file}: holds no list `path` of names; is it the devkit's list?")
        people = listed.get("id", [_folder(path) for path in paths])
        if not isinstance(people, list) or len(people) != len(paths):
            raise LimenError(f"{file}: holds {len(paths):,} paths and another number of ids; fetch it again")
    else:
        rows = [(line, text.strip()) for line, text in lines_of(file)]
        if short := next((line for line, text in rows if "/" not in text.replace("\\", "/")), None):
            raise wrong_line(file, short, "names no folder where folder/image is expected")
        paths = [text for _, text in rows]
        people = [_folder(path) for path in paths]
    person = dict(zip(paths, map(str, people), strict=True))
    if not person:
        raise LimenError(f"{file}: names no images; fetch it again")
    if len(person) < len(paths):
        twice = len(paths) - len(person)
        warnings.warn(f"{file}: {twice:,} paths stand there a second time and count once", LimenWarning, stacklevel=4)
    return Listed(list(person), list(person.values()), len(paths) - len(person))


def read_noise(file: Path) -> set[str]:
    """What a noise list names, as `_key` spells it. Comments begin with #; some copies have a number and a TAB before each path."""
    names = (text.split("\t")[-1].strip() for _, text in lines_of(file) if not text.lstrip().startswith("#"))
    return {_key(name) for name in names}


def _key(path: str) -> str:
    """The end of a path by which noise is told: without the image's ending, a space being an underscore."""
    return stem_of(path.replace("\\", "/").strip("/")).replace(" ", "_").casefold()


def _folder(path: str) -> str:
    return path.replace("\\", "/").strip("/").partition("/")[0]


def _noisy(file: Path, paths: Sequence[str], bare: bool) -> np.ndarray:
    """(N,) bool; with `bare` the list holds names without folders. Warns where a list that names something names none of the images."""
    named, keys = read_noise(file), [_key(path) for path in paths]
    found = np.array([(key.rpartition("/")[2] if bare else key) in named for key in keys])
    if named and not found.any():
        warnings.warn(f"{file}: names {len(named):,} images, and none of those listed; is it of another set?", LimenWarning, stacklevel=4)
    return found


def _read(layout: Layout, path: Path) -> DistractorSet:
    found = layout.files(path)
    probes, distractors = read_paths(found[PROBE_LIST]), read_paths(found[DISTRACTOR_LIST])
    files, number = Images(found[PROBES]).find_all(probes.paths, found[PROBE_LIST])
    if len(files) < len(probes.paths):
        raise LimenError(
            f"{found[PROBE_LIST]}: {len(probes.paths) - len(files)} of its paths lead to an image that another names; correct it"
        )
    others, place = Images(found[DISTRACTORS]).find_all(distractors.paths, found[DISTRACTOR_LIST])
    refuse_raw(files, layout.name)
    refuse_raw(others, layout.name)
    lists = [entry(found[PROBE_LIST].parent, name) or entry(found[PROBES].parent, name) for name in NOISE_LISTS]
    if sum(noise is not None for noise in lists) == 1:
        there, absent = NOISE_LISTS if lists[0] else NOISE_LISTS[::-1]
        raise LimenError(f"{layout.name}: {path} holds {there} and not {absent}; refined rates need both: fetch it, or take the one away")
    noise: dict[str, Any] = {}
    switches: dict[str, Any] = {"pairs_sha256": file_sha256(found[PROBE_LIST]), "distractors_sha256": file_sha256(found[DISTRACTOR_LIST])}
    if lists[0] and lists[1]:
        noise["noisy_probe"] = _noisy(lists[0], probes.paths, bare=True)
        noise["noisy_distractor"] = _noisy(lists[1], distractors.paths, bare=False)
        switches |= {"noise_sha256": " ".join(file_sha256(file) for file in lists if file)}
    if twice := probes.twice + distractors.twice:
        switches["paths that stood twice, counted once"] = twice
    person = np.unique(probes.people, return_inverse=True)[1]
    source = FileSource([*files, *others])
    return DistractorSet(layout.name, source, number, person, len(files) + place, switches=switches, **noise)


MEGAFACE = Layout(
    name="megaface",
    title="MegaFace challenge 1, FaceScrub probes",
    kind="one to many",
    holds={
        PROBES: "<Person>/<Person>_<n>.png: the probes, aligned to 112x112",
        DISTRACTORS: "<3 digits>/<user>/<photo>.jpg: the distractors, aligned to 112x112",
        PROBE_LIST: "the path of each probe, the first folder being the person",
        DISTRACTOR_LIST: "the path of each distractor",
    },
    source="insightface's test pack (the official site has closed)",
    images="aligned",
    read=_read,
    also="facescrub_noises.txt and megaface_noises.txt beside the lists, for refined rates; without them the set is uncleaned",
    expected={"probes": 3530, "people": 80},
)
