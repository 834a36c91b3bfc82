"""What every benchmark shares: a results row that says machine, commit and date, and a process's peak memory."""

import csv
import datetime
import functools
import os
import platform
import subprocess
import threading
import time
from pathlib import Path

import torch

RESULTS = Path(__file__).parent / "results"


@functools.cache
def commit() -> str:
    """Of the scripts, "+" behind it where they or the package were changed since."""
    described = ["git", "describe", "--always", "--exclude", "*", "--dirty=+"]
    return subprocess.run(described, capture_output=True, text=True, cwd=RESULTS.parent).stdout.strip()


@functools.cache
def machine_name() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    return f"{model}, {os.cpu_count()} cores"


def append_row(name: str, row: dict) -> None:
    """One line in results/NAME.csv, with where and when it was measured."""
    row = row | {"machine": machine_name(), "torch": torch.__version__, "commit": commit(), "date": datetime.date.today().isoformat()}
    path = RESULTS / f"{name}.csv"
    fresh = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, list(row))
        if fresh:
            writer.writeheader()
        writer.writerow(row)


def _resident_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def peak_memory_mib(call, interval: float = 2e-4) -> float:
    """The largest resident size while `call()` runs, above that before it, sampled every `interval` seconds."""
    start = peak = _resident_mib()
    done = threading.Event()

    def watch():
        nonlocal peak
        while not done.is_set():
            peak = max(peak, _resident_mib())
            time.sleep(interval)

    watcher = threading.Thread(target=watch)
    watcher.start()
    call()
    done.set()
    watcher.join()
    return max(peak, _resident_mib()) - start
