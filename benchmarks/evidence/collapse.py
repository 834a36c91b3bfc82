"""How often does each angular margin collapse, by rate, warm-up, scale and people, in each of its forms?

    PYTHONPATH=benchmarks python -m evidence.collapse --faces FACES

Features that come from a published recogniser never collapsed, so these networks start from drawn weights: two convolutions on real faces
of 28 pixels, one linear layer, and BatchNorm with a bias as in iresnets. No gradient is clipped. Every setting differs from the base in one
number. A run ends when it is decided: learnt is a mean cosine to the own centre of .25, collapsed is below -.3 to the own centre and to
the nearest other. Prints the collapsed runs of each form with Clopper and Pearson's interval. One row a run in
benchmarks/results/evidence.csv; a run whose row is there is not made again.
"""

import argparse

import cv2
import numpy as np
import torch
from torch import nn

from evidence import rows
from limen import MarginHead, metrics
from limen.data import FolderSource
from limen.heads import CenterSGD
from limen.margins import NormFace, create_margin
from limen.training.optimisation import create_optimiser, learning_rate_share, set_learning_rate
from limen.training.recipe import Optimiser

CLAIM = "collapse"
LEARNT, COLLAPSED = 0.25, -0.3
SIDE, EMBEDDING, BATCH = 28, 128, 64
STRAIGHT = "straight through"
FORMS = {  # past_peak with the exact gradient, or the paper's form with a slope of 1 in the cosine
    "ArcFace": ("paper", "keep", STRAIGHT),
    "ElasticArcFace": ("released", "keep", STRAIGHT),
    "MagFace": ("paper", "keep", STRAIGHT),
    "AdaFace": ("paper", "keep", STRAIGHT),
    "CurricularFace": ("paper", "keep", STRAIGHT),
    "SphereFace": ("paper", "keep", STRAIGHT),
}
BASE = {"lr": 0.1, "warmup": 0.5, "scale": 64.0, "people": 90}
SETTINGS = [{}, {"lr": 0.03}, {"lr": 0.3}, {"warmup": 0.0}, {"scale": 30.0}, {"people": 20}]


def options_of(form):
    """The options of a margin in one of its FORMS; a gradient that is not named is exact."""
    return {"past_peak": "paper", "gradient": "straight_through"} if form == STRAIGHT else {"past_peak": form}


class SmallNet(nn.Sequential):
    """(B, 3, 28, 28) -> (B, 128)."""

    def __init__(self):
        layers = [nn.Conv2d(3, 32, 4, 4, bias=False), nn.BatchNorm2d(32), nn.ReLU()]
        layers += [nn.Conv2d(32, 64, 3, 2, 1, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.Flatten()]
        super().__init__(*layers, nn.Linear(64 * 16, EMBEDDING, bias=False), nn.BatchNorm1d(EMBEDDING))
        for module in self:
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self[-1].weight.requires_grad_(False)


def small_faces(path, people, most=40):
    """(N, 3, 28, 28) in [-1, 1] and (N,) labels of the first people of a folder."""
    source = FolderSource(path)
    numbers = np.concatenate([np.flatnonzero(source.labels == person)[:most] for person in range(people)])
    images = [cv2.resize(source.image(int(number)), (SIDE, SIDE), interpolation=cv2.INTER_AREA) for number in numbers]
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 127.5 - 1
    return pixels.contiguous(), torch.from_numpy(source.labels[numbers].astype(np.int64))


def train(faces, margin, form, seed, lr, warmup, scale, people, steps):
    """The outcome, and the numbers of its row."""
    torch.manual_seed(seed)
    pixels, label = faces
    rows = torch.nonzero(label < people)[:, 0]
    network = SmallNet()
    torch.manual_seed(seed + 1)  # centres alike whatever a margin draws
    head = MarginHead(people, EMBEDDING, NormFace(), scale)
    head.margin = create_margin(margin, people, **options_of(form))
    config = Optimiser(lr=lr, schedule="constant", warmup_epochs=warmup * steps)
    optimiser, centers = create_optimiser(network, head, config), CenterSGD(head.centers, config.momentum, config.weight_decay)
    lowest, outcome = 1.0, "undecided"
    for step in range(steps):
        drawn = rows[torch.randint(len(rows), (BATCH,), generator=torch.Generator().manual_seed(1000 * seed + step))]
        share = learning_rate_share(config, step, 1, steps)
        set_learning_rate(optimiser, share)
        torch.manual_seed(1000 * seed + step)
        output = head(network(pixels[drawn]), label[drawn], update=centers.at(lr * share))
        optimiser.zero_grad(set_to_none=True)
        output.loss.backward()
        optimiser.step()
        own, other = output.target_cosine.mean().item(), output.nearest_negative.mean().item()
        lowest = min(lowest, own)
        if own >= LEARNT or max(own, other) < COLLAPSED:
            outcome = "learnt" if own >= LEARNT else "collapsed"
            break
    numbers = {"target_cosine": own, "nearest_negative": other, "lowest_target_cosine": lowest}
    return outcome, {"made_steps": step + 1} | numbers


def title(setting):
    return ", ".join(f"{key} {value:g}" for key, value in setting.items()) or "base"


def share(outcomes):
    """Such as "2 of 5 (0.05 to 0.85), 1 undecided", with Clopper and Pearson's interval."""
    collapsed, undecided = outcomes.count("collapsed"), outcomes.count("undecided")
    low, high = metrics.proportion_interval(collapsed, len(outcomes))
    told = f"{collapsed} of {len(outcomes)} ({float(low):.2f} to {float(high):.2f})"
    return f"{told}, {undecided} undecided" if undecided else told


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--faces", required=True, help="one folder of aligned images per person")
    parser.add_argument("--people", type=int, default=BASE["people"], help="the first so many, in every setting but that of fewer")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(10)))
    parser.add_argument("--steps", type=int, default=300, help="after which a run counts as undecided")
    options = parser.parse_args()
    base = BASE | {"people": options.people}
    faces, known, outcomes = small_faces(options.faces, options.people), rows.known(CLAIM), {}
    for seed in options.seeds:
        for setting in SETTINGS:
            for margin, form in ((margin, form) for margin, forms in FORMS.items() for form in forms):
                settings = base | setting
                key = rows.key_of(CLAIM, f"{margin}, {form}", seed, settings | {"limit": options.steps})
                if key not in known:
                    known[key] = rows.keep(key, *train(faces, margin, form, seed, **settings, steps=options.steps))
                    print(*key, known[key]["outcome"], known[key]["made_steps"], sep="  ", flush=True)
                outcomes.setdefault((title(setting), margin, form), []).append(known[key]["outcome"])
    names = [title(setting) for setting in SETTINGS]
    print(f"\n| margin, form | {' | '.join(names)} | all |\n|{'---|' * (len(names) + 2)}")
    for margin, form in ((margin, form) for margin, forms in FORMS.items() for form in forms):
        found = [outcomes[name, margin, form] for name in names]
        print(f"| {margin}, {form} | {' | '.join(map(share, [*found, [outcome for own in found for outcome in own]]))} |")


if __name__ == "__main__":
    main()
