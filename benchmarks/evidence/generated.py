"""Does a network trained on generated people alone tell real people apart?

    PYTHONPATH=benchmarks python -m evidence.generated --pairs lfw_pairs.txt --images LFW --out runs/generated

Whole networks: the recipe small/synthetic on so many generated people, by margin and seed, resumed where it was stopped and judged once at
its end on pairs of real people, beside the same network with drawn weights. Prints accuracy and TAR with intervals over people, and the
paired difference from the drawn weights. Appends rows to benchmarks/results/evidence_generated.csv.
"""

import argparse
from pathlib import Path

import torch
from machine import append_row
from runs import difference, figures, judged

import limen
from limen.data import open_pairs
from limen.models.bundle import Architecture, Bundle
from limen.training import load_recipe, train


def trained(options, margin, seed):
    out = Path(options.out) / f"{margin}-{options.people}-{seed}"
    bundle = out / "model.safetensors"
    if not bundle.exists():
        words = [f"--margin.name={margin}", f"--data.options.identities={options.people}", f"--seed={seed}", f"--out={out}"]
        train(load_recipe("small/synthetic", words), resume="auto")
    return bundle


def drawn(options, seed):
    """The same network with the weights that a training would start from."""
    torch.manual_seed(seed)
    size = load_recipe("small/synthetic", []).backbone.embedding_size
    tensors = {f"backbone.{name}": value for name, value in limen.create_backbone("tiny", size).state_dict().items()}
    path = Path(options.out) / f"drawn-{seed}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    limen.Embedder(Bundle(Architecture("tiny", size, {}), tensors)).save(path)
    return path


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", required=True, help="pairs of real people")
    parser.add_argument("--images", help="the folder of the images, where --pairs is a text list")
    parser.add_argument("--out", required=True, help="folder of the runs")
    parser.add_argument("--people", type=int, default=90, help="generated people")
    parser.add_argument("--margins", nargs="+", default=["ArcFace"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    options = parser.parse_args()
    pairs = open_pairs(options.pairs, options.images)
    for seed in options.seeds:
        result, start = judged(drawn(options, seed), pairs)
        runs = {"drawn weights": (result, start)} | {margin: judged(trained(options, margin, seed), pairs) for margin in options.margins}
        for name, (result, correct) in runs.items():
            row = dict(run=name, people=options.people, seed=seed) | figures(result) | dict(less_drawn=difference(pairs, correct, start))
            print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
            append_row("evidence_generated", row)


if __name__ == "__main__":
    main()
