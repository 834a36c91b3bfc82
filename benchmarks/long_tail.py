"""AdaM-Softmax on a long tail: do small classes get large margins, and does it help them? Beside CosFace at AdaM's mean margin.

    python benchmarks/long_tail.py --faces FACES --out runs/long_tail [--seeds 0 1 2] [--set epochs=20]

FACES holds one folder of aligned images per person (`limen data synthesize` makes one). Six images of everybody are kept for the test; what
is left is thinned to a long tail, in an order of the people that depends on the seed. Prints, for every seed, the rank correlation between
images and margin of a class, and accuracy and TAR on held-out images of the people of the tail (the third with the fewest images) and of
the head, with intervals over subjects and the paired difference. Appends rows to benchmarks/results/long_tail.csv.
"""

import csv
import json
from pathlib import Path

import numpy as np
from machine import append_row
from runs import arguments, difference, figures, judged, trained
from scipy.stats import spearmanr

from limen.data import FolderSource, PairSet, make_pairs
from limen.data.pairs import SubsetSource

HELD_OUT, LARGEST, EXPONENT, SMALLEST = 6, 100, 0.5, 3
SCALE, STRENGTH = 30, 6.0


class LongTail:
    """A folder of faces thinned to LARGEST / (1 + rank) ** EXPONENT images of each person; `held_out` are the test's."""

    def __init__(self, path, seed=0):
        whole = FolderSource(path)
        rng = np.random.default_rng(seed)
        counts = np.bincount(whole.labels, minlength=len(whole.class_names))
        people = rng.permutation(np.flatnonzero(counts >= HELD_OUT + SMALLEST))
        chosen, held_out = [], []
        for rank, person in enumerate(people):
            images = rng.permutation(np.flatnonzero(whole.labels == person))
            size = max(SMALLEST, round(LARGEST / (1 + rank) ** EXPONENT))
            held_out.append(images[:HELD_OUT])
            chosen.append(images[HELD_OUT : HELD_OUT + size])
        self.sizes = np.array([len(images) for images in chosen])
        self.class_names = [whole.class_names[person] for person in people]
        self.labels = np.repeat(np.arange(len(people)), self.sizes).astype(np.int64)
        self.source = SubsetSource(whole, np.concatenate(chosen))
        self.held_out = SubsetSource(whole, np.concatenate(held_out))
        self.held_out_labels = np.repeat(np.arange(len(people)), HELD_OUT)
        self.image, self.locate = self.source.image, self.source.locate

    def __len__(self):
        return len(self.source)

    def pairs(self, name, people, count=3000):
        """Pairs of held-out images of these people."""
        images = np.flatnonzero(np.isin(self.held_out_labels, people))
        count = min(count, HELD_OUT * (HELD_OUT - 1) * len(people))  # twice all mated pairs
        first, second, same = make_pairs(self.held_out_labels[images], count, seed=0)
        return PairSet(name, SubsetSource(self.held_out, images), first, second, same, self.held_out_labels[images])


def class_margins(bundle, names):
    with open(bundle.parent / "class_margins.csv", newline="") as file:
        margin = {row["name"]: float(row["margin"]) for row in csv.DictReader(file)}
    return np.array([margin[name] for name in names])


def main():
    options = arguments(__doc__.splitlines()[0], [0, 1, 2], ["epochs=20", "batch_size=64"], pairs=False).parse_args()
    for seed in options.seeds:
        source = LongTail(options.faces, seed)
        order = np.argsort(source.sizes, kind="stable")
        third = len(order) // 3
        strength = json.dumps({"strength": STRENGTH})
        reader = ["data.reader=long_tail:LongTail", f"data.options={json.dumps({'seed': seed})}", f"head.scale={SCALE}"]
        adam = trained(options, "AdaMSoftmax", seed, *reader, "margin.name=AdaMSoftmax", f"margin.options={strength}")
        margins = class_margins(adam, source.class_names)
        mean = round(float(margins.mean()), 4)
        cosface = trained(options, "CosFace", seed, *reader, "margin.name=CosFace", f"margin.options={json.dumps({'m': mean})}")
        bundles = {"AdaMSoftmax": adam, "CosFace": cosface}
        correlation = spearmanr(source.sizes, margins)
        print(
            f"\nseed {seed}: {len(source)} images of {len(order)} people, {source.sizes.min()} to {source.sizes.max()} each; margins "
            f"{margins.min():.3f} to {margins.max():.3f}, mean {margins.mean():.3f}; rank correlation of images and margin "
            f"{correlation.statistic:.3f} (p = {correlation.pvalue:.1g}); smallest third {margins[order[:third]].mean():.3f}, "
            f"largest third {margins[order[-third:]].mean():.3f}\n",
            flush=True,
        )
        for part, people in (("tail", order[:third]), ("head", order[-third:])):
            pairs = source.pairs(part, people)
            results = {name: judged(bundle, pairs) for name, bundle in bundles.items()}
            gain = difference(pairs, results["AdaMSoftmax"][1], results["CosFace"][1])
            for name, (result, _) in results.items():
                row = dict(faces=Path(options.faces).name, seed=seed, part=part, margin=name, people=len(order), images=len(source))
                row |= dict(correlation=round(correlation.statistic, 3), mean_margin=mean) | figures(result)
                print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
                append_row("long_tail", row)
            print(f"{part}: AdaM less CosFace {gain} %", flush=True)


if __name__ == "__main__":
    main()
