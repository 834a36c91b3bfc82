"""Overlap of two sets of people: seconds and memory of 20,000 against 20,000 at 512-d; and, of two real sets, who is in both.

    python benchmarks/overlap.py [--people 20000] [--size 512]
    python benchmarks/overlap.py --sets faces.npz lfw.npz --threshold 0.45 [--known celeba_7398=Oxana_Fedorova ...]

The first draws random directions, of which 50 are in both sets; all of these have to be found, and nobody else. The second takes what
`limen embed` wrote of both; `--known` names the pairs that a person, who looked at the page of `limen review`, found to be one. It
prints how many pairs there are from each threshold on, and how many of them are known. Appends rows to benchmarks/results/overlap.csv.
"""

import argparse
import time

import numpy as np
from machine import append_row, peak_memory_mib

from limen.decision.overlap import alike, in_both
from limen.decision.vectors_file import EmbeddedPeople

PLANTED = 50
THRESHOLDS = (0.7, 0.65, 0.6, 0.55, 0.5, 0.45, 0.4)


def directions(count, size, rng):
    vectors = rng.normal(size=(count, size)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def measure(people, size):
    rng = np.random.default_rng(0)
    first, second = directions(people, size, rng), directions(people, size, rng)
    second[:PLANTED] = first[PLANTED : 2 * PLANTED]
    found = []

    def call():
        wall, processor = time.monotonic(), time.process_time()
        one = alike(first, second, 0.5)
        found[:] = [one, time.monotonic() - wall, time.process_time() - processor]

    memory = peak_memory_mib(call, interval=0.02)
    pairs, wall, processor = found
    planted = {(PLANTED + k, k) for k in range(PLANTED)}
    if set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)) != planted:
        raise SystemExit("those who were put in both were not found, or others were")
    row = {"what": f"{people} x {people} people, {size}-d", "threshold": 0.5, "pairs": len(pairs.first), "known": PLANTED}
    return row | {"seconds": round(wall, 2), "processor_seconds": round(processor, 2), "mebibytes": round(memory)}


def look(paths, threshold, known):
    sets = [EmbeddedPeople(path) for path in paths]
    names = tuple(one.class_names for one in sets)
    found = in_both(names, [one.person_vectors() for one in sets], threshold)
    told = {(names[0][one.person], names[1][one.other]): one for one in found}
    if absent := [pair for pair in known if pair not in told]:
        raise SystemExit(f"{absent[0]}: is no pair from {threshold} on")
    for (name, other), one in list(told.items())[:20]:
        print(f"{one.score:.4f}  {name}  {other}{'  known' if (name, other) in known else ''}")
    for least in [least for least in THRESHOLDS if least >= threshold]:
        rows = [pair for pair, one in told.items() if one.score >= least]
        row = {"what": f"{len(names[0])} x {len(names[1])} people, real", "threshold": least, "pairs": len(rows)}
        yield row | {"known": sum(pair in known for pair in rows), "people": len({name for name, _ in rows})}
    by_name = sum(one.same_name for one in found)
    yield {"what": f"{len(names[0])} x {len(names[1])} people, real, by name", "pairs": by_name}


FIELDS = ("what", "threshold", "pairs", "known", "people", "seconds", "processor_seconds", "mebibytes")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--people", type=int, default=20_000, help="of either set")
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--sets", nargs=2, metavar="FILE.npz", help="real sets, in place of random ones")
    parser.add_argument("--threshold", type=float, default=0.45)
    parser.add_argument("--known", nargs="*", default=[], metavar="NAME=OTHER", help="pairs that are one person")
    options = parser.parse_args()
    known = {tuple(pair.split("=", 1)) for pair in options.known}
    rows = look(options.sets, options.threshold, known) if options.sets else [measure(options.people, options.size)]
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
        append_row("overlap", dict.fromkeys(FIELDS, "") | row)


if __name__ == "__main__":
    main()
