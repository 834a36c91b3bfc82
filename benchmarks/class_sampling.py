"""What choosing the classes of a step costs: select, observe, and the graph of Hard Prototype Mining, in multiples of a step's products.

    python benchmarks/class_sampling.py [--classes 1000000] [--batch 128] [--size 512] [--share 0.1] [--rounds 7]

Baseline: the bare logits, d/dz and d/dW products over the chosen share of the classes, without which no step is possible, interleaved in
the same run; medians. A graph serves the steps until the next. Centres are families of 50 alike. Recall is the share of the exact 64
nearest classes that the graph has, for 256 classes. Appends rows to benchmarks/results/class_sampling.csv.
"""

import argparse
import statistics
import time

import torch
import torch.nn.functional as F
from machine import append_row, peak_memory_mib

from limen.heads.centers import ClassCenters
from limen.heads.samplers import HardPrototypeMining, PartialFC

BLOCK = 50_000  # rows made or compared at a time


def family_centers(classes, size):
    centers, family = ClassCenters(classes, size), F.normalize(torch.randn(max(1, classes // 50), size))
    for rows in centers.weight.data.split(BLOCK):
        torch.add(family[torch.randint(len(family), (len(rows),))], F.normalize(torch.randn_like(rows)), out=rows)
    return centers


def recall(centers, queues):
    rows = torch.randint(len(queues), (256,))
    weight = centers.weight.data
    query = F.normalize(weight[rows])
    cosine = torch.cat([query @ F.normalize(part).T for part in weight.split(BLOCK)], 1).scatter_(1, rows[:, None], -2)
    best = cosine.topk(queues.shape[1], dim=1).indices
    return (queues[rows].long()[:, :, None] == best[:, None, :]).any(1).float().mean().item()


def products(features, chosen):
    logits = features @ chosen.T
    return logits, logits @ chosen, logits.T @ features


def timed(seconds, call, *arguments):
    """What the call gives; the seconds it took go to the list."""
    start = time.perf_counter()
    result = call(*arguments)
    seconds.append(time.perf_counter() - start)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--classes", type=int, default=1_000_000)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--share", type=float, default=0.1)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    torch.manual_seed(0)
    centers = family_centers(options.classes, options.size)
    weight = centers.weight.data
    partial, mining = PartialFC(options.share), HardPrototypeMining(subset=options.share)
    mining.prepare(centers)
    labels = torch.randint(options.classes, (options.batch,))
    peak = peak_memory_mib(lambda: mining.select(labels, centers), interval=0.01)  # it is timed too: watch it seldom
    found = recall(centers, mining.queues)
    seconds = {"products": [], "PartialFC select": [], "mining select": [], "mining observe": []}
    for _ in range(options.rounds + 1):
        labels = torch.randint(options.classes, (options.batch,))
        features = F.normalize(weight[labels] + torch.randn(options.batch, options.size) / 16)
        timed(seconds["PartialFC select"], partial.select, labels, centers)
        rows = timed(seconds["mining select"], mining.select, labels, centers)
        logits, *_ = timed(seconds["products"], products, features, weight[rows])
        hardest, place = logits.topk(mining.hardest, dim=1)
        recognised = torch.full((options.batch,), -1.0)  # none is: the most that there can be to do
        timed(seconds["mining observe"], mining.observe, labels, recognised, hardest, rows[place], centers)
    medians = {name: statistics.median(times[1:]) for name, times in seconds.items()}  # the first round warms up
    medians["graph"] = mining.rebuild_seconds
    medians["graph per step"] = mining.rebuild_seconds / mining.rebuild_every
    print(f"B={options.batch} D={options.size} C={options.classes} share={options.share} float32, {torch.get_num_threads()} threads")
    print(f"graph: recall {found:.3f}, one every {mining.rebuild_every} steps, peak {peak:.0f} MiB above the start")
    row = dict(batch=options.batch, size=options.size, classes=options.classes, share=options.share, threads=torch.get_num_threads())
    for name, median in medians.items():
        ratio = median / medians["products"]
        print(f"{name:17s} {1e3 * median:10.1f} ms  {ratio:8.3f} x products")
        measured = dict(part=name, milliseconds=round(1e3 * median, 2), ratio=round(ratio, 4))
        is_graph = name == "graph"
        extra = dict(recall=round(found, 4) if is_graph else "", peak_mib=round(peak) if is_graph else "")
        append_row("class_sampling", row | measured | extra)


if __name__ == "__main__":
    main()
