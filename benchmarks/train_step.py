"""A training step of limen over a bare PyTorch loop of the same network, optimiser and batch, with cross-entropy over 10,000 classes.

    python benchmarks/train_step.py [--rounds 7] [--backbones iresnet18 vit_s]

One run on one thread, the two in turn, CPU seconds; the ratio is that of the medians. The bare loop does what a step cannot do without:
normalise the uint8 images, forward, cross-entropy, backward, clip, update. Appends rows to benchmarks/results/train_step.csv.
"""

import argparse
import statistics
import tempfile
import time

import numpy as np
import torch
import torch.nn.functional as F
from machine import append_row
from torch import nn

from limen import create_backbone
from limen.data import Batch, normalise, source
from limen.training import Recipe
from limen.training.distributed import Processes
from limen.training.recipe import Backbone, Data, Margin, Optimiser
from limen.training.run import Run
from limen.training.step import Step

CLASSES, SIZE, BATCH = 10_000, 512, 16
WANTED = 1.05
OPTIMISERS = {"iresnet18": Optimiser(clip_norm=5), "vit_s": Optimiser("AdamW", 5e-4, center_lr=0.1, center_weight_decay=5e-4, clip_norm=1)}


class Nobody:
    """10,000 people whose images nobody reads."""

    labels, class_names = np.arange(CLASSES), [str(k) for k in range(CLASSES)]

    def __len__(self):
        return CLASSES

    def image(self, index):
        return np.zeros((112, 112, 3), np.uint8)

    def locate(self, index):
        return str(index)


def of_limen(name, folder):
    recipe = Recipe(
        out=folder,
        batch_size=BATCH,
        device="cpu",
        data=Data("nobody", workers=0),
        backbone=Backbone(name, SIZE),
        margin=Margin("AdaFace"),
        optimiser=OPTIMISERS[name],
    )
    run = Run(recipe, Processes())
    step = Step(run)

    def one(batch):
        outcome = step(batch)
        run.record(batch, outcome.output)

    return one


def bare(name):
    config = OPTIMISERS[name]
    network = create_backbone(name, SIZE).to(memory_format=torch.channels_last).train()
    classes = nn.Linear(SIZE, CLASSES, bias=False)
    parameters = [*network.parameters(), *classes.parameters()]
    if config.name == "AdamW":
        optimiser = torch.optim.AdamW(parameters, config.lr, weight_decay=config.weight_decay, fused=True)
    else:
        optimiser = torch.optim.SGD(parameters, config.lr, config.momentum, weight_decay=config.weight_decay, fused=True)

    def one(batch):
        loss = F.cross_entropy(classes(network(normalise(batch.images))), batch.labels)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), config.clip_norm)
        optimiser.step()
        loss.item()

    return one


def seconds(call, batch):
    start = time.process_time()
    call(batch)
    return time.process_time() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--backbones", nargs="+", default=list(OPTIMISERS), choices=list(OPTIMISERS))
    options = parser.parse_args()
    torch.set_num_threads(1)
    source.READERS["nobody"] = f"{__name__}:Nobody"
    labels = torch.randint(CLASSES, (BATCH,))
    batch = Batch(torch.randint(256, (BATCH, 112, 112, 3), dtype=torch.uint8), labels, labels, [])
    for name in options.backbones:
        with tempfile.TemporaryDirectory() as folder:
            ours, theirs = of_limen(name, folder), bare(name)
        rounds = [(seconds(ours, batch), seconds(theirs, batch)) for _ in range(options.rounds + 1)][1:]  # the first makes the buffers
        one, other = (statistics.median(times) for times in zip(*rounds, strict=True))
        ratio = one / other
        print(f"{name}: {one:.2f} s, bare {other:.2f} s a step of {BATCH}: {ratio:.3f}  {'ok' if ratio <= WANTED else f'above {WANTED}'}")
        append_row(
            "train_step", {"backbone": name, "batch": BATCH, "seconds": round(one, 3), "bare": round(other, 3), "ratio": round(ratio, 4)}
        )


if __name__ == "__main__":
    main()
