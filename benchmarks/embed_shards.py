"""Four processes of `limen embed --shard` on this machine's cores beside one process on the same images, and the float16 vectors' error.

    python benchmarks/embed_shards.py --model model.safetensors --images faces/          112x112 images in folders

The one process has a thread for each core, each of the four one thread. Both times hold what it takes to start. They compare
only on a machine without other work, CPU seconds too, for threads that wait for each other take them.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pyarrow.dataset
from machine import append_row

from limen.data import list_images

JOBS = 4
SHARDS = 20


def run(model, shards, out, jobs, threads):
    """Seconds until all jobs have ended, and of CPU that they took."""
    command = [sys.executable, "-m", "limen", "embed", model, str(shards), "--no-flip", "--threads", str(threads), "--workers", "1"]
    start, before = time.perf_counter(), cpu_of_children()
    running = [
        subprocess.Popen([*command, "--shard", f"{job}/{jobs}", "--out", str(out)], stdout=subprocess.DEVNULL) for job in range(jobs)
    ]
    if any([process.wait() for process in running]):
        raise SystemExit("a job failed")
    return time.perf_counter() - start, cpu_of_children() - before


def cpu_of_children():
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def pack(images, folder):
    """SHARDS tar files of all images, in folders of their people."""
    import tarfile

    for number in range(SHARDS):
        with tarfile.open(folder / f"shard-{number:03d}.tar", "w") as archive:
            for image in images[number::SHARDS]:
                archive.add(image, f"{image.parent.name}/{image.name}")


def largest_error(out, whole):
    """The largest difference of a cosine, over pairs of images next to each other, from that of the float32 vectors."""
    table = pyarrow.dataset.dataset(out).to_table().to_pydict()
    half = {name.partition("/")[2]: vector for name, vector in zip(table["id"], table["vector"], strict=True)}
    names = ["/".join(Path(file).parts[-2:]) for file in whole["files"].tolist()]
    found = np.array([half[name] for name in names], np.float32)
    return float(np.abs((found[1:] * found[:-1]).sum(1) - (whole["vectors"][1:] * whole["vectors"][:-1]).sum(1)).max())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--images", required=True, type=Path)
    parser.add_argument("--limit", type=int, default=4000, help="of the images (4000)")
    options = parser.parse_args()
    images = list_images([options.images])[: options.limit]
    cores = os.cpu_count() or 1
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "shards").mkdir()
        pack(images, home / "shards")
        (one, cpu_one) = run(options.model, home / "shards", home / "one", 1, cores)
        (several, cpu_several) = run(options.model, home / "shards", home / "several", JOBS, 1)
        command = [
            sys.executable,
            "-m",
            "limen",
            "embed",
            options.model,
            *map(str, images[:500]),
            "--no-flip",
            "--out",
            str(home / "w.npz"),
        ]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        row = {"images": len(images), "one_s": round(one, 2), f"{JOBS}_processes_s": round(several, 2), "ratio": round(several / one, 3)}
        row |= {
            "one_cpu_s": round(cpu_one, 1),
            f"{JOBS}_processes_cpu_s": round(cpu_several, 1),
            "cpu_ratio": round(cpu_several / cpu_one, 3),
        }
        row["float16_cosine_error"] = f"{largest_error(home / 'several', np.load(home / 'w.npz')):.1e}"
    print(row)
    append_row("embed_shards", row)


if __name__ == "__main__":
    main()
