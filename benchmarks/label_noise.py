"""Adaptive Data Sampling with a tenth of the labels wrong: what its table of suspects finds, and what sampling by it is worth.

    python benchmarks/label_noise.py --faces FACES --pairs pairs.txt --images LFW --out runs/label_noise [--seeds 0 1]

The same images are trained on with right labels, with shuffled ones, and with shuffled ones and Adaptive Data Sampling. Prints precision
and recall of suspects.csv against the labels that were shuffled, accuracy on the pairs with its interval over subjects, and the paired
difference from training on the shuffled labels without it. Appends rows to benchmarks/results/label_noise.csv.
"""

import csv
import json

import numpy as np
from machine import append_row
from runs import arguments, difference, figures, judged, trained

from limen.data import FolderSource, open_pairs

SHARE = 0.1


class Mislabelled:
    """A folder of faces, `share` of whose images have the name of another person, drawn at random."""

    def __init__(self, path, share=SHARE, seed=0):
        source = FolderSource(path)
        self.image, self.locate, self.class_names = source.image, source.locate, source.class_names
        rng = np.random.default_rng(seed)
        self.wrong = rng.choice(len(source), round(share * len(source)), replace=False)
        people = len(source.class_names)
        self.labels = source.labels.copy()
        self.labels[self.wrong] = (self.labels[self.wrong] + rng.integers(1, people, len(self.wrong))) % people

    def __len__(self):
        return len(self.labels)


def found_out(bundle, wrong):
    """Precision and recall of the table of suspects."""
    with open(bundle.parent / "suspects.csv", newline="") as file:
        suspects = [int(row["index"]) for row in csv.DictReader(file)]
    right = len(np.intersect1d(suspects, wrong))
    return {"suspects": len(suspects), "precision": round(right / max(1, len(suspects)), 4), "recall": round(right / len(wrong), 4)}


def main():
    options = arguments(__doc__.splitlines()[0], [0, 1], ["epochs=6", "margin.name=ArcFace"]).parse_args()
    pairs = open_pairs(options.pairs, options.images)
    for seed in options.seeds:
        noisy = ["data.reader=label_noise:Mislabelled", f"data.options={json.dumps({'seed': seed})}"]
        settings = {"right labels": [], "shuffled": noisy, "shuffled, ADS": [*noisy, "data.sampling.name=adaptive"]}
        bundles = {name: trained(options, name.replace(", ", "-").replace(" ", "-"), seed, *words) for name, words in settings.items()}
        results = {name: judged(bundle, pairs) for name, bundle in bundles.items()}
        wrong = Mislabelled(options.faces, seed=seed).wrong
        for name, (result, correct) in results.items():
            table = found_out(bundles[name], wrong) if "ADS" in name else {"suspects": "", "precision": "", "recall": ""}
            row = (
                dict(run=name, seed=seed) | figures(result) | dict(less_shuffled=difference(pairs, correct, results["shuffled"][1])) | table
            )
            print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
            append_row("label_noise", row)


if __name__ == "__main__":
    main()
