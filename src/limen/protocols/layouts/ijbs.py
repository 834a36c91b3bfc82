"""IJB-S (Kalka et al., 2018): its five tests, rebuilt from the tables and from crops of one's own."""

import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from limen.data.readers import FileSource
from limen.data.readers.people import is_image_name
from limen.data.templates import Templates
from limen.errors import LimenError
from limen.files import file_sha256
from limen.protocols.layouts.layout import Layout
from limen.protocols.layouts.text import lines_of, rows_of, wrong_line
from limen.protocols.layouts.tree import entries, entry, folders_in, places, refuse_raw, stem_of
from limen.protocols.task import Gallery, SearchSet

FPIR = (0.01, 0.1)
GALLERIES = ("g1", "g2")
CROPS = "crops/|aligned/"
MEDIUM = re.compile(r"(videos|img)/([^/]+)")
VIDEO_END = re.compile(r"\.(mp4|avi|mov|mkv|mpg|mpeg|wmv|m4v)$", re.IGNORECASE)
COLUMNS = range(1, 64)
Seen = tuple[str, Sequence[str]]  # a template: a subject, and the media it is seen in, such as "videos_4012"


def _table(name: str) -> str:
    """Where a table may be; the last part of its path begins with cs6_ or ijbs_."""
    folder, _, file = name.rpartition("/")
    below = f"{folder}/" if folder else ""
    return "|".join(f"{place}{below}{start}_{file}.csv" for place in ("protocols/", "") for start in ("ijbs", "cs6"))


METADATA = _table("metadata")


def _read(test: str, layout: Layout, path: Path) -> SearchSet:
    _refuse_pickle(layout, path)
    found = layout.files(path)  # all that are missing are named at once
    metadata, probe_list, *tables = (file for name, file in found.items() if name != CROPS)
    listed = {medium for _, _, medium in _media(probe_list, None, 0)}
    seen = list(dict.fromkeys((subject, medium) for _, subject, medium in _media(metadata, 0, 1) if medium in listed))
    if unknown := listed - {medium for _, medium in seen}:
        few = ", ".join(sorted(unknown)[:3])
        raise LimenError(f"{probe_list}: {len(unknown)} of its {len(listed)} media are not in {metadata.name} ({few}); fetch both again")
    probes: list[Seen] = [(subject, [medium]) for subject, medium in seen]
    if test == "multiview":
        probes = [(who, [medium for subject, medium in seen if subject == who]) for who in dict.fromkeys(subject for subject, _ in seen)]
    galleries = [_gallery(table) for table in tables]
    if both := {who for who, _ in galleries[0]} & {who for who, _ in galleries[1]}:
        raise LimenError(f"{tables[1]}: subject {min(both)} is in both galleries ({len(both)} such); fetch them again")
    source, templates, counts = _templates(layout, found[CROPS], [*probes, *galleries[0], *galleries[1]])
    first = len(probes)
    second, end = first + len(galleries[0]), len(templates)
    searched = np.arange(first)
    entered = (np.arange(first, second), np.arange(second, end))
    return SearchSet(
        layout.name,
        source,
        templates,
        [Gallery(name, rows, searched) for name, rows in zip(GALLERIES, entered, strict=True)],
        fpir=FPIR,
        merged=True,
        counts=counts,
        switches={"probe template": "all videos of a subject" if test == "multiview" else "one subject in one video or image"}
        | {f"{file.name} sha256": file_sha256(file) for file in (probe_list, *tables)},
    )


def _refuse_pickle(layout: Layout, path: Path) -> None:
    inside = [path] if path.is_file() else [file for place in (path, *folders_in(path)) for file in entries(place)]
    pickles = [file for file in inside if file.suffix.lower() in (".pkl", ".pickle")]
    if pickles and (path.is_file() or not any(entry(place, METADATA) for place in places(path))):
        raise LimenError(
            f"{pickles[0]}: a pickle of foreign classes runs code when it is read, and is refused; {layout.title} is rebuilt from "
            f"the tables: put {', '.join(name.split('|')[0] for name in layout.holds if name != CROPS)} there"
        )


def _media(file: Path, subject: int | None, medium: int) -> Iterator[tuple[int, str, str]]:
    """(line, subject, medium) of each row of a table, by its columns. Raises LimenError where the first line is no header, or where a
    column holds no medium."""
    head = next((line.split(",") for _, line in lines_of(file)), [])
    if len(head) > medium and MEDIUM.fullmatch(head[medium].strip()):
        raise wrong_line(file, 1, "holds data where a header is expected")
    for line, row in rows_of(file, COLUMNS, ",", skip=1):
        named = MEDIUM.fullmatch(row[medium]) if len(row) > medium else None
        if named is None or (subject is not None and not row[subject]):
            raise wrong_line(file, line, f"has no videos/... or img/... in column {medium + 1}, or no subject")
        yield line, "" if subject is None else row[subject], f"{named[1]}_{stem_of(VIDEO_END.sub('', named[2]))}"


def _gallery(table: Path) -> list[Seen]:
    """One template a subject, of all its media."""
    media: dict[str, list[str]] = {}
    for _, subject, medium in _media(table, 1, 2):
        media.setdefault(subject, []).append(medium)
    return [(subject, list(dict.fromkeys(names))) for subject, names in media.items()]


def _templates(layout: Layout, folder: Path, wanted: Sequence[Seen]) -> tuple[FileSource, Templates, dict[str, int]]:
    """The crops of `wanted`. A template without any has no rows: a miss, which is counted."""
    crops = {subject: _crops_of(folder / subject) for subject in {subject for subject, _ in wanted}}
    number: dict[Path, int] = {}
    rows: list[tuple[int, int, int]] = []  # image, template, medium
    empty, used = 0, set[tuple[str, str]]()
    for template, (subject, media) in enumerate(wanted):
        found = [(file, medium) for medium in media for file in crops[subject].get(medium, [])]
        empty += not found
        used |= {(subject, medium) for medium in media}
        rows += [(number.setdefault(file, len(number)), template, media.index(medium)) for file, medium in found]
    if not rows:
        raise LimenError(f"{layout.name}: {folder} holds none of the crops; make them as {layout.holds[CROPS]}")
    refuse_raw(list(number), layout.name)
    image, template_of, medium_of = np.array(rows, np.int64).T
    people = {subject: place for place, subject in enumerate(sorted(crops))}
    person = np.array([people[subject] for subject, _ in wanted], np.int64)
    names = [f"subject {subject} in {', '.join(media[:3])}{', ...' if len(media) > 3 else ''}" for subject, media in wanted]
    others = sum(len(files) for who, media in crops.items() for medium, files in media.items() if (who, medium) not in used)
    return (
        FileSource(number),
        Templates(image, template_of, medium_of, person, names),
        {"templates without crops": empty, "crops of other media": others},
    )


def _crops_of(folder: Path) -> dict[str, list[Path]]:
    """The crops of a subject by medium: videos_4012_17.jpg is a frame of videos_4012, and img_101146.jpg all of img_101146."""
    media: dict[str, list[Path]] = {}
    for file in entries(folder):
        if is_image_name(file.name):
            stem = stem_of(file.name)
            media.setdefault(stem.rpartition("_")[0] if stem.startswith("videos_") else stem, []).append(file)
    return media


TESTS = {  # name -> title, list of probes, galleries
    "single": ("surveillance to single", "surveillance_to_single-booking_probe", "surveillance_to_single"),
    "booking": ("surveillance to booking", "surveillance_to_single-booking_probe", "surveillance_to_booking"),
    "multiview": ("multi-view surveillance to booking", "surveillance_to_surveillance_probe", "surveillance_to_booking"),
    "surveillance": ("surveillance to surveillance", "surveillance_to_surveillance_probe", "surveillance_to_surveillance"),
    "uav": ("UAV to booking", "uav_to_single-booking_probe", "surveillance_to_booking"),
}
IJBS_SINGLE, IJBS_BOOKING, IJBS_MULTIVIEW, IJBS_SURVEILLANCE, IJBS_UAV = (
    Layout(
        name=f"ijbs-{test}",
        title=f"IJB-S, {title}",
        kind="one to many",
        holds={
            METADATA: "who is in which medium",
            _table(probes): "the media of the probes",
            **{_table(f"galleries/{galleries}_{name}"): f"the subjects and media of gallery {name}" for name in GALLERIES},
            CROPS: "<subject>/videos_<video>_<frame>.jpg and <subject>/img_<image>.jpg, own crops aligned to 112x112",
        },
        source="NIST, on request under a licence; the crops are home-made",
        images="raw",
        read=partial(_read, test),
        expected={"galleries": 2, "entries g1": 101, "entries g2": 101},
    )
    for test, (title, probes, galleries) in TESTS.items()
)
