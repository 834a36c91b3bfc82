"""The class-centre head, forward and backward, in multiples of the three matrix products it cannot do without.

    python benchmarks/head.py [--classes 85742] [--batch 128] [--size 512] [--rounds 7]

One run, interleaved rounds, median. Baselines: `products` is the bare logits, d/dz and d/dW products of the same sizes; `plain` is the
common formulation (one-hot margin matrix, acos and cos over the whole matrix, F.cross_entropy). Memory is the peak of the process above its
level before the call, each implementation in a process of its own; what dense and chunked need beyond the gradient of the centres is their
scratch. Appends rows to benchmarks/results/head.csv.
"""

import argparse
import multiprocessing
import statistics
import time

import torch
import torch.nn.functional as F
from machine import append_row, peak_memory_mib

import limen.margins
from limen import MarginHead


def problem(classes, batch, size):
    torch.manual_seed(0)
    head = MarginHead(classes, size, limen.margins.ArcFace(), implementation="dense")
    return head, torch.randn(batch, size, requires_grad=True), torch.randint(classes, (batch,))


def products(head, features, labels):
    weight, z = head.centers.weight.detach(), features.detach()
    logits = z @ weight.T
    return logits @ weight, logits.T @ z


def plain(head, features, labels):
    """What released heads compute: margin on a one-hot matrix, acos and cos over all of (B, C)."""
    cosine = (F.normalize(features) @ F.normalize(head.centers.weight).T).clamp(-1 + 1e-7, 1 - 1e-7)
    margin = torch.zeros_like(cosine).scatter_(1, labels[:, None], 0.5)
    F.cross_entropy(64.0 * torch.cos(torch.acos(cosine) + margin), labels).backward()


def ours(implementation):
    def step(head, features, labels):
        head.implementation = implementation
        head(features, labels).loss.backward()

    return step


STEPS = {"products": products, "dense": ours("dense"), "chunked": ours("chunked"), "plain": plain}


def timed(step, head, features, labels):
    head.centers.weight.grad = features.grad = None
    start = time.perf_counter()
    step(head, features, labels)
    return time.perf_counter() - start


def memory(name, sizes, queue):
    head, features, labels = problem(*sizes)
    queue.put(peak_memory_mib(lambda: STEPS[name](head, features, labels)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--classes", type=int, default=85742)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--size", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    sizes = (options.classes, options.batch, options.size)
    context, peaks = multiprocessing.get_context("spawn"), {}
    for name in STEPS:
        queue = context.SimpleQueue()
        process = context.Process(target=memory, args=(name, sizes, queue))
        process.start()
        peaks[name] = queue.get()
        process.join()
    head, features, labels = problem(*sizes)
    seconds = {name: [] for name in STEPS}
    for _ in range(options.rounds + 1):
        for name, step in STEPS.items():
            seconds[name].append(timed(step, head, features, labels))
    medians = {name: statistics.median(times[1:]) for name, times in seconds.items()}  # the first round warms up
    gradient = options.classes * options.size * 4 / 2**20
    print(f"B={options.batch} D={options.size} C={options.classes} float32, {torch.get_num_threads()} threads")
    for name, median in medians.items():
        ratio, extra = median / medians["products"], peaks[name] - gradient
        print(
            f"{name:9s} {1e3 * median:8.1f} ms  {ratio:5.2f} x products  peak {peaks[name]:7.1f} MiB, beyond one gradient {extra:7.1f} MiB"
        )
        row = dict(step=name, batch=options.batch, size=options.size, classes=options.classes, milliseconds=round(1e3 * median, 2))
        append_row("head", row | dict(ratio=round(ratio, 3), peak_mib=round(peaks[name], 1), beyond_gradient_mib=round(extra, 1)))


if __name__ == "__main__":
    main()
