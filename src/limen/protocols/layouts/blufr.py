"""LFW BLUFR (Liao et al., 2014): ten trials over all images of LFW, as one MATLAB file or as text lists."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from limen.data.readers import FileSource
from limen.errors import LimenError
from limen.files import file_sha256
from limen.protocols.layouts.layout import Layout
from limen.protocols.layouts.lfw import TREE
from limen.protocols.layouts.matlab import flat, names_in, read_matlab
from limen.protocols.layouts.pairs import image_root
from limen.protocols.layouts.text import lines_of, rows_of, whole_number, wrong_line
from limen.protocols.layouts.tree import Images, refuse_raw, stem_of
from limen.protocols.task import Trial, TrialSet

CONFIG = "blufr_lfw_config.mat|config/lfw/blufr_lfw_config.mat|image_list.txt"
LISTS = ("labels.txt", "test_set.txt", "gallery_set.txt", "probe_set.txt")
Sets = list[np.ndarray]  # of each trial, numbers of images from 0


def _read(layout: Layout, path: Path) -> TrialSet:
    file = layout.files(path, CONFIG)[CONFIG]
    names, labels, (test, gallery, probe) = read_configuration(file) if file.suffix.lower() == ".mat" else _lists(layout, file)
    if len(set(names)) < len(names) or len(labels) != len(names) or labels.dtype.kind not in "iuf":
        raise LimenError(f"{file}: {len(names)} images, {len(set(names))} names and {len(labels)} labels do not agree; fetch it again")
    people = [stem_of(name).rpartition("_")[0] for name in names]
    if len(set(zip(people, labels.tolist(), strict=True))) != len(set(people)) or len(set(labels.tolist())) != len(set(people)):
        raise LimenError(f"{file}: the labels name other people than the images do; fetch it again")
    if not len(test) == len(gallery) == len(probe) >= 2:
        raise LimenError(f"{file}: {len(test)}, {len(gallery)} and {len(probe)} trials, where each set needs the same, two at least")
    trials = [_trial(file, number, *sets) for number, sets in enumerate(zip(test, gallery, probe, strict=True), start=1)]
    paths = [f"{person}/{name}" for person, name in zip(people, names, strict=True)]
    files, number = Images(image_root(path, paths, file)).find_all(paths, file)
    refuse_raw(files, layout.name)
    return TrialSet(
        layout.name, FileSource([files[k] for k in number]), labels.astype(np.int64), trials, switches={"trials_sha256": file_sha256(file)}
    )


def _trial(file: Path, number: int, test: np.ndarray, gallery: np.ndarray, probe: np.ndarray) -> Trial:
    """Raises LimenError where the gallery and the probes are not the test images, each once."""
    if not np.array_equal(np.sort(np.r_[gallery, probe]), np.sort(test)) or len(np.unique(test)) < len(test):
        raise LimenError(f"{file}: trial {number}: gallery and probes are not its test images, each once; fetch it again")
    return Trial(test, gallery, probe)


def read_configuration(file: Path) -> tuple[list[str], np.ndarray, list[Sets]]:
    """The images, their labels, and of each trial the test, gallery and probe images, numbered from 0, of the MATLAB file."""
    images, labels, *sets = read_matlab(file, "imageList", "labels", "testIndex", "galIndex", "probIndex")
    names = names_in(file, "imageList", images)
    return names, np.array(flat(labels)), [[_from_zero(file, cell, len(names)) for cell in np.ravel(cells)] for cells in sets]


def _lists(layout: Layout, file: Path) -> tuple[list[str], np.ndarray, list[Sets]]:
    found = layout.files(file.parent, *LISTS)
    names = [line.strip() for _, line in lines_of(file)]
    labels = np.array([whole_number(found["labels.txt"], line, text) for line, (text,) in rows_of(found["labels.txt"], 1)])
    return names, labels, [_list(found[name], names) for name in LISTS[1:]]


def _list(file: Path, names: Sequence[str]) -> Sets:
    """`trials`, then of each trial its count and that many `index, file`."""
    rows = rows_of(file, (1, 2), ",")
    sets = []
    for _ in range(_count(file, rows)):
        numbers = []
        for _ in range(_count(file, rows)):
            line, row = next(rows, (0, []))
            if len(row) != 2:
                raise wrong_line(file, line, "is not the `index, file` that its count announces") if line else _short(file)
            index = whole_number(file, line, row[0])
            if not 1 <= index <= len(names) or names[index - 1] != row[1]:
                raise wrong_line(file, line, f"says image {row[0]} is {row[1]}, and the list of images says another thing")
            numbers.append(index)
        sets.append(_from_zero(file, np.array(numbers), len(names)))
    if rest := next(rows, None):
        raise wrong_line(file, rest[0], "comes after the last trial")
    return sets


def _count(file: Path, rows: Iterator[tuple[int, list[str]]]) -> int:
    line, row = next(rows, (0, []))
    if not line:
        raise _short(file)
    if len(row) != 1:
        raise wrong_line(file, line, "is an image where a count is expected")
    return whole_number(file, line, row[0])


def _short(file: Path) -> LimenError:
    return LimenError(f"{file}: ends before its last trial; fetch it again")


def _from_zero(file: Path, numbers: object, images: int) -> np.ndarray:
    found = np.array(flat(numbers))
    if found.dtype.kind not in "iuf" or not found.size or not ((found >= 1) & (found <= images) & (found == np.floor(found))).all():
        raise LimenError(f"{file}: a trial names images that are not numbers from 1 to {images}; fetch it again")
    return found.astype(np.int64) - 1


BLUFR = Layout(
    name="lfw-blufr",
    title="LFW BLUFR: ten trials over all of LFW",
    kind="one to many",
    holds={
        CONFIG: f"ten trials of image numbers from 1; beside it {TREE}",
        "labels.txt": "the person in each image, by number (with image_list.txt alone)",
        **{f"{what}_set.txt": f"the {what} images of each trial (with image_list.txt alone)" for what in ("test", "gallery", "probe")},
    },
    source="the BLUFR authors' toolkit or its mirrors",
    images="raw",
    read=_read,
    expected={"images": 13233, "people": 5749, "trials": 10},
)
