"""What every claim shares: a head trained on frozen features, judged by degradation, kept as one row of results/evidence.csv.

The head is z = BatchNorm(x + MLP(x)), the BatchNorm without scale as AdaFace asks of a backbone. The MLP starts at zero, so that the head
starts as the published recogniser. A seed gives the first weights, centres, batches and draws: two margins of one seed saw the same.
"""

import csv
import hashlib
import json
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from machine import RESULTS, append_row
from scipy.stats import spearmanr
from torch import nn

from evidence.features import DEGRADATIONS
from limen import MarginHead, metrics
from limen.heads import CenterSGD
from limen.margins import NormFace, create_margin, training_options
from limen.training.optimisation import create_optimiser, learning_rate_share, set_learning_rate
from limen.training.recipe import Optimiser

COLLAPSED = -0.3  # both mean cosines of a step below it
WATCHED = (1, 10, 30, 100, 300, 1000)  # steps after which the norms are compared with the known resolution
FAR = 0.01


class Run(NamedTuple):
    """One head. `options` are the margin's own; in training it keeps its largest cost past the peak unless they say otherwise."""

    claim: str
    name: str  # as the table calls it
    margin: str
    options: dict
    seed: int
    augmented: bool = False
    steps: int = 200
    lr: float = 0.1
    warmup: float = 0.1  # of the steps
    scale: float = 64.0
    batch: int = 128

    def key(self):
        return self._asdict() | {"options": json.dumps(self.options, sort_keys=True)}


class Projection(nn.Module):
    """(B, D) frozen features to (B, D) features whose norm is free."""

    def __init__(self, size, hidden=256):
        super().__init__()
        self.learnt = nn.Sequential(nn.Linear(size, hidden), nn.BatchNorm1d(hidden), nn.PReLU(), nn.Linear(hidden, size))
        nn.init.zeros_(self.learnt[-1].weight)
        nn.init.zeros_(self.learnt[-1].bias)
        self.out = nn.BatchNorm1d(size, affine=False)

    def forward(self, features):
        return self.out(self.learnt(features) + features)


def train(features, run):
    """The trained Projection, and what its row says of the training."""
    torch.manual_seed(run.seed)
    clean, label = torch.from_numpy(features.clean), torch.from_numpy(features.label)
    pool = torch.from_numpy(features.augmented) if run.augmented else clean[None]
    rows, classes, size = torch.arange(len(label)), int(label.max()) + 1, clean.shape[1]
    network = Projection(size)
    torch.manual_seed(run.seed + 1)  # centres alike whatever a margin draws
    head = MarginHead(classes, size, NormFace(), run.scale)
    head.margin = create_margin(run.margin, classes, **training_options(run.margin, run.options))
    config = Optimiser(lr=run.lr, schedule="cosine", warmup_epochs=run.warmup * run.steps)
    optimiser, centers = create_optimiser(network, head, config), CenterSGD(head.centers, config.momentum, config.weight_decay)
    watched, lowest, lowest_of_both, follows = [], 1.0, 1.0, {}
    for step in range(run.steps):
        generator = torch.Generator().manual_seed(1000 * run.seed + step)
        drawn = rows[torch.randint(len(rows), (run.batch,), generator=generator)]
        copy = torch.randint(len(pool), (run.batch,), generator=generator)
        share = learning_rate_share(config, step, 1, run.steps)
        set_learning_rate(optimiser, share)
        torch.manual_seed(1000 * run.seed + step)
        output = head(network(pool[copy, drawn]), label[drawn], update=centers.at(run.lr * share))
        optimiser.zero_grad(set_to_none=True)
        output.loss.backward()
        optimiser.step()
        watched.append((output.target_cosine.mean().item(), output.nearest_negative.mean().item()))
        lowest, lowest_of_both = min(lowest, watched[-1][0]), min(lowest_of_both, max(watched[-1]))
        if step + 1 in WATCHED:
            follows[step + 1] = follows_resolution(features, network)
    own, other = np.mean(watched[-10:], axis=0)
    said = {"target_cosine": own, "nearest_negative": other, "lowest_target_cosine": lowest, "lowest_of_both": lowest_of_both}
    return network.eval(), said | {f"norm_and_resolution@{step}": follows.get(step, "") for step in WATCHED}


@torch.inference_mode()
def projected(network, features):
    network.eval()
    found = network(torch.from_numpy(features)).numpy()
    network.train()
    return found


def follows_resolution(features, network, images=400):
    """Spearman's correlation of |z| with the resolution, over `images` of the test's images at each of six resolutions."""
    sides = {name: int(name.split()[1]) for name in features.tested if name.startswith("resolution")} | {"as it is": 112}
    norms = np.concatenate([np.linalg.norm(projected(network, features.tested[name][:images]), axis=1) for name in sides])
    return float(spearmanr(norms, np.repeat(list(sides.values()), len(norms) // len(sides))).statistic)


def scores(features, network=None):
    """Cosines (conditions, P) of the pairs: with one image degraded, and with both; `None` judges the frozen features themselves."""
    vectors = {name: projected(network, found) if network else found for name, found in features.tested.items()}
    vectors = {name: found / np.linalg.norm(found, axis=1, keepdims=True) for name, found in vectors.items()}
    first, second = features.pairs.first, features.pairs.second
    return np.stack([(vectors[a][first] * vectors[b][second]).sum(1) for a, b in sides_of(features.tested).values()])


def sides_of(names):
    """Condition -> the degradation of the first and of the second image, of the names of Features.tested."""
    names = [name for name in names if name != "as it is"]
    one = {f"{name}, one": ("as it is", name) for name in names}
    return {"as they are": ("as it is", "as it is")} | one | {f"{name}, both": (name, name) for name in names}


def judged(features, score):
    """Accuracy in ten (or fewer) folds and TAR at FAR .01 by condition."""
    pairs = features.pairs
    found = {f"{number}: {name}": "" for name in sides_of(DEGRADATIONS) for number in ("accuracy", "tar")}  # a row has all columns
    for name, row in zip(sides_of(features.tested), score, strict=True):
        found[f"accuracy: {name}"] = metrics.kfold_verification(1 - row, pairs.same, pairs.folds).accuracy_mean
        found[f"tar: {name}"] = metrics.tar_at_far(row, pairs.same, [FAR])[0]
    return found


def made(features, runs, out):
    """The runs by name and rising seed: their scores (S, conditions, P), and their rows of evidence.csv.

    A run whose row is there and whose scores lie under OUT is not made again.
    """
    path, size = RESULTS / "evidence.csv", features.size()
    known = {}
    if path.exists():
        with path.open(newline="") as file:
            known = {tuple(row[name] for name in (*Run._fields, *size)): row for row in csv.DictReader(file)}
    Path(out).mkdir(parents=True, exist_ok=True)
    scored, rows = defaultdict(dict), defaultdict(dict)
    for run in runs:
        key = run.key() | size
        words = tuple(str(value) for value in key.values())
        file = Path(out) / f"{run.claim}-{hashlib.sha256(repr(words).encode()).hexdigest()[:16]}.npy"
        if not file.exists() or words not in known:
            network, said = train(features, run)
            score = scores(features, network).astype(np.float32)
            numbers = {name: round(float(value), 5) if value != "" else "" for name, value in (said | judged(features, score)).items()}
            outcome = "collapsed" if said["lowest_of_both"] < COLLAPSED else "trained"
            if words not in known:
                known[words] = key | {"outcome": outcome} | numbers
                append_row("evidence", known[words])
            np.save(file, score)
            print(f"{run.claim}: {run.name}, seed {run.seed}, {outcome}, own {said['target_cosine']:.3f}", flush=True)
        scored[run.name][run.seed], rows[run.name][run.seed] = np.load(file), known[words]
    ordered = {name: [own[seed] for seed in sorted(own)] for name, own in rows.items()}
    return {name: np.stack([own[seed] for seed in sorted(own)]) for name, own in scored.items()}, ordered
