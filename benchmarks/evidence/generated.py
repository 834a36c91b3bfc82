"""Does training on generated people before real ones help, and does a network of generated people alone tell real people apart?

    PYTHONPATH=benchmarks python -m evidence.generated --faces FACES --pairs lfw_pairs.txt --images LFW --out runs/generated

Whole networks (`tiny`, AdaFace, the recipe small/faces with --steps steps at batch 64), each judged once at its end on pairs of other real
people: generated people alone, half of the steps; real people alone; generated people and then, from that network, real people, half of the
steps each. A seed draws weights, order and which real people there are; the generated people are the same for all seeds. A network that is
there is not trained again. Prints accuracy, and paired differences with intervals over people and seeds (hierarchy.py). Appends rows to
benchmarks/results/evidence.csv.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from machine import append_row
from runs import judged

import limen
from evidence import hierarchy, rows
from evidence.features import add_data_arguments, first_folds
from evidence.tables import line
from limen.data import FolderSource, SyntheticFaces, open_pairs
from limen.data.pairs import SubsetSource
from limen.data.synthetic import save_folder
from limen.models.bundle import Architecture, Bundle
from limen.training import load_recipe, train

CLAIM = "generated"
BATCH, SIZE = 64, 256
GENERATED = dict(identities=200, images_per_identity=16, difficulty=0.7)


class SomePeople(SubsetSource):
    """So many people of a folder, drawn at random, none of them `without`; at most `most` images of each."""

    def __init__(self, path, people, seed=0, most=40, without=()):
        folder = FolderSource(path)
        allowed = [number for number, name in enumerate(folder.class_names) if name not in without]
        chosen = np.sort(np.random.default_rng(seed).permutation(allowed)[:people])
        numbers = np.concatenate([np.flatnonzero(folder.labels == person)[:most] for person in chosen])
        self.class_names = [folder.class_names[person] for person in chosen]
        self.labels = np.searchsorted(chosen, folder.labels[numbers]).astype(np.int64)
        super().__init__(folder, numbers)


def trained(options, name, seed, steps, path, people, init=None):
    """The bundle of OUT/NAME-SEED, trained on so many people of a folder unless it is there."""
    out = Path(options.out) / f"{name}-{seed}"
    bundle = out / "model.safetensors"
    if not bundle.exists():
        own = {"people": people, "seed": seed, "without": options.without}
        epochs = steps * BATCH / len(SomePeople(path, **own))
        given = {"epochs": epochs, "optimiser.warmup_epochs": epochs / 8, "batch_size": BATCH, "seed": seed, "out": out, "threads": 1}
        given |= {"data.path": path, "data.reader": "evidence.generated:SomePeople", "data.options": json.dumps(own), "data.workers": 0}
        given |= {"checkpoint_every": 100000} | ({"init": init} if init else {})
        train(load_recipe("small/faces", [f"--{key}={value}" for key, value in given.items()]), resume="auto")
    return bundle


def drawn(options, seed):
    """The same network with drawn weights."""
    torch.manual_seed(seed)
    tensors = {f"backbone.{name}": value for name, value in limen.create_backbone("tiny", SIZE).state_dict().items()}
    path = Path(options.out) / f"drawn-{seed}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    limen.Embedder(Bundle(Architecture("tiny", SIZE, {}), tensors)).save(path)
    return path


def bundles(options, seed):
    """Run -> its bundle."""
    half, folder = options.steps // 2, Path(options.out) / "generated-people"
    if not folder.exists():
        save_folder(SyntheticFaces(**GENERATED), folder)
    generated = trained(options, "generated", seed, half, folder, GENERATED["identities"])
    found = {"drawn weights": drawn(options, seed), "generated alone": generated}
    for people in options.people:
        found[f"{people} real alone"] = trained(options, f"real-{people}", seed, options.steps, options.faces, people)
        found[f"generated, then {people} real"] = trained(options, f"both-{people}", seed, half, options.faces, people, generated)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_data_arguments(parser)
    parser.add_argument("--out", required=True, help="folder of the runs")
    parser.add_argument("--people", type=int, nargs="+", default=[30, 100, 388], help="numbers of real people")
    parser.add_argument("--folds", type=int, default=2, help="of the pairs, the first so many")
    parser.add_argument("--steps", type=int, default=160)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    pairs, correct = first_folds(open_pairs(options.pairs, options.images), options.folds), {}
    for seed in options.seeds:
        for name, bundle in bundles(options, seed).items():
            result, right = judged(bundle, pairs)
            key = rows.key_of(CLAIM, name, seed, {"steps": options.steps, "pairs": len(pairs)})
            numbers = {"accuracy: as they are": result.value("accuracy"), "tar: as they are": result.value("tar@far=0.01")}
            if key not in rows.known(CLAIM):
                rows.keep(key, "trained", numbers)
            print(*key, *numbers.values(), sep="  ", flush=True)
            correct.setdefault(name, []).append(right)
    weights = hierarchy.people_weights(pairs.subject[pairs.first], pairs.subject[pairs.second])

    def interval(value):
        """In percent, over people and seeds."""
        found = 100 * (weights @ np.stack(value, axis=1)) / weights.sum(1, keepdims=True)  # (1 + R, S)
        return hierarchy.interval(found[0], found[1:])

    line(["run", "accuracy"], head=True)
    for name, right in correct.items():
        line([name, "{:.2f} ({:.2f} to {:.2f})".format(*interval(right))])
    couples = [("generated alone", "drawn weights")]
    couples += [(f"generated, then {people} real", f"{people} real alone") for people in options.people]
    line(["run less another", "accuracy"], head=True)
    for name, other in couples:
        value = interval(np.array(correct[name]) - np.array(correct[other]))
        ends = {key: round(end, 3) for key, end in zip(("value", "low", "high"), value, strict=True)}
        row = dict(claim=CLAIM, name=f"{name} less {other}", seeds=len(options.seeds), pairs=len(pairs))
        append_row("evidence_differences", row | dict(number="accuracy", condition="as they are") | ends)
        line([f"{name} less {other}", "{:+.2f} ({:+.2f} to {:+.2f})".format(*value)])


if __name__ == "__main__":
    main()
