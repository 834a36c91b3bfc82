"""IJB-B and IJB-C, one to many: insightface's suite with the tables of the two galleries and of the probes, or NIST's original tables."""

from collections.abc import Collection
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from limen.errors import LimenError
from limen.protocols.layouts.ijb import SUBSETS, read_suite, subjects_of_tables, table, template_subjects, with_templates
from limen.protocols.layouts.ijb_original import original_search
from limen.protocols.layouts.layout import Layout
from limen.protocols.layouts.tree import entry, places
from limen.protocols.task import Gallery, SearchSet

FPIR = (0.01, 0.1)


def _tables(letter: str) -> dict[str, str]:
    """Where the table of each gallery, and of the probes, may be."""
    galleries = {subset: table(letter, f"1N_gallery_{subset}.csv") for subset in SUBSETS[letter]}
    return galleries | {"probes": table(letter, "1N_probe_mixed.csv")}


def _read(letter: str, layout: Layout, path: Path) -> SearchSet:
    if not any(entry(place, table(letter, "face_tid_mid.txt")) for place in [*places(path)][:-1]) and (  # not beside it
        original := original_search(layout.name, path, letter, SUBSETS[letter], FPIR)
    ):
        return original
    found = layout.files(path)  # all that are missing are named at once
    tables = {found[file]: template_subjects(found[file]) for file in _tables(letter).values()}
    subject = subjects_of_tables(tables)
    listed = dict(zip(_tables(letter), tables.values(), strict=True))
    probes = listed.pop("probes")
    if twice := [number for templates_of in listed.values() for number in templates_of if number in probes]:
        both = f"template {twice[0]} is in a gallery and among the probes ({len(twice):,} such)"
        raise LimenError(f"{layout.name}: {both}; fetch the tables again")
    source, templates, ids = read_suite(layout, path, letter)
    templates, ids = with_templates(templates, ids, np.array(list(subject)))
    people = {who: place for place, who in enumerate(sorted(set(subject.values())))}
    person = np.array([people[subject[row]] if row in subject else -1 for row in ids.tolist()])

    def rows(side: Collection[int]) -> np.ndarray:
        return np.searchsorted(ids, np.sort(list(side)))

    return SearchSet(
        layout.name,
        source,
        replace(templates, person=person),
        [Gallery(name, rows(entries), rows(probes)) for name, entries in listed.items()],
        fpir=FPIR,
        counts={"templates in no table": int((person < 0).sum())},
        switches={"tables": "insightface's suite"},
    )


IJBB_SEARCH, IJBC_SEARCH = (
    Layout(
        name=f"ijb{letter}-search",
        title=f"IJB-{letter.upper()}, one to many",
        kind="one to many",
        holds={
            f"loose_crop/|IJB{letter.upper()}/loose_crop/": "1.jpg, 2.jpg, ...: loose crops",
            table(letter, "face_tid_mid.txt"): "image, template, media",
            table(letter, "name_5pts_score.txt"): "image, five points in the crop, the detector's score",
        }
        | {
            file: f"the templates and people of {'the probes' if name == 'probes' else 'gallery ' + name}"
            for name, file in _tables(letter).items()
        },
        source="insightface's IJB download, whose later copies bring the three tables; NIST stopped on 2023-03-14: holders of older copies",
        images="loose with landmarks",
        read=partial(_read, letter),
        also="NIST's original protocol/ or protocols/ with aligned/, as for the pairs (limen protocols ijb" + letter + ")",
        expected=counts,
    )
    for letter, counts in (
        ("b", {"images": 227_630, "templates": 12_115, "entries S1": 931, "entries S2": 914, "probes S1": 10_270}),
        ("c", {"images": 469_375, "templates": 23_124, "entries G1": 1_772, "entries G2": 1_759, "probes G1": 19_593}),
    )
)
