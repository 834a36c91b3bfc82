"""CPU seconds and peak memory of reading the benchmarks' lists at their real sizes: from a folder on disk to a task.

    python benchmarks/layouts.py [NAME ...]        # ijbc ijbc-search tinyface bfw megaface

The tables have the published numbers of rows and made-up contents, in a temporary folder. The images are links to one face: their names are
looked up, and a few are opened. Peak memory is above that before the call. Nothing is embedded.
"""

import argparse
import os
import tempfile
import time
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

import cv2
import numpy as np
from machine import append_row, peak_memory_mib
from scipy.io import savemat

from limen.align import TEMPLATE
from limen.protocols.layouts import open_benchmark
from limen.protocols.task import task_counts

RANDOM = np.random.default_rng(0)
LINKS = 30_000  # to one file; some file systems hold no more than 65,000
GROUPS = ("asian_females", "asian_males", "black_females", "black_males", "indian_females", "indian_males", "white_females", "white_males")


def write_images(folder: Path, names: Iterable[str], side: int = 112) -> None:
    """Images of noise under all `names` below the folder."""
    noise = cv2.imencode(".jpg", RANDOM.integers(0, 256, (side, side, 3)).astype(np.uint8))[1].tobytes()
    made = set[Path]()
    for place, name in enumerate(names):
        path = folder / name
        if path.parent not in made:
            path.parent.mkdir(parents=True, exist_ok=True)
            made.add(path.parent)
        if place % LINKS == 0:
            path.write_bytes(noise)
            origin = path
        else:
            os.link(origin, path)


def write_lines(path: Path, lines: Iterable[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        file.writelines(f"{line}\n" for line in lines)


def ijbc(root: Path, images: int = 469_375, templates: int = 23_124, pairs: int = 15_658_489, people: int = 3_531) -> None:
    """insightface's suite, with the three tables of the searches: 1,772 and 1,759 templates, and 19,593 probes."""
    write_images(root / "loose_crop", (f"{k}.jpg" for k in range(1, images + 1)), side=140)
    template = np.arange(images) % templates + 1
    write_lines(root / "meta/ijbc_face_tid_mid.txt", (f"{k + 1}.jpg {template[k]} {k // 3}" for k in range(images)))
    points = " ".join(f"{value:.4f}" for value in (TEMPLATE + 14).ravel())
    write_lines(root / "meta/ijbc_name_5pts_score.txt", (f"{k}.jpg {points} 0.9998" for k in range(1, images + 1)))

    def rows() -> Iterator[str]:
        for start in range(0, pairs, 1 << 20):
            one, other = RANDOM.integers(0, templates, (2, min(1 << 20, pairs - start)))
            same = (one % people == other % people).astype(int)
            yield from (f"{a} {b} {c}" for a, b, c in zip((one + 1).tolist(), (other + 1).tolist(), same.tolist(), strict=True))

    write_lines(root / "meta/ijbc_template_pair_label.txt", rows())
    sides = {"gallery_G1": range(1, 1_773), "gallery_G2": range(1_773, 3_532), "probe_mixed": range(3_532, templates + 1)}
    for name, numbers in sides.items():
        table = (f"{number},{(number - 1) % people},img/{number}.jpg" for number in numbers for _ in range(2))
        write_lines(root / f"meta/ijbc_1N_{name}.csv", ["TEMPLATE_ID,SUBJECT_ID,FILENAME", *table])


def tinyface(root: Path, gallery: int = 4_443, probes: int = 3_728, distractors: int = 153_428, people: int = 2_569) -> None:
    numbers = {"Gallery_Match": np.arange(gallery) % people + 1, "Probe": np.arange(probes) % people + 1}
    for (folder, ids), (file, variable) in zip(numbers.items(), (("gallery_match", "gallery"), ("probe", "probe")), strict=True):
        names = [f"{person}_{place + 10_000 * (folder == 'Probe')}.jpg" for place, person in enumerate(ids)]
        write_images(root / folder, names)
        column = np.empty((len(names), 1), object)
        column[:, 0] = names
        savemat(root / f"{file}_img_ID_pairs.mat", {f"{variable}_set": column, f"{variable}_ids": ids[:, None].astype(np.uint16)})
    write_images(root / "Gallery_Distractor", (f"{k}.jpg" for k in range(distractors)))


def bfw(root: Path, pairs: int = 923_898) -> None:
    """100 people a group, of 25 images."""
    people = [f"{group}/n{900_000 + 100 * number + k}" for number, group in enumerate(GROUPS) for k in range(100)]
    write_images(root / "bfw-cropped-aligned", (f"{person}/{k:04d}_01.jpg" for person in people for k in range(25)))
    letters = ["".join(word[0] for word in group.split("_")).upper() for group in GROUPS]

    def rows() -> Iterator[str]:
        yield ",fold,p1,p2,label,id1,id2,att1,att2,vgg16,resnet50,senet50,a1,a2,g1,g2,e1,e2"
        for row in range(pairs):
            group, mated = row % 8, row % 4 == 0
            one = 100 * group + row // 8 % 100
            other = one if mated else 100 * group + (row // 8 + 1 + row // 800 % 99) % 100
            first, second = (f"{people[person]}/{k % 25:04d}_01.jpg" for person, k in ((one, row), (other, row + 1)))
            named = f"{GROUPS[group]},{GROUPS[group]},0.1,0.2,0.3,{letters[group]},{letters[group]}"
            yield f"{row},{1 + row % 5},{first},{second},{int(mated)},{one},{other},{named},F,F,A,A"

    write_lines(root / "bfw-v0.1.5-datatable.csv", rows())


def megaface(root: Path, probes: int = 3_530, distractors: int = 1_027_058) -> None:
    people = [f"Person_{k}" for k in range(80)]
    listed = [f"{people[k % 80]}/{people[k % 80]}_{k}.png" for k in range(probes)]
    others = [f"{k // 1000 % 1000:03d}/{10_000_000 + k // 20}@N00/{k}_0.jpg" for k in range(distractors)]
    write_images(root / "facescrub_images", listed)
    write_images(root / "megaface_images", others)
    write_lines(root / "facescrub_lst", listed)
    write_lines(root / "megaface_lst", others)
    write_lines(root / "facescrub_noises.txt", ["# names", *(name.rpartition("/")[2] for name in listed[:25])])
    write_lines(root / "megaface_noises.txt", ["# paths", *others[:707]])


TREES = {"ijbc": ijbc, "ijbc-search": ijbc, "tinyface": tinyface, "bfw": bfw, "megaface": megaface}


def measure(name: str, root: Path) -> None:
    tasks: list = []

    def read() -> None:
        began = time.process_time()
        tasks.append((open_benchmark(f"{name}:{root}"), time.process_time() - began))

    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the counts are those of this script
        peak, passed = peak_memory_mib(read, interval=0.02), time.perf_counter() - start
    task, took = tasks[0]
    counts = ", ".join(f"{count:,} {what}" for what, count in task_counts(task).items())
    print(f"{name:12s} {took:7.1f} CPU s ({passed:.1f} passed)  {peak:6.0f} MiB  {counts}", flush=True)
    append_row(
        "layouts", {"row": name, "cpu_seconds": round(took, 2), "passed": round(passed, 2), "peak_mib": round(peak), "counts": counts}
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", default=list(TREES))
    with tempfile.TemporaryDirectory() as folder:
        written = dict[object, Path]()
        for name in parser.parse_args().names:
            if (write := TREES[name]) not in written:
                written[write] = Path(folder) / name
                write(written[write])
            measure(name, written[write])


if __name__ == "__main__":
    main()
