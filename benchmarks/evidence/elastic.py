"""Is a random margin better than a fixed one? At equal means: the spread swept, the "+" form, and its ranked and released assignments.

    PYTHONPATH=benchmarks python -m evidence.elastic --model mbf.safetensors --faces FACES --pairs lfw_pairs.txt --images LFW \\
        --cache CACHE --out runs/evidence

Every run is a head on frozen features (bed.py) with equal steps. A spread of 0 is ArcFace or CosFace with the same mean margin. Prints
accuracy by degradation and paired differences from it, and of ranked from released, with intervals over people and seeds (hierarchy.py).
"""

import argparse

from evidence.bed import Run, made
from evidence.features import add_arguments, features
from evidence.tables import Judge

CLAIM = "elastic"
FORMS = {"Arc": ("ElasticArcFace", 0.0175), "Cos": ("ElasticCosFace", 0.025)}  # and the spread of the paper's "+" form
SPREADS = (0.0, 0.025, 0.05, 0.1)


def runs_of(options):
    runs = []
    for seed in options.seeds:
        for form, (margin, of_plus) in FORMS.items():
            settings = {f"{form}, std {std:g}": {"std": std} for std in SPREADS}
            for std in (of_plus, 0.1):
                for assignment in ("ranked", "released"):
                    settings[f"{form}+, std {std:g}, {assignment}"] = {"std": std, "plus": True, "assignment": assignment}
            runs += [Run(CLAIM, name, margin, own, seed, options.augmented, options.steps) for name, own in settings.items()]
    return runs


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser, steps=200)
    parser.add_argument("--augmented", action="store_true", help="with AdaFace's augmentation; ElasticFace's recipe has none")
    options = parser.parse_args()
    found = features(options)
    scores, _, _ = made(found, runs_of(options), options.out)
    judge = Judge(CLAIM, found, scores)
    judge.accuracy_table(list(scores))
    fixed = {form: f"{form}, std 0" for form in FORMS}
    judge.difference_table([(name, fixed[name[:3]]) for name in scores if name not in fixed.values()])
    judge.difference_table([(name, name.replace("ranked", "released")) for name in scores if name.endswith("ranked")])


if __name__ == "__main__":
    main()
