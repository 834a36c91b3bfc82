"""Learned quality on generated faces, whose conditions are known: rank correlation of the score with each, on people never seen.

    python benchmarks/quality_synthetic.py --out runs/quality_synthetic [--seeds 0 1] [--set epochs=12]

Trains a small network with the quality head on 200 generated people, scores 100 others and prints Spearman's correlation of the score with
each true condition, with an interval by bootstrap over people. Appends rows to benchmarks/results/quality_synthetic.csv.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from machine import append_row
from runs import trained
from scipy.stats import spearmanr

from limen.data.synthetic import SyntheticFaces, save_folder
from limen.inference.measures import create_measure
from limen.protocols import score_images

PEOPLE, IMAGES, UNSEEN = 200, 20, 100
REPLICATES = 1000
CONDITIONS = (
    "severity",
    "blur",
    "resolution",
    "noise",
    "compression",
    "exposure",
    "occlusion_size",
    "yaw",
    "pitch",
)  # amounts: without sign


def interval(score, truth, person, seed=0):
    """Of the correlation, 95 %, people drawn anew."""
    rng = np.random.default_rng(seed)
    rows = [np.flatnonzero(person == one) for one in np.unique(person)]
    drawn = []
    for _ in range(REPLICATES):
        chosen = np.concatenate([rows[k] for k in rng.integers(len(rows), size=len(rows))])
        drawn.append(spearmanr(score[chosen], truth[chosen]).statistic)
    return np.nanquantile(drawn, [0.025, 0.975])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", required=True, help="folder of the runs")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    settings = ["epochs=15", "batch_size=64", "margin.name=ArcFace", 'margin.options={"m":0.3}', "data.augment=flip", "quality.lr=.002"]
    parser.add_argument("--set", nargs="*", default=settings, help="settings of the recipe small/faces")
    options = parser.parse_args()
    unseen = SyntheticFaces(UNSEEN, IMAGES, first_identity=PEOPLE)
    truths = unseen.truths()
    for seed in options.seeds:
        faces = Path(options.out) / "faces"
        if not faces.exists():
            save_folder(SyntheticFaces(PEOPLE, IMAGES), faces)
        options.faces = str(faces)
        bundle = trained(options, "synthetic", seed, "quality.weight=10")
        measures = {"CR-FIQA": str(bundle), "norm": f"norm:{bundle}", "sharpness": "sharpness"}
        for name, spec in measures.items():
            score = score_images([create_measure(spec)], unseen)[0].values[0]
            for condition in CONDITIONS:
                truth = np.abs(truths[condition])
                low, high = interval(score, truth, unseen.labels)
                row = dict(seed=seed, quality=name, condition=condition, correlation=round(float(spearmanr(score, truth).statistic), 3))
                row |= dict(low=round(float(low), 3), high=round(float(high), 3))
                print(json.dumps(row), flush=True)
                append_row("quality_synthetic", row)


if __name__ == "__main__":
    main()
