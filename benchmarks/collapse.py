"""Which margins train with the shipped recipes, and which collapse: features turned away from all centres.

    python benchmarks/collapse.py --faces FACES --out runs/collapse [--only ArcFace] [--past_peak paper] [--set optimiser.lr=.05]
    python benchmarks/collapse.py --people 90 --out runs/collapse
    python benchmarks/collapse.py --faces FACES --out runs/collapse --whole --pairs lfw_pairs.txt --images LFW

Each run is the recipe small/faces, or with --people small/synthetic on so many generated people, with another margin at its
own defaults, on the recipe's own schedule, as `limen train` runs it. It is stopped, and can be resumed,
as soon as it is decided: the mean cosine to the own centre has passed LEARNT, from where no run has turned back, or it is below -.3 and
that to the nearest other too. --whole trains to the end and evaluates on pairs. One row a run in benchmarks/results/collapse.csv; a run
whose row is there is not made again.
"""

import argparse
import csv
import inspect
import json
import signal
import subprocess
import sys
import time
from pathlib import Path

from machine import RESULTS, append_row
from runs import RECIPE, figures

from limen import margins
from limen.margins import MARGINS, training_options
from limen.models.embedder import Embedder
from limen.protocols import Verification
from limen.training import read_log

LEARNT, COLLAPSED = 0.25, -0.3
LIMIT = 6.0  # epochs after which a run counts as undecided


def outcome(rows):
    """What a run came to, from its logged rows."""
    turned = [row["step"] for row in rows if max(row["target_cosine"], row["nearest_negative"]) < COLLAPSED]
    if turned:
        return "collapsed"
    if rows and rows[-1]["target_cosine"] >= LEARNT:
        return "learnt"
    return "undecided"


def rows_of(folder):
    return [row for row in read_log(folder / "log.jsonl") if "loss" in row]


def recipe_of(options):
    return RECIPE if options.faces else "small/synthetic"


def train(options, folder, seed, settings):
    """Runs `limen train` in a process of its own, resumed where it was stopped, until it is decided or, for --whole, done."""
    words = [f"--{key}={value}" for key, value in settings.items()]
    words += [f"--data.path={options.faces}" if options.faces else f"--data.options.identities={options.people}"]
    words += [f"--seed={seed}", f"--out={folder}", "--log_every=10", "--allow_collapse=true", "--threads=1"]
    command = [sys.executable, "-m", "limen", "train", "--config", recipe_of(options), "--resume", "auto", *words]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    try:
        while process.poll() is None:
            time.sleep(1)
            rows = rows_of(folder) if not options.whole else []
            if rows and (outcome(rows) != "undecided" or rows[-1]["epoch"] >= LIMIT):
                process.send_signal(signal.SIGTERM)
                break
        _, said = process.communicate()
    finally:
        process.kill()
    if options.whole and process.returncode:
        sys.exit(said.splitlines()[-1])
    if not rows_of(folder):
        sys.exit(said.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    faces = parser.add_mutually_exclusive_group(required=True)
    faces.add_argument("--faces", help="one folder of aligned images per person")
    faces.add_argument("--people", type=int, help="so many generated people")
    parser.add_argument("--out", required=True, help="folder of the runs")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--only", nargs="+", choices=MARGINS, default=list(MARGINS), help="these margins alone")
    parser.add_argument("--past_peak", help="with the exact gradient, in this form, the margins that have it")
    parser.add_argument("--set", nargs="*", default=[], help="further settings of the recipe, such as optimiser.lr=.05")
    parser.add_argument("--whole", action="store_true", help="train to the end, and evaluate on --pairs")
    parser.add_argument("--pairs")
    parser.add_argument("--images")
    options = parser.parse_args()
    recipe = recipe_of(options).partition("/")[2]
    people = options.people or sum(path.is_dir() for path in Path(options.faces).iterdir())
    further = dict(setting.split("=", 1) for setting in options.set)
    for seed in options.seeds:
        for margin in options.only:
            form = options.past_peak or training_options(margin, {}).get("gradient", "")
            if options.past_peak and "past_peak" not in inspect.signature(getattr(margins, margin)).parameters:
                continue
            key = dict(
                recipe=recipe, margin=margin, past_peak=form, settings=" ".join(options.set), people=people, seed=seed, whole=options.whole
            )
            path = RESULTS / "collapse.csv"
            made = list(csv.DictReader(path.open())) if path.exists() else []
            if any(all(row[name] == str(value) for name, value in key.items()) for row in made):
                continue
            folder = Path(options.out) / "-".join([recipe, margin, form, *options.set, str(people), str(seed)]).replace("/", "_")
            own = {"past_peak": form, "gradient": "exact"} if options.past_peak else {}  # in place of the recipe's options
            settings = {"margin.name": margin, "margin.options": json.dumps(own), **further}
            train(options, folder, seed, settings)
            rows = rows_of(folder)
            found = {
                "outcome": outcome(rows),
                "steps": rows[-1]["step"],
                "epoch": round(rows[-1]["epoch"], 2),
                "target_cosine": round(rows[-1]["target_cosine"], 3),
                "nearest_negative": round(rows[-1]["nearest_negative"], 3),
                "lowest_target_cosine": round(min(row["target_cosine"] for row in rows), 3),
                "lowest_of_both": round(min(max(row["target_cosine"], row["nearest_negative"]) for row in rows), 3),
            }
            judged = dict.fromkeys(("accuracy", "low", "high", "tar@far=0.01"), "")
            if options.whole and options.pairs:
                judged = figures(Verification(options.pairs, options.images).run(Embedder.load(folder / "model.safetensors")))
            append_row("collapse", key | found | judged)
            print(*(f"{name} {value}" for name, value in (key | found | judged).items() if value != ""), sep="  ", flush=True)


if __name__ == "__main__":
    main()
