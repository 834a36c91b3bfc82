"""What does each form of an angular margin cost or gain in accuracy where nothing collapses or gathers?

    PYTHONPATH=benchmarks python -m evidence.kept_form --model mbf.safetensors --faces FACES --pairs lfw_pairs.txt --images LFW \\
        --cache CACHE --out runs/evidence

Heads on frozen features (bed.py), where no run has collapsed: each angular margin in its FORMS, of which the first is its paper's
(ElasticFace-Arc as released). Prints accuracy and the paired differences with intervals over people and seeds (hierarchy.py).
"""

import argparse

from evidence.bed import Run, made
from evidence.collapse import FORMS, options_of
from evidence.features import add_arguments, features
from evidence.tables import Judge

CLAIM = "kept form"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser, steps=200)
    options = parser.parse_args()
    couples = [(f"{margin}, {form}", f"{margin}, {forms[0]}") for margin, forms in FORMS.items() for form in forms[1:]]
    runs = []
    for seed in options.seeds:
        for margin, forms in FORMS.items():
            for form in forms:
                runs.append(Run(CLAIM, f"{margin}, {form}", margin, options_of(form), seed, False, options.steps))
    found = features(options)
    scores, _, rows = made(found, runs, options.out)
    judge = Judge(CLAIM, found, scores)
    judge.accuracy_table(list(scores))
    judge.difference_table(couples)
    print(f"\n{sum(row['outcome'] == 'collapsed' for own in rows.values() for row in own)} of {len(runs)} runs collapsed")


if __name__ == "__main__":
    main()
