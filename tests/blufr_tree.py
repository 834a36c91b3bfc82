"""LFW BLUFR as a small tree on disk: two trials, as one MATLAB file and as text lists."""

import numpy as np
from scipy.io import savemat

from made_up import NAMES, write_face, write_lines

IMAGES = [f"{name}_{number:04d}.jpg" for name in NAMES for number in range(1, 5)]
LABELS = np.repeat(np.arange(1, len(NAMES) + 1), 4)
GALLERIES = [[1, 5, 10], [9, 13, 20]]
PROBES = [[2, 3, 6, 13, 14, 17, 18, 21, 22], [10, 11, 14, 25, 26, 29, 30, 33, 36, 2]]  # from 1; the others are nobody's in the gallery
TESTS = [sorted([*gallery, *probe]) for gallery, probe in zip(GALLERIES, PROBES, strict=True)]


def write_tree(root):
    for name, label in zip(IMAGES, LABELS, strict=True):
        write_face(root / name[:-9] / name, int(label), int(name[-8:-4]))


def cells(values):
    column = np.empty((len(values), 1), object)
    for row, value in enumerate(values):
        column[row, 0] = value
    return column


def write_mat(path, **changed):
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {
        name: cells([np.array(trial, np.uint16)[:, None] for trial in sets])
        for name, sets in (("testIndex", TESTS), ("galIndex", GALLERIES), ("probIndex", PROBES))
    }
    held = {"imageList": cells(IMAGES), "labels": LABELS.astype(np.uint16)[:, None], **columns} | changed
    savemat(path, {name: value for name, value in held.items() if value is not None})


def write_lists(folder, end="\n", **changed):
    write_lines(folder / "image_list.txt", *IMAGES, end=end)
    write_lines(folder / "labels.txt", *map(str, LABELS), end=end)
    for what, sets in (("test", TESTS), ("gallery", GALLERIES), ("probe", PROBES)):
        lines = [str(len(sets))]
        for trial in sets:
            lines += [str(len(trial)), *(f"{index}, {IMAGES[index - 1]}" for index in trial)]
        write_lines(folder / f"{what}_set.txt", *changed.get(what, lines), end=end)
