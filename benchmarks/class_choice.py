"""Which classes enter a step: Hard Prototype Mining beside as many random ones (PartialFC) and beside all, at equal steps.

    python benchmarks/class_choice.py --faces FACES --pairs pairs.txt --images LFW --out runs/class_choice [--seeds 0 1 2]

Batches are small, so that the subset holds more than the classes of the batch itself. Prints accuracy on the pairs with its interval over
subjects, and the paired difference from the random subset. Appends rows to benchmarks/results/class_choice.csv.
"""

import json

from machine import append_row
from runs import arguments, difference, figures, judged, trained

from limen.data import open_pairs

SETTINGS = ["epochs=4", "batch_size=32", "optimiser.lr=.03", "margin.name=ArcFace"]
SUBSET = 0.2
SAMPLERS = {
    "all classes": [],
    "random": ["head.sampler.name=PartialFC", f"head.sampler.options={json.dumps({'rate': SUBSET})}"],
    "HPM": [
        "head.sampler.name=HardPrototypeMining",
        f"head.sampler.options={json.dumps({'subset': SUBSET, 'queue': 16, 'threshold': 0.0, 'rebuild_every': 100})}",
    ],
}


def main():
    options = arguments(__doc__.splitlines()[0], [0, 1, 2], SETTINGS).parse_args()
    pairs = open_pairs(options.pairs, options.images)
    for seed in options.seeds:
        found = {name: judged(trained(options, name.replace(" ", "-"), seed, *settings), pairs) for name, settings in SAMPLERS.items()}
        for name, (result, correct) in found.items():
            row = dict(classes=name, seed=seed) | figures(result) | dict(less_random=difference(pairs, correct, found["random"][1]))
            print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
            append_row("class_choice", row)


if __name__ == "__main__":
    main()
