"""Millions of class centres on one process: a whole step of the head, its update included, in multiples of three bare matrix products.

    python benchmarks/head_scale.py full      [--classes 2000000] [--batch 128] [--size 512] [--rounds 3]
    python benchmarks/head_scale.py bfloat16  [--classes 10000000]
    python benchmarks/head_scale.py samplers  [--classes 1000000]

`full`: float32 centres with momentum, updated inside the backward pass, beside logits, d/dz and d/dW of the same sizes (which are computed
a block of classes at a time, their results overwritten: not even a gradient is written). `bfloat16`: centres alone, without momentum.
`samplers`: PartialFC at rate .1 and Hard Prototype Mining with a subset of 10 % beside the head of all classes; the rebuilding of HPM's
queues is timed apart. Memory is the peak resident size of the process above its start. Rows go to results/head_scale.csv.
"""

import argparse
import statistics
import time

import torch
from machine import append_row, peak_memory_mib

import limen.margins
from limen import MarginHead
from limen.heads import CenterSGD, HardPrototypeMining, PartialFC


def build(options, dtype=torch.float32, momentum=0.9):
    torch.manual_seed(0)
    head = MarginHead(options.classes, options.size, limen.margins.ArcFace(), dtype=dtype)
    return head, CenterSGD(head.centers, momentum).at(0.1)


def batch(options, seed):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(options.batch, options.size, generator=generator).requires_grad_()
    return features, torch.randint(options.classes, (options.batch,), generator=generator)


def step(head, update, options, seed):
    features, labels = batch(options, seed)
    head(features, labels, update=update).loss.backward()


def products(weight, options):
    """The three products over a block of 65,536 classes at a time: their sizes without the memory of their results."""
    features = torch.randn(options.batch, options.size)
    for block in weight.split(65536):
        logits = features @ block.float().T
        _ = logits @ block.float(), logits.T @ features


def seconds(call):
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def record(options, name, median, baseline, peak=None, **more):
    row = dict(step=name, classes=options.classes, size=options.size, batch=options.batch, seconds=round(median, 3))
    row |= dict(ratio=round(median / baseline, 3), peak_mib=None if peak is None else round(peak), note=more.get("note", ""))
    print("  ".join(f"{key} {value}" for key, value in row.items() if value not in (None, "")), flush=True)
    append_row("head_scale", row)


def full(options, dtype=torch.float32, momentum=0.9):
    heads, times = [], {"products": [], "step": []}

    def first_steps():
        heads.append(build(options, dtype, momentum))
        for k in range(2):
            step(*heads[0], options, k)

    peak = peak_memory_mib(first_steps)
    for k in range(options.rounds):
        times["products"].append(seconds(lambda: products(heads[0][0].centers.weight.detach(), options)))
        times["step"].append(seconds(lambda k=k: step(*heads[0], options, k)))
    medians = {name: statistics.median(values) for name, values in times.items()}
    weights = options.classes * options.size * dtype.itemsize * (2 if momentum else 1) / 2**20
    kind = f"{str(dtype).removeprefix('torch.')}, {'with' if momentum else 'without'} momentum"
    record(options, "products", medians["products"], medians["products"], note="three products, results overwritten")
    record(options, f"step, {kind}", medians["step"], medians["products"], peak, note=f"{peak - weights:.0f} MiB beyond the arrays")


def samplers(options):
    """One set of centres, the samplers in turn; HPM's first step builds the graph and is timed apart."""
    head, update = build(options)
    mining = HardPrototypeMining(subset=0.1)
    chosen = {"full": None, "PartialFC .1": PartialFC(0.1), "HPM .1": mining}
    for sampler in chosen.values():
        if sampler is not None:
            sampler.prepare(head.centers)
    times = {name: [] for name in chosen}
    for k in range(options.rounds + 1):
        for name, sampler in chosen.items():
            head.sampler = sampler
            times[name].append(seconds(lambda k=k: step(head, update, options, k)))
    medians = {name: statistics.median(values[1:]) for name, values in times.items()}
    for name, median in medians.items():
        record(options, name, median, medians["full"], note="ratio to the step of all classes")
    share = mining.rebuild_seconds / (mining.rebuild_every * medians["HPM .1"])
    record(options, "HPM graph", mining.rebuild_seconds, medians["HPM .1"], note=f"{share:.3f} of the steps, every {mining.rebuild_every}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("full", "bfloat16", "samplers"))
    parser.add_argument("--classes", type=int)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    options.classes = options.classes or {"full": 2_000_000, "bfloat16": 10_000_000, "samplers": 1_000_000}[options.what]
    if options.what == "full":
        full(options)
    elif options.what == "bfloat16":
        full(options, torch.bfloat16, momentum=0.0)
    else:
        samplers(options)


if __name__ == "__main__":
    main()
