"""Milliseconds of the error versus discard of 60,000 pairs at three FMRs, beside the loop over steps that it replaces, and seconds and
peak memory of 15 million pairs.

    python benchmarks/discard.py [--large]
"""

import argparse
import statistics
import time

import numpy as np
from machine import append_row, peak_memory_mib

from limen.metrics import error_vs_discard

FMR = (1e-2, 1e-3, 1e-4)
PAIRS, LARGE = 60_000, 15_000_000
WANTED = {PAIRS: 0.05, LARGE: 30.0}  # seconds
WANTED_MIB = 4096


def pairs(count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Half mated; a mated pair's score falls with its quality."""
    random = np.random.default_rng(0)
    mated, quality = np.arange(count) % 2 == 0, random.random(count)
    return random.normal(np.where(mated, 0.3 + 0.4 * quality, 0.0), 0.12), mated, quality


def loop(score: np.ndarray, mated: np.ndarray, quality: np.ndarray, fmr: float) -> list[float]:
    """The same curve with the remaining pairs counted anew at 100 steps, as a plain script does it."""
    threshold = error_vs_discard(score, mated, quality, fmr).threshold
    genuine = score[mated][np.argsort(quality[mated])]
    return [float((genuine[len(genuine) * step // 100 :] < threshold).mean()) for step in range(100)]


def seconds_of(call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def report(what: str, count: int, seconds: float, ratio: float | str, mib: float | str) -> None:
    wanted = WANTED[count]
    within = seconds <= wanted and (mib == "" or float(mib) <= WANTED_MIB)
    memory = "" if mib == "" else f"  {mib:.0f} MiB above the start"
    print(f"{what:28s} {count:10d} pairs {1e3 * seconds:10.1f} ms  {'ok' if within else 'above the bound'}{memory}")
    append_row("discard", {"what": what, "pairs": count, "seconds": round(seconds, 4), "ratio": ratio, "peak_mib": mib})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--large", action="store_true", help="15 million pairs too")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    arrays = pairs(PAIRS)
    calls = {
        "loop over 100 steps": lambda: [loop(*arrays, fmr) for fmr in FMR],
        "fixed": lambda: [error_vs_discard(*arrays, fmr) for fmr in FMR],
        "per_step": lambda: [error_vs_discard(*arrays, fmr, "per_step") for fmr in FMR],
    }
    times = {name: statistics.median(seconds_of(call) for _ in range(options.rounds)) for name, call in calls.items()}
    for name, seconds in times.items():
        report(name, PAIRS, seconds, round(seconds / times["loop over 100 steps"], 3), "")
    if options.large:
        arrays = pairs(LARGE)
        for name in ("fixed", "per_step"):
            seconds = []
            mib = peak_memory_mib(lambda: seconds.append(seconds_of(lambda: [error_vs_discard(*arrays, fmr, name) for fmr in FMR])))  # noqa: B023
            report(name, LARGE, seconds[0], "", round(mib))


if __name__ == "__main__":
    main()
