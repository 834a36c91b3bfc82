"""Benchmarks as people hold them: a folder on disk -> a Task. One file each, whose records stand in LAYOUTS.

The rules that all share: `layout.py` (the record, missing files, counts), `tree.py` (folders and images), `text.py` (lists).
"""

from collections.abc import Iterator
from importlib import import_module

from limen.errors import LimenError
from limen.lookup import did_you_mean
from limen.protocols.layouts.layout import Layout
from limen.protocols.task import Task

LAYOUTS = {
    "lfw": "limen.protocols.layouts.lfw:LFW",
    "lfw-dev-train": "limen.protocols.layouts.lfw:LFW_DEV_TRAIN",
    "lfw-dev-test": "limen.protocols.layouts.lfw:LFW_DEV_TEST",
    "cfp-fp": "limen.protocols.layouts.cfp:CFP_FP",
    "cfp-ff": "limen.protocols.layouts.cfp:CFP_FF",
    "agedb-30": "limen.protocols.layouts.agedb:AGEDB_30",
    "calfw": "limen.protocols.layouts.calfw:CALFW",
    "cplfw": "limen.protocols.layouts.calfw:CPLFW",
    "lfw-blufr": "limen.protocols.layouts.blufr:BLUFR",
    "vgg2-fp": "limen.protocols.layouts.packs:VGG2_FP",
    "xqlfw": "limen.protocols.layouts.xqlfw:XQLFW",
    "rfw": "limen.protocols.layouts.rfw:RFW",
    "bfw": "limen.protocols.layouts.bfw:BFW",
    "adience": "limen.protocols.layouts.adience:ADIENCE",
    "ijbb": "limen.protocols.layouts.ijb:IJBB",
    "ijbc": "limen.protocols.layouts.ijb:IJBC",
    "survface-pairs": "limen.protocols.layouts.survface:SURVFACE_PAIRS",
    "folders": "limen.protocols.layouts.folders:FOLDERS",
    "tinyface": "limen.protocols.layouts.tinyface:TINYFACE",
    "scface": "limen.protocols.layouts.scface:SCFACE",
    "ijbb-search": "limen.protocols.layouts.ijb_search:IJBB_SEARCH",
    "ijbc-search": "limen.protocols.layouts.ijb_search:IJBC_SEARCH",
    "survface": "limen.protocols.layouts.survface:SURVFACE",
    "ijbs-single": "limen.protocols.layouts.ijbs:IJBS_SINGLE",
    "ijbs-booking": "limen.protocols.layouts.ijbs:IJBS_BOOKING",
    "ijbs-multiview": "limen.protocols.layouts.ijbs:IJBS_MULTIVIEW",
    "ijbs-surveillance": "limen.protocols.layouts.ijbs:IJBS_SURVEILLANCE",
    "ijbs-uav": "limen.protocols.layouts.ijbs:IJBS_UAV",
    "megaface": "limen.protocols.layouts.megaface:MEGAFACE",
}


def layout_of(name: str) -> Layout:
    """The record of a benchmark. Raises LimenError for an unknown name; the nearest known one is named."""
    if name not in LAYOUTS:
        raise LimenError(f"{name}: no such benchmark; {did_you_mean(name, LAYOUTS)} (`limen protocols` lists them)")
    module, _, attribute = LAYOUTS[name].partition(":")
    return getattr(import_module(module), attribute)


def all_layouts() -> Iterator[Layout]:
    return (layout_of(name) for name in LAYOUTS)


def open_benchmark(spec: str) -> Task:
    """The task of "NAME:PATH", such as "lfw:/data/lfw.bin"; the path may hold colons. Raises LimenError as `Layout.open`."""
    name, colon, path = spec.partition(":")
    if not colon or not path:
        raise LimenError(f"{spec}: name the benchmark and its folder as NAME:PATH, lfw:data/lfw say; `limen protocols` lists the names")
    return layout_of(name).open(path)
