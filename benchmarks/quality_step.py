"""What the quality head adds to a training step of the demo: forward, backward and update with it, over those without it.

    python benchmarks/quality_step.py [--rounds 60]

One run, the two steps in turn, median of the ratios of neighbours. Appends rows to benchmarks/results/quality_step.csv.
"""

import argparse
import statistics
import time

import torch
from machine import append_row

from limen import MarginHead, create_backbone
from limen.heads import CenterSGD
from limen.margins import AdaFace
from limen.quality import QualityHead, certainty_ratio, quality_loss

BATCH, SIZE, PEOPLE, THREADS = 64, 128, 240, 2  # the demo's


def build(with_quality):
    torch.manual_seed(0)
    backbone = create_backbone("tiny", SIZE).to(memory_format=torch.channels_last)
    head = MarginHead(PEOPLE, SIZE, AdaFace(m=0.3))
    update = CenterSGD(head.centers).at(0.05)
    quality = QualityHead(SIZE) if with_quality else None
    parameters = [*backbone.parameters(), *(quality.parameters() if quality else ())]
    optimiser = torch.optim.SGD(parameters, lr=0.05, momentum=0.9, weight_decay=5e-4)

    def step(images, labels):
        features = backbone(images)
        output = head(features, labels, update=update)
        loss = output.loss
        if quality is not None:
            loss = loss + 10 * quality_loss(quality(features), certainty_ratio(output.target_cosine, output.nearest_negative))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()

    return step


def seconds(call, *arguments):
    start = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=60)
    options = parser.parse_args()
    torch.set_num_threads(THREADS)
    images = (torch.rand(BATCH, 3, 112, 112) * 2 - 1).to(memory_format=torch.channels_last)
    labels = torch.randint(PEOPLE, (BATCH,))
    plain, with_quality = build(False), build(True)
    rounds = [(seconds(plain, images, labels), seconds(with_quality, images, labels)) for _ in range(options.rounds)][5:]
    ratio = statistics.median(two / one for one, two in rounds)
    milliseconds = [1e3 * statistics.median(times) for times in zip(*rounds, strict=True)]
    print(f"step {milliseconds[0]:.1f} ms, with the quality head {milliseconds[1]:.1f} ms: {100 * (ratio - 1):+.1f} %")
    append_row("quality_step", dict(batch=BATCH, milliseconds=round(milliseconds[0], 2), ratio=round(ratio, 4)))


if __name__ == "__main__":
    main()
