"""Images a second of the training feed on one core (read, decode, augment, collate), beside bare cv2.imdecode of the same bytes; the
same of LMDB, Arrow and tar files beside the folder; what each part of AdaFace's augmentation costs, and left to the training device; and
milliseconds of the k-fold metric on 6,000 pairs. Times are of the CPU.

    python benchmarks/data.py                    JPEGs of synthetic faces
    python benchmarks/data.py --images DIR       112x112 images of one's own, one folder per person
"""

import argparse
import statistics
import tarfile
import tempfile
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import cv2
import lmdb
import msgspec
import numpy as np
import pyarrow
import torch
from machine import append_row

from limen.align import SIZE
from limen.data import (
    BatchOrder,
    BatchReader,
    FolderSource,
    RecordIOSource,
    SyntheticFaces,
    create_augmentation,
    open_source,
    write_recordio,
)
from limen.data.augmentation import changes, on_cpu
from limen.data.augmentation.changes import Changes
from limen.data.augmentation.on_device import augment_batch, batch_changes
from limen.data.readers.raw import RawSource, pack_raw
from limen.metrics import kfold_verification

BATCH = 128
WANTED_RATIO = 0.6
WANTED_OF_FOLDER = 0.9
WANTED_OF_RAW = 3.0  # over the feed of the same images as JPEG
WANTED_MILLISECONDS = 30
PAIRS = 6000


def write_synthetic(folder: Path, quality: int) -> None:
    source = SyntheticFaces(identities=64, images_per_identity=20)
    for index, label in enumerate(source.labels):
        person = folder / f"{label:03d}"
        person.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(person / f"{index}.jpg"), cv2.cvtColor(source.image(index), cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])


def seconds_of(call) -> float:
    """Of CPU, on the one thread that works: other work on the machine does not count."""
    start = time.process_time()
    call()
    return time.process_time() - start


def exhaust(results) -> None:
    """Go through `results` without keeping them: memory new to the process costs more than an image."""
    deque(results, maxlen=0)


def feed(source, augmentation: str, on_device: bool = False):
    """A function that reads one epoch of `source` in batches of BATCH; with `on_device` the changes are drawn, and left to the device."""
    order = BatchOrder(len(source), BATCH, seed=0, total_steps=len(source) // BATCH)
    reader = BatchReader(source, create_augmentation(augmentation), seed=0, on_device=on_device)
    return lambda: exhaust(reader[plan] for plan in order)


def write_containers(work: Path, images: Path, encoded: list[bytes], labels: np.ndarray) -> dict[str, Path]:
    """The images of a folder as LMDB, Arrow and tar, by the name of the reader."""
    paths = {"lmdb": work / "faces.lmdb", "arrow": work / "faces.arrow", "archive": work / "faces.tar"}
    space = 2 * sum(map(len, encoded)) + (64 << 20)
    with lmdb.open(str(paths["lmdb"]), subdir=False, lock=False, map_size=space) as file, file.begin(write=True) as entries:
        entries.put(b"__len__", msgspec.msgpack.encode(len(encoded)))
        for key, sample in enumerate(zip(encoded, labels.tolist(), strict=True)):
            entries.put(str(key).encode(), msgspec.msgpack.encode(sample))
    table = pyarrow.table({"image": encoded, "label": labels})
    with pyarrow.ipc.new_stream(str(paths["arrow"]), table.schema) as writer:
        writer.write_table(table, max_chunksize=1000)
    with tarfile.open(paths["archive"], "w", dereference=True) as archive:
        archive.add(images, "faces")
    return paths


def measure(images: Path, rounds: int) -> None:
    folder = FolderSource(images)
    encoded = [Path(folder.locate(index)).read_bytes() for index in range(len(folder))]
    arrays = [np.frombuffer(one, np.uint8) for one in encoded[: len(folder) // BATCH * BATCH]]
    with tempfile.TemporaryDirectory() as packed:
        write_recordio(packed, encoded, folder.labels)
        records = RecordIOSource(packed)
        pack_raw(folder, Path(packed) / "raw")
        raw = RawSource(Path(packed) / "raw")
        calls = {
            "imdecode": lambda: exhaust(cv2.imdecode(array, cv2.IMREAD_COLOR) for array in arrays),
            "folder, no augmentation": feed(folder, "none"),
            "folder, adaface": feed(folder, "adaface"),
            "folder, adaface on the device": feed(folder, "adaface", on_device=True),
            "recordio, no augmentation": feed(records, "none"),
            "recordio, adaface": feed(records, "adaface"),
            "recordio, adaface on the device": feed(records, "adaface", on_device=True),
            "raw, no augmentation": feed(raw, "none"),
            "raw, adaface": feed(raw, "adaface"),
            "raw, adaface on the device": feed(raw, "adaface", on_device=True),
        }
        for reader, path in write_containers(Path(packed), images, encoded, folder.labels).items():
            calls[f"{reader}, no augmentation"] = feed(open_source(reader, path), "none")
        seconds: dict[str, list[float]] = {name: [] for name in calls}
        for _ in range(rounds + 1):
            for name, call in calls.items():
                seconds[name].append(seconds_of(call))
    rates = {name: len(arrays) / statistics.median(times[1:]) for name, times in seconds.items()}  # the first round warms up
    print(f"{len(arrays)} images of {statistics.mean(map(len, encoded)):.0f} bytes, one core")
    for name in ("lmdb", "arrow", "archive"):
        of_folder = rates[f"{name}, no augmentation"] / rates["folder, no augmentation"]
        print(f"{name:32s} {of_folder:5.2f} x folder  {'ok' if of_folder >= WANTED_OF_FOLDER else f'below {WANTED_OF_FOLDER}'}")
    for name, rate in rates.items():
        ratio = rate / rates["imdecode"]
        verdict = "" if name == "imdecode" else "ok" if ratio >= WANTED_RATIO else f"below {WANTED_RATIO}"
        print(f"{name:32s} {rate:7.0f} images/s  {ratio:5.2f} x imdecode  {verdict}")
        if name.startswith("raw"):
            of_jpeg = rate / rates[name.replace("raw", "recordio")]
            verdict = f"{of_jpeg:.2f} x recordio, {'ok' if of_jpeg >= WANTED_OF_RAW else f'below {WANTED_OF_RAW}'}"
            print(f"{'':32s} {verdict}")
        append_row("data", {"what": name, "images_per_second": round(rate), "ratio": round(ratio, 3), "milliseconds": ""})


def measure_operations(images: Path, rounds: int) -> None:
    """What each part of AdaFace's augmentation costs an image that it happens to, and how often it does."""
    source = FolderSource(images)
    faces = [source.image(index) for index in range(min(len(source), 600))]
    lanczos = cv2.INTER_LANCZOS4
    small = [on_cpu.resize(face, 67, 67, cv2.INTER_LINEAR) for face in faces]
    parts: dict[str, tuple[float, Callable[[int, np.random.Generator], object]]] = {
        "flip": (1.0, lambda k, rng: on_cpu.apply(faces[k], changes.draw_flip(112, 112, rng))),
        "crop": (0.2, lambda k, rng: on_cpu.apply(faces[k], Changes(kept=changes.draw_rectangle(112, 112, rng)))),
        "low resolution": (0.2, lambda k, rng: on_cpu.apply(faces[k], Changes(reduced=changes.draw_reduction(112, 112, rng)))),
        "  of it Lanczos to 67 pixels": (0.04, lambda k, rng: on_cpu.resize(faces[k], 67, 67, lanczos)),
        "  of it Lanczos from 67 pixels": (0.04, lambda k, rng: on_cpu.resize(small[k], 112, 112, lanczos)),
        "  of it areas to 67 pixels": (0.04, lambda k, rng: on_cpu.resize(faces[k], 67, 67, cv2.INTER_AREA)),
        "  of it cubic from 67 pixels": (0.04, lambda k, rng: on_cpu.resize(small[k], 112, 112, cv2.INTER_CUBIC)),
        "photometric": (0.2, lambda k, rng: on_cpu.apply(faces[k], Changes(photometric=changes.draw_photometric(rng)))),
        "all of AdaFace's": (1.0, lambda k, rng: create_augmentation("adaface")(faces[k], rng)),
    }
    for name, (share, part) in parts.items():
        rng = np.random.default_rng(0)
        times = [seconds_of(lambda part=part, rng=rng: exhaust(part(k, rng) for k in range(len(faces)))) for _ in range(rounds + 1)]
        microseconds = 1e6 * statistics.median(times[1:]) / len(faces)
        print(f"{name:31s} {microseconds:6.1f} us of {share:.0%} of the images: {share * microseconds:5.1f} us an image")


def measure_on_device(images: Path, rounds: int) -> None:
    """What `augment_batch` costs an image on a CPU, where it is meant for tests alone, beside OpenCV's changes of the same draws."""
    source, rng = FolderSource(images), np.random.default_rng(0)
    faces = np.stack([source.image(index) for index in range(BATCH)])
    drawn = [changes.draw_adaface(SIZE, SIZE, rng) for _ in faces]
    packed, batch = batch_changes(drawn), torch.from_numpy(faces)
    ways = {
        "adaface by OpenCV": lambda: exhaust(on_cpu.apply(face, change) for face, change in zip(faces, drawn, strict=True)),
        "adaface by torch on a CPU": lambda: augment_batch(batch, packed),
        "drawn changes into tensors": lambda: batch_changes(drawn),
    }
    for name, way in ways.items():
        microseconds = 1e6 * statistics.median([seconds_of(way) for _ in range(rounds + 1)][1:]) / BATCH
        print(f"{name:31s} {microseconds:6.1f} us an image")
        append_row("data", {"what": name, "images_per_second": round(1e6 / microseconds), "ratio": "", "milliseconds": ""})


def measure_folds(rounds: int) -> None:
    rng = np.random.default_rng(0)
    same = np.arange(PAIRS) % 2 == 0
    distance = rng.normal(np.where(same, 1.0, 1.9), 0.2).clip(0, 4)
    times = [1e3 * seconds_of(lambda: kfold_verification(distance, same)) for _ in range(rounds + 1)]
    median = statistics.median(times[1:])
    verdict = "ok" if median < WANTED_MILLISECONDS else f"above {WANTED_MILLISECONDS}"
    print(f"kfold_verification, {PAIRS} pairs {median:7.1f} ms  {verdict}")
    append_row("data", {"what": "kfold 6000 pairs", "images_per_second": "", "ratio": "", "milliseconds": round(median, 2)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=Path, help="folder of people to read in place of synthetic faces")
    parser.add_argument("--quality", type=int, default=90, help="JPEG quality of the synthetic faces")
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as made:
        if options.images is None:
            write_synthetic(Path(made), options.quality)
        measure(options.images or Path(made), options.rounds)
        measure_operations(options.images or Path(made), options.rounds)
        measure_on_device(options.images or Path(made), options.rounds)
    measure_folds(options.rounds)


if __name__ == "__main__":
    main()
