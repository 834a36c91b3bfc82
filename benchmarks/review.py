"""What looking at doubtful labels is worth: a tenth of the labels wrong, a reviewer who knows the truth, training before and after.

    python benchmarks/review.py --faces FACES --pairs pairs.txt --images LFW --out runs/review [--seeds 0 1 2] [--vectors faces.npz]

A list of the faces with a tenth of the labels wrong is trained on with Adaptive Data Sampling, which leaves suspects.csv. The reviewer
looks at its first `--looks` images and decides as the true labels say; `limen data apply` corrects the list, which is trained on in the
same way, and so are the true labels. `--vectors`, what `limen embed` wrote of FACES with a model of other people, adds a second list of
suspects, in the order of `limen audit`: how much more an image is like another person than its own.

A run resumes where it was stopped. At the end prints and appends to benchmarks/results/review.csv: precision and recall of the first
images of either list and the wrong labels found per 100 images looked at, beside the same images in random order; accuracy on the pairs
with its interval over subjects, and the paired difference from the true labels and from before.
"""

import csv
from pathlib import Path

import numpy as np
from label_noise import SHARE, Mislabelled
from machine import append_row
from runs import arguments, difference, figures, judged, trained

from limen.cli import main as limen
from limen.data import open_pairs
from limen.data.readers.listed import save_list
from limen.decision.audit import likeness
from limen.tables import write_csv

RANKS = (100, 200, 500, 1000, 2000)
COLUMNS = ("file", "person", "decision", "new_person", "reviewer", "time", "model", "pair_with")


def by_rank(found, wrong, seed, method):
    """Rows of precision and recall of the first images of a list of suspects, as it stands."""
    hits = np.cumsum(np.isin(found, wrong))
    for rank in [rank for rank in RANKS if rank < len(found)] + [len(found)] if len(found) else []:
        count = int(hits[rank - 1])
        row = {"what": f"suspects of {method}", "seed": seed, "looked_at": rank, "wrong_found": count}
        row |= {"precision": round(count / rank, 4), "recall": round(count / len(wrong), 4)}
        yield row | {"per_100": round(100 * count / rank, 1), "per_100_random": round(100 * SHARE, 1)}


def decided(source, true, found, path):
    """The decisions.csv of a reviewer who knows the true labels."""
    rows = []
    for index in found:
        right = source.labels[index] == true[index]
        words = ("right", "") if right else ("move", source.class_names[true[index]])
        rows.append([source.locate(index), source.class_names[source.labels[index]], *words, "truth", "", "", ""])
    write_csv(path, COLUMNS, rows)


def run_seed(options, pairs, seed):
    source = Mislabelled(options.faces, seed=seed)
    true, people = Mislabelled(options.faces, share=0).labels, np.array(source.class_names)
    files = [source.locate(index) for index in range(len(source))]
    home = Path(options.out)
    home.mkdir(parents=True, exist_ok=True)
    lists = {name: home / f"{name}-{seed}.csv" for name in ("before", "applied", "true labels")}
    save_list(lists["before"], files, people[source.labels].tolist())
    save_list(lists["true labels"], files, people[true].tolist())

    def train(name):
        words = ["data.reader=list", f"data.path={lists[name]}", "data.sampling.name=adaptive"]
        return trained(options, name.replace(" ", "-"), seed, *words)

    bundles = {"before": train("before")}
    with open(bundles["before"].parent / "suspects.csv", newline="") as file:
        suspects = [int(row["index"]) for row in csv.DictReader(file)]
    rows = list(by_rank(suspects, source.wrong, seed, "adaptive sampling"))
    if options.vectors:
        with np.load(options.vectors) as saved:
            place = {Path(file).parts[-2:]: index for index, file in enumerate(saved["files"].tolist())}
            vectors = saved["vectors"][[place[Path(file).parts[-2:]] for file in files]]
        rows += by_rank(likeness(vectors, source.labels).outliers, source.wrong, seed, "an audit by another model")
    show(rows)
    decided(source, true, suspects[: options.looks], home / f"decisions-{seed}.csv")
    lists["applied"].unlink(missing_ok=True)
    words = ["data", "apply", str(home / f"decisions-{seed}.csv"), "--data", str(lists["before"]), "--out", str(lists["applied"])]
    if limen(words):
        raise SystemExit("limen data apply has failed")
    bundles |= {name: train(name) for name in ("applied", "true labels")}
    results = {name: judged(bundle, pairs) for name, bundle in bundles.items()}
    correct = {name: found for name, (_, found) in results.items()}
    for name, (result, found) in results.items():
        row = {"what": f"trained on {name}", "seed": seed, "looked_at": options.looks if name == "applied" else ""}
        against = {f"less_{other.split()[0]}": difference(pairs, found, correct[other]) for other in ("before", "true labels")}
        rows.append(row | figures(result) | against)
        show(rows[-1:])
    return correct, rows


FIELDS = ("what", "seed", "looked_at", "wrong_found", "precision", "recall", "per_100", "per_100_random")
FIELDS += ("accuracy", "low", "high", "tar@far=0.01", "less_before", "less_true")


def show(rows):
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)


def main():
    parser = arguments(__doc__.splitlines()[0], [0, 1, 2], ["epochs=4", "margin.name=ArcFace"])
    parser.add_argument("--looks", type=int, default=1000, help="suspects that the reviewer looks at")
    parser.add_argument("--vectors", metavar="FILE.npz", help="embeddings of the faces by another model, for a second list")
    options = parser.parse_args()
    pairs = open_pairs(options.pairs, options.images)
    found, rows = [], []
    for seed in options.seeds:
        correct, own = run_seed(options, pairs, seed)
        found.append(correct)
        rows += own
    for name, other in (("applied", "before"), ("true labels", "before"), ("applied", "true labels")):
        mean = [np.mean([one[side] for one in found], 0) for side in (name, other)]
        ends = {"low": "", "high": "", "less_before" if other == "before" else "less_true": difference(pairs, *mean)}
        rows.append({"what": f"{name} less {other}, mean of {len(found)} seeds", "accuracy": round(float(mean[0].mean()), 4)} | ends)
        show(rows[-1:])
    for row in rows:
        append_row("review", dict.fromkeys(FIELDS, "") | row)


if __name__ == "__main__":
    main()
