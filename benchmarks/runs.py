"""What the experiments share: a training run that is made once and resumed where it was stopped, and models compared on the same pairs."""

import argparse
from pathlib import Path

from limen import metrics
from limen.models.embedder import Embedder
from limen.protocols import Verification
from limen.training import load_recipe, train

RECIPE = "small/faces"


def arguments(description, seeds, settings, pairs=True):
    """A parser with what every experiment takes."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--faces", required=True, help="one folder of aligned images per person")
    if pairs:
        parser.add_argument("--pairs", required=True, help="pairs of people who are not among the faces")
        parser.add_argument("--images", help="the folder of the images, where --pairs is a text list")
    parser.add_argument("--out", required=True, help="folder of the runs")
    parser.add_argument("--seeds", type=int, nargs="+", default=seeds)
    parser.add_argument("--set", nargs="*", default=settings, help="settings of the recipe small/faces")
    return parser


def trained(options, name, seed, *settings):
    """The bundle of OUT/NAME-SEED, trained with the given settings unless it is there."""
    words = [f"--{setting}" for setting in (*options.set, *settings)]
    out = Path(options.out) / f"{name}-{seed}"
    bundle = out / "model.safetensors"
    if not bundle.exists():
        words += [f"--out={out}", f"--seed={seed}"]
        if not any(word.startswith("--data.path") for word in words):
            words.append(f"--data.path={options.faces}")
        train(load_recipe(RECIPE, words), resume="auto")
    return bundle


def judged(bundle, pairs):
    """The result of a bundle on a PairSet, and whether each pair was decided rightly."""
    protocol = Verification(pairs)
    embedder = Embedder.load(bundle)
    scores = protocol.score(embedder)
    correct = metrics.kfold_verification(scores.distance, pairs.same, pairs.folds).correct
    return protocol.judge(scores, embedder.description), correct.astype(float)


def difference(pairs, one, other):
    """Mean of one less other in percent, with its interval over subjects: "+0.31 (-0.20 to +0.84)"."""
    subjects = pairs.subject[pairs.first], pairs.subject[pairs.second]
    interval = metrics.bootstrap_interval(metrics.weighted_mean(one - other), *subjects)
    value, low, high = (100 * end.item() for end in (interval.value, interval.low, interval.high))
    return f"{value:+.2f} ({low:+.2f} to {high:+.2f})"


def figures(result):
    """Accuracy with its interval, and TAR, as a row of a results file."""
    interval = result.metric("accuracy").interval
    ends = {"low": interval.low, "high": interval.high}
    numbers = {"accuracy": result.value("accuracy"), **ends, "tar@far=0.01": result.value("tar@far=0.01")}
    return {name: "" if value is None else round(float(value), 4) for name, value in numbers.items()}
