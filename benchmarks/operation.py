"""Whether a threshold that `limen calibrate` sets keeps its false match rate on other people.

    python benchmarks/operation.py --simulated [--operations 200] [--people 1000]
    python benchmarks/operation.py --vectors FILE.npz [--splits 10]       that limen embed wrote, of a folder of people

Simulated: people as in benchmarks/coverage.py. Each operation sets a threshold on half of the people and judges it on the other half, and
on the whole population, whose rate is known: at the threshold itself, and at the high end of its interval, from which on `limen compare`
says yes. Vectors: the people fall into two halves at random, all pairs of a half; the threshold of the first is judged on the second.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from coverage import IMPOSTOR_SD, NON_MATED, pairs
from machine import append_row
from scipy.stats import norm

from limen import metrics
from limen.decision.operating_point import find_operating_points
from limen.metrics import ScoredPairs, all_pairs

FMR = (1e-3, 1e-4)
TOLD = {"reference": "", "data_sha256": "", "flip": True}


def simulated(operations, people, fmr=1e-3):
    """How many of the operations keep the rate."""
    kept = {"threshold": [0, 0], "high end": [0, 0]}
    for seed in range(operations):
        random = np.random.default_rng([people, seed])
        halves = []
        for _ in range(2):
            score, mated, first, second, _ = pairs(random, people // 2)
            halves.append([ScoredPairs(score[kind], first[kind], second[kind]) for kind in (~mated, mated)])
        (point,) = find_operating_points(*halves[0], [fmr], **TOLD)
        for name, threshold in (("threshold", point.threshold), ("high end", point.high)):
            kept[name][0] += (halves[1][0].score >= threshold).mean() <= fmr
            kept[name][1] += norm.sf(threshold, 0, IMPOSTOR_SD) <= fmr
    events = round(fmr * (people // 2) * NON_MATED)
    for name, (other, population) in kept.items():
        print(f"{name:10s} of {operations}: kept on the other half {other}, on the whole population {population}; {events} events")
        row = {"at": name, "operations": operations, "people": people, "fmr": fmr, "events": events}
        append_row("operation_simulated", row | {"kept_on_other_half": int(other), "kept_in_population": int(population)})


ENDS = ("", "_low", "_high")


def real(path, splits):
    stored = np.load(path)
    names, person = np.unique([Path(file).parent.name for file in stored["files"].tolist()], return_inverse=True)
    inside = dict.fromkeys(FMR, 0)
    for seed in range(splits):
        half = np.random.default_rng(seed).permutation(len(names)) < len(names) // 2
        (mated, non_mated), (other_mated, others) = (
            all_pairs(stored["vectors"][half[person] == side], person[half[person] == side], max(FMR)) for side in (True, False)
        )
        start = time.perf_counter()
        points = find_operating_points(non_mated, mated, FMR, **TOLD)
        took = time.perf_counter() - start
        for point in points:
            fmr, fnmr, fmr_at_high, fnmr_at_high = _rates(others, other_mated, point)
            inside[point.fmr] += bool(fmr[1] <= point.fmr <= fmr[2])
            print(
                f"split {seed} FMR {point.fmr:g}: threshold {point.threshold:.4f} [{point.low:.4f} to {point.high:.4f}], other half FMR "
                f"{fmr[0]:.3g} [{fmr[1]:.3g} to {fmr[2]:.3g}], at the high end {fmr_at_high:.3g}; FNMR "
                f"{fnmr[0]:.4f} [{fnmr[1]:.4f} to {fnmr[2]:.4f}]; {took:.1f} s",
                flush=True,
            )
            row = {"set": Path(path).stem, "split": seed, "fmr": point.fmr, "threshold": round(point.threshold, 5)}
            row |= {"low": round(point.low, 5), "high": round(point.high, 5), "non_mated": point.non_mated, "mated": point.mated}
            row |= {f"other_fmr{end}": f"{value:.4g}" for end, value in zip(ENDS, fmr, strict=True)}
            row |= {"other_fmr_at_high": f"{fmr_at_high:.4g}", "other_non_mated": others.count}
            row |= {f"other_fnmr{end}": f"{value:.4g}" for end, value in zip(ENDS, fnmr, strict=True)}
            append_row("operation", row | {"other_fnmr_at_high": f"{fnmr_at_high:.4g}", "seconds": round(took, 1)})
    for rate, count in inside.items():
        print(f"FMR {rate:g}: inside the interval of the other half in {count} of {splits} splits")


def _rates(non_mated, mated, point):
    """FMR and FNMR at the threshold, each with its interval, then both at the high end of the threshold's interval."""
    people, own = (
        metrics.PeopleOfPairs(non_mated.first, non_mated.second, non_mated.images),
        metrics.PeopleOfPairs(mated.first, mated.second),
    )
    wrong, missed = np.flatnonzero(non_mated.score >= point.threshold), mated.score < point.threshold
    fmr = (len(wrong) / non_mated.count, *people.interval(wrong))
    fnmr = (missed.mean(), *own.interval(missed))
    return fmr, fnmr, (non_mated.score >= point.high).sum() / non_mated.count, (mated.score < point.high).mean()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--simulated", action="store_true")
    parser.add_argument("--operations", type=int, default=200)
    parser.add_argument("--people", type=int, default=1000)
    parser.add_argument("--vectors", metavar="FILE.npz")
    parser.add_argument("--splits", type=int, default=10)
    options = parser.parse_args()
    if options.simulated:
        simulated(options.operations, options.people)
    if options.vectors:
        real(options.vectors, options.splits)


if __name__ == "__main__":
    main()
