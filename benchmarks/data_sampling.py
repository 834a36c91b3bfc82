"""Adaptive Data Sampling: a million draws from a hundred million weights, beside one cumulative sum over all of them; and what the sampler
does in a step, as a share of a training step of the recipe small/synthetic.

    python benchmarks/data_sampling.py [--count 100000000] [--draws 1000000] [--rounds 5]

One run, medians. The training step is forward, backward and update on images that are ready; the sampler's share is every plan and
every observation of whole periods, draws included, on the demo's 2,000 images and on `--count`. Appends rows to
benchmarks/results/data_sampling.csv.
"""

import argparse
import statistics
import time

import numpy as np
import torch
from machine import append_row

from limen import MarginHead, create_backbone
from limen.data import AdaptiveDataSampler
from limen.data.feed.weighted_draw import WeightTable
from limen.margins import AdaFace

BATCH, PERSONS, IMAGES, THREADS = 64, 100, 2000, 2  # the demo recipe's
PERIODS = 3
WANTED_SECONDS = 2
WANTED_SHARE = 0.01


def seconds_of(call) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def whole_cumulative_sum(weights: np.ndarray, draws: int) -> None:
    cumulative = np.cumsum(weights, dtype=np.float64)
    np.searchsorted(cumulative, np.sort(np.random.default_rng(1).random(draws)) * cumulative[-1], side="right")


def measure_draws(count: int, draws: int, rounds: int) -> None:
    table = WeightTable(count, np.random.default_rng(0).uniform(0.01, 4, count))
    calls = {
        "one cumulative sum": lambda: whole_cumulative_sum(table.values, draws),
        "sums of blocks": lambda: table.draw(draws, np.random.default_rng(1)),
    }
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds + 1):
        for name, call in calls.items():
            seconds[name].append(seconds_of(call))
    medians = {name: statistics.median(times[1:]) for name, times in seconds.items()}  # the first round warms up
    for name, median in medians.items():
        ratio = median / medians["one cumulative sum"]
        verdict = "ok" if median < WANTED_SECONDS else f"above {WANTED_SECONDS} s"
        print(f"{draws} draws from {count} weights, {name:18s} {median:6.3f} s  {ratio:5.2f} x one cumulative sum  {verdict}")
        append_row(
            "data_sampling", {"what": f"draw, {name}", "count": count, "milliseconds": round(1e3 * median, 3), "ratio": round(ratio, 4)}
        )


def training_step():
    torch.manual_seed(0)
    backbone = create_backbone("tiny", embedding_size=128).to(memory_format=torch.channels_last)
    head = MarginHead(PERSONS, 128, AdaFace(m=0.3))
    optimiser = torch.optim.SGD([*backbone.parameters(), *head.parameters()], lr=0.05, momentum=0.9)
    images = torch.randn(BATCH, 3, 112, 112).to(memory_format=torch.channels_last)
    labels = torch.randint(PERSONS, (BATCH,))

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        head(backbone(images), labels).loss.backward()
        optimiser.step()

    return step


def sampler_seconds(count: int) -> float:
    """Of one step, on average over PERIODS periods in which all plans are drawn ones."""
    sampler = AdaptiveDataSampler(count, BATCH, seed=0, total_steps=10**6, start_accuracy=0)
    correct, cosine = torch.rand(BATCH) < 0.9, torch.rand(BATCH)
    rng = np.random.default_rng(0)
    for _ in range(2 * sampler.period):
        sampler.observe(torch.from_numpy(rng.integers(count, size=BATCH)), correct, cosine)
    plans = iter(sampler)
    start = time.perf_counter()
    for _ in range(PERIODS * sampler.period):
        sampler.observe(torch.from_numpy(next(plans).indices), correct, cosine)
    return (time.perf_counter() - start) / (PERIODS * sampler.period)


def measure_bookkeeping(count: int, rounds: int) -> None:
    step = training_step()
    step()
    training = statistics.median(seconds_of(step) for _ in range(4 * rounds))
    print(f"a training step of the demo recipe {1e3 * training:8.2f} ms")
    append_row("data_sampling", {"what": "training step", "count": IMAGES, "milliseconds": round(1e3 * training, 3), "ratio": 1})
    for size in (IMAGES, count):
        sampling = sampler_seconds(size)
        share = sampling / training
        verdict = "ok" if share < WANTED_SHARE else f"above {WANTED_SHARE:.0%}"
        print(f"the sampler in a step, {size:9d} images {1e3 * sampling:8.4f} ms  {share:.3%} of it  {verdict}")
        append_row("data_sampling", {"what": "sampler", "count": size, "milliseconds": round(1e3 * sampling, 4), "ratio": round(share, 5)})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10**8, help="weights")
    parser.add_argument("--draws", type=int, default=10**6)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.set_num_threads(THREADS)
    measure_bookkeeping(options.count, options.rounds)
    measure_draws(options.count, options.draws, options.rounds)


if __name__ == "__main__":
    main()
