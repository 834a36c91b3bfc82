"""What becomes of mutated inputs of every kind of file that limen reads: thousands of what tests/fuzz tries a few of.

    python benchmarks/fuzz.py                              3,000 changed inputs of each kind
    python benchmarks/fuzz.py --kinds images CSV --count 100 --seed 7

Each is refused in a line, or accepted: then it is equal to what was not damaged, or the damage cannot be told. Ends with status 1 where
one ended in a traceback, hung (10 s), took more than a gigabyte, ran code, or killed its process; each such fault is printed.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

from machine import append_row

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from fuzz.inputs import KINDS, fuzz
from fuzz.trial import BAD

COLUMNS = {"refused": "refused", "same": "accepted, undamaged", "damage": "accepted, damaged"} | {name: name for name in BAD}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS), metavar="KIND", help=", ".join(KINDS))
    parser.add_argument("--count", type=int, default=3000, help="inputs of each kind that differ from the undamaged one (3000)")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    bad = 0
    for name in options.kinds:
        start = time.perf_counter()
        with tempfile.TemporaryDirectory() as work:
            found, faults = fuzz(KINDS[name](Path(work)), options.count, options.seed, Path(work))
        print("\n".join(faults))
        row = {"kind": name, "seed": options.seed, "tried": sum(found.values())}
        row |= {column: found[outcome] for outcome, column in COLUMNS.items()}
        print(f"{name}: {row}, {time.perf_counter() - start:.0f} s", flush=True)
        append_row("fuzz", row)
        bad += sum(found[outcome] for outcome in BAD)
    return int(bad > 0)


if __name__ == "__main__":
    raise SystemExit(main())
