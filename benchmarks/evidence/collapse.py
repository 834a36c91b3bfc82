"""How often does each angular margin collapse, by rate, warm-up, scale and people, and what does the kept form cost elsewhere?

    PYTHONPATH=benchmarks python -m evidence.collapse --model mbf.safetensors --faces FACES --pairs lfw_pairs.txt --images LFW \\
        --cache CACHE --out runs/evidence

Heads that do not start as the recogniser but from drawn weights (bed.py), in the paper's form and in the one that training takes
(past_peak="keep"), one setting changed at a time. Collapsed: in some step the mean cosines to the own centre and to the nearest other were
both below -.3. Prints how many of the seeds collapsed with Clopper and Pearson's interval, and, of seeds where neither form did, the paired
difference in accuracy. Whole networks are tried by benchmarks/collapse.py.
"""

import argparse

from evidence.bed import Run, made
from evidence.features import add_arguments, features
from evidence.tables import Judge, line
from limen import metrics

CLAIM = "collapse"
FORMS = {
    "ArcFace": ("ArcFace", ("paper", "keep")),
    "ElasticFace-Arc": ("ElasticArcFace", ("released", "paper", "keep")),
    "MagFace": ("MagFace", ("paper", "keep")),
    "AdaFace": ("AdaFace", ("paper", "keep")),
    "SphereFace": ("SphereFace", ("paper", "keep")),
}
BASE = dict(lr=0.1, warmup=0.0, scale=64.0, people=0)
SETTINGS = [{}, {"lr": 0.3}, {"lr": 1.0}, {"warmup": 0.3}, {"scale": 32.0}, {"people": 30}]


def title(setting):
    return ", ".join(f"{key} {value:g}" for key, value in setting.items()) or "base"


def runs_of(options):
    runs = []
    for setting in SETTINGS:
        for name, (margin, forms) in FORMS.items():
            for form in forms:
                for seed in options.seeds:
                    own = {"past_peak": form}
                    told = f"{title(setting)}: {name}, {form}"
                    runs.append(Run(CLAIM, told, margin, own, seed, False, options.steps, start="drawn", **BASE | setting))
    return runs


def share(collapsed):
    """Such as "2 of 5 (0.05 to 0.85)", with Clopper and Pearson's interval."""
    low, high = metrics.proportion_interval(sum(collapsed), len(collapsed))
    return f"{sum(collapsed)} of {len(collapsed)} ({float(low):.2f} to {float(high):.2f})"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser, steps=100)
    options = parser.parse_args()
    found = features(options)
    scores, rows = made(found, runs_of(options), options.out)
    turned = {name: [row["outcome"] == "collapsed" for row in own] for name, own in rows.items()}
    line(["setting", *(f"{name}, {form}" for name, (_, forms) in FORMS.items() for form in forms)], head=True)
    for setting in SETTINGS:
        names = [f"{title(setting)}: {name}, {form}" for name, (_, forms) in FORMS.items() for form in forms]
        line([title(setting), *(share(turned[name]) for name in names)])
    judge = Judge(CLAIM, found, scores, rates=False)
    couples = [(name, f"{name.removesuffix('keep')}paper") for name in scores if name.endswith(", keep")]
    judge.difference_table([couple for couple in couples if not any(any(turned[name]) for name in couple)])


if __name__ == "__main__":
    main()
