"""The margins side by side on real faces: same network, data, schedule and seeds; k-fold accuracy on pairs of people never trained on.

    python benchmarks/real_faces.py --train FACES --pairs pairs.txt --images LFW --out runs/real_faces [--seeds 0 1] [--set epochs=16]

FACES holds one folder of aligned 112x112 images per person. Each run is the recipe small/faces with another margin, resumes where it was
stopped, and is evaluated once, at its end. Prints a table in Markdown: accuracy with its interval, TAR@FAR, and the difference from ArcFace
with the interval of the paired bootstrap, subjects drawn alike for both. Appends rows to benchmarks/results/real_faces.csv.
"""

import argparse
from pathlib import Path

from machine import append_row

from limen import metrics
from limen.models.embedder import Embedder
from limen.protocols import Verification
from limen.report.show import interval_text, metric_text
from limen.training import load_recipe, train

RECIPE = "small/faces"
RUNS = {  # name -> margin, options, scale
    "ArcFace": ("ArcFace", {"m": 0.5}, 64),
    "CosFace": ("CosFace", {"m": 0.35}, 64),
    "ElasticFace-Arc": ("ElasticArcFace", {}, 64),
    "ElasticFace-Cos": ("ElasticCosFace", {}, 64),
    "ElasticFace-Arc+": ("ElasticArcFace", {"std": 0.0175, "plus": True}, 64),
    "ElasticFace-Cos+": ("ElasticCosFace", {"std": 0.025, "plus": True}, 64),
    "AdaM-Softmax": ("AdaMSoftmax", {"strength": 6.0}, 30),
    "AdaFace": ("AdaFace", {}, 64),
    "MagFace": ("MagFace", {}, 64),
    "CurricularFace": ("CurricularFace", {"m": 0.5}, 64),
}


def run(options, protocol, name, seed):
    """The result and the correctness of each pair, of a run that is trained unless it is there already."""
    margin, arguments, scale = RUNS[name]
    recipe = load_recipe(RECIPE, [f"--{setting}" for setting in options.set])
    recipe.out = str(Path(options.out) / f"{name}-{seed}")
    recipe.seed, recipe.data.path, recipe.head.scale = seed, options.train, scale
    recipe.margin.name, recipe.margin.options = margin, arguments
    bundle = Path(recipe.out) / "model.safetensors"
    if not bundle.exists():
        train(recipe, resume="auto")
    embedder = Embedder.load(bundle)
    scores = protocol.score(embedder)
    result = protocol.judge(scores, embedder.description)
    correct = metrics.kfold_verification(scores.distance, protocol.pair_set.same, protocol.pair_set.folds).correct
    training = embedder.bundle.training
    row = dict(margin=name, seed=seed, epochs=recipe.epochs, steps=training["steps"], people=training["classes"], images=training["images"])
    numbers = {key: result.value(key) for key in ("accuracy", "tar@far=0.01", "eer")}
    interval = result.metric("accuracy").interval
    low, high = interval.low, interval.high
    append_row("real_faces", row | {k: round(v, 5) for k, v in numbers.items()} | dict(low=round(low, 5), high=round(high, 5)))
    return result, correct


def difference(protocol, correct, baseline):
    """Mean difference of two models' correctness and its interval over subjects, in percent."""
    pairs = protocol.pair_set
    subjects = pairs.subject[pairs.first], pairs.subject[pairs.second]
    interval = metrics.bootstrap_interval(metrics.weighted_mean(correct.astype(float) - baseline), *subjects)
    return tuple(100 * end.item() for end in (interval.value, interval.low, interval.high))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--train", required=True)
    parser.add_argument("--pairs", required=True)
    parser.add_argument("--images")
    parser.add_argument("--out", required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--only", nargs="+", choices=RUNS, default=list(RUNS), help="these margins alone")
    parser.add_argument("--set", nargs="*", default=[], help="settings of the recipe, such as epochs=16")
    options = parser.parse_args()
    protocol = Verification(options.pairs, options.images)
    for seed in options.seeds:
        print(
            f"\nseed {seed}\n\n| margin | accuracy % | interval | TAR@FAR=.01 % | less ArcFace | interval |\n|---|---|---|---|---|---|",
            flush=True,
        )
        found = {}
        for name in options.only:
            result, found[name] = run(options, protocol, name, seed)
            shown = [name, *(metric_text(result.metric(key), unit=False) for key in ("accuracy", "tar@far=0.01"))]
            shown.insert(2, interval_text(result.metric("accuracy")))
            if "ArcFace" in found:
                value, low, high = difference(protocol, found[name], found["ArcFace"].astype(float))
                shown += [f"{value:+.2f}", f"{low:+.2f} to {high:+.2f}"]
            print(f"| {' | '.join(shown)} |", flush=True)


if __name__ == "__main__":
    main()
