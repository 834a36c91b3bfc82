"""What does each form of an angular margin make of whole networks that are trained to their end?

    PYTHONPATH=benchmarks python -m evidence.forms --faces FACES --pairs lfw_pairs.txt --images LFW --out runs/evidence

Networks and loop of networks.py, from drawn weights, with the flip alone. A collapse shows within the first steps, and collapse.py asks for
that; whether features gather in a few narrow cones shows later. Prints accuracy, the mean cosines to the own centre and to the nearest
other at the end, each form less the last of its margin, and each margin as training has it less ArcFace, with intervals over people and
seeds (hierarchy.py).
"""

import argparse
import functools

import numpy as np
import torch

from evidence.bed import Run, made
from evidence.collapse import FORMS, options_of
from evidence.features import DEGRADATIONS, add_data_arguments
from evidence.networks import faces, train
from evidence.tables import Judge, line

CLAIM = "forms"
KINDS = {margin: {f"{margin}, {form}": options_of(form) for form in forms} for margin, forms in FORMS.items()}
KINDS["CosFace"] = {"CosFace": {}, "CosFace, m .5": {"m": 0.5}}


def runs_of(options):
    """Seed by seed, so that what is there when it is cut off is even."""
    runs = []
    for seed in options.seeds:
        for margin in options.margins:
            for name, own in KINDS[margin].items():
                runs.append(Run(CLAIM, name, margin, own, seed, False, options.steps, warmup=0.125, batch=options.batch))
    return runs


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_data_arguments(parser)
    parser.add_argument("--degradations", nargs="*", choices=[*DEGRADATIONS][1:], default=["resolution 28"], help="of the pairs' images")
    parser.add_argument("--folds", type=int, default=10, help="of the pairs, the first so many")
    parser.add_argument("--out", required=True, help="folder of the scores")
    parser.add_argument("--margins", nargs="+", choices=KINDS, default=["ArcFace", "ElasticArcFace", "MagFace", "AdaFace", "CosFace"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--steps", type=int, default=1080, help="eight epochs of 17,305 images at batch 128")
    parser.add_argument("--batch", type=int, default=128)
    options = parser.parse_args()
    options.start = 0
    torch.set_num_threads(1)
    found = faces(options)
    scores, _, rows = made(found, runs_of(options), options.out, functools.partial(train, out=options.out))
    judge = Judge(CLAIM, found, scores, frozen=False)
    judge.accuracy_table(list(scores))
    last = {margin: list(KINDS[margin])[-1] for margin in options.margins}
    judge.difference_table([(name, last[margin]) for margin in options.margins for name in KINDS[margin] if name != last[margin]])
    if "ArcFace" in options.margins:
        judge.difference_table([(name, last["ArcFace"]) for margin, name in last.items() if margin != "ArcFace"])
    line(["margin, form", "own centre", "nearest other", "collapsed"], head=True)
    for name, own in rows.items():
        means = [f"{np.mean([float(row[number]) for row in own]):.2f}" for number in ("target_cosine", "nearest_negative")]
        line([name, *means, f"{sum(row['outcome'] == 'collapsed' for row in own)} of {len(own)}"])


if __name__ == "__main__":
    main()
