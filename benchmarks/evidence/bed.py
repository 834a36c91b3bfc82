"""What the claims about accuracy share: heads trained on frozen features, one loop for them and for whole networks, judged by degradation.

The head is z = BatchNorm(x + MLP(x)), the BatchNorm without scale as AdaFace asks of a backbone. The MLP starts at zero, so that the head
starts as the published recogniser. A seed gives the first weights, centres, batches and draws: two margins of one seed saw the same.
"""

from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from scipy.stats import spearmanr
from torch import nn

from evidence import rows
from evidence.collapse import FORMS
from evidence.rows import WATCHED, followed, sides_of
from limen import MarginHead, metrics
from limen.heads import CenterSGD
from limen.margins import NormFace, create_margin
from limen.training.optimisation import create_optimiser, learning_rate_share, set_learning_rate
from limen.training.recipe import Optimiser

COLLAPSED = -0.3  # both mean cosines of a step below it
FAR = 0.01
WATCHED_IMAGES = 400  # of the test's, whose norms are compared with the known resolution


class Run(NamedTuple):
    """One head or network. `options` are the margin's own; its gradient is exact and past_peak "keep" unless they say otherwise."""

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

    def key(self, size):
        settings = {name: value for name, value in self._asdict().items() if name not in ("claim", "name", "seed")}
        return rows.key_of(self.claim, self.name, self.seed, settings | size)


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


def train_head(features, run):
    """The trained Projection, and what `learn` says."""
    torch.manual_seed(run.seed)
    clean, label = torch.from_numpy(features.clean), torch.from_numpy(features.label)
    pool = torch.from_numpy(features.augmented) if run.augmented else clean[None]
    network = Projection(clean.shape[1])

    def batch_of(step):
        generator = torch.Generator().manual_seed(1000 * run.seed + step)
        drawn = torch.randint(len(label), (run.batch,), generator=generator)
        copy = torch.randint(len(pool), (run.batch,), generator=generator)
        return pool[copy, drawn], label[drawn]

    return network, *learn(network, head_of(features.classes, clean.shape[1], run), features, run, batch_of)


def head_of(classes, size, run):
    """Its centres are alike whatever the margin draws."""
    torch.manual_seed(run.seed + 1)
    head = MarginHead(classes, size, NormFace(), run.scale)
    chosen = {"past_peak": "keep"} if run.margin in FORMS else {}  # what training chose when most of the rows were made
    head.margin = create_margin(run.margin, classes, **chosen | run.options)
    return head


def learn(network, head, found, run, batch_of, clip=float("inf")):
    """Trains both: what a row says of the training, and the norms of some of the test's images, (watched steps, resolutions, images)."""
    config = Optimiser(lr=run.lr, schedule="cosine", warmup_epochs=run.warmup * run.steps)
    optimiser, centers = create_optimiser(network, head, config), CenterSGD(head.centers, config.momentum, config.weight_decay)
    watched, norms = [], {}
    for step in range(run.steps):
        inputs, label = batch_of(step)
        share = learning_rate_share(config, step, 1, run.steps)
        set_learning_rate(optimiser, share)
        torch.manual_seed(1000 * run.seed + step)
        output = head(network(inputs), label, update=centers.at(run.lr * share))
        optimiser.zero_grad(set_to_none=True)
        output.loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), clip)
        optimiser.step()
        watched.append((output.target_cosine.mean().item(), output.nearest_negative.mean().item()))
        if step + 1 in WATCHED:
            norms[step + 1] = norms_of(network, found.tested)
    norms["end"] = norms_of(network, found.tested)
    own, other = np.mean(watched[-10:], axis=0)
    said = {"made_steps": run.steps, "target_cosine": own, "nearest_negative": other}
    said |= {"lowest_target_cosine": min(own for own, _ in watched), "lowest_of_both": min(map(max, watched))}
    said |= {followed(step): follows_resolution(norm, found.tested) for step, norm in norms.items()}
    return said, np.stack(list(norms.values()))


@torch.inference_mode()
def projected(network, inputs):
    """(I, D) float32, with the running statistics of BatchNorm."""
    network.eval()
    found = np.concatenate([network(torch.from_numpy(inputs[k : k + 512])).numpy() for k in range(0, len(inputs), 512)])
    network.train()
    return found


def resolutions(names):
    """Name of the degradation -> pixels of a side."""
    return {name: int(name.split()[1]) for name in names if name.startswith("resolution")} | {"as it is": 112}


def norms_of(network, tested):
    """(resolutions, WATCHED_IMAGES) norms of the first of the test's images."""
    return np.stack([np.linalg.norm(projected(network, tested[name][:WATCHED_IMAGES]), axis=1) for name in resolutions(tested)])


def follows_resolution(norms, names):
    """Spearman's correlation of the norms (resolutions, images) with the resolution."""
    return float(spearmanr(norms.ravel(), np.repeat(list(resolutions(names).values()), norms.shape[1])).statistic)


def scores(found, network=None):
    """Cosines (conditions, P) of the pairs: with one image degraded, and with both; `None` judges frozen features themselves."""
    vectors = {name: projected(network, inputs) if network else inputs for name, inputs in found.tested.items()}
    vectors = {name: own / np.linalg.norm(own, axis=1, keepdims=True) for name, own in vectors.items()}
    first, second = found.pairs.first, found.pairs.second
    return np.stack([(vectors[a][first] * vectors[b][second]).sum(1) for a, b in sides_of(found.tested).values()])


def judged(found, score):
    """Accuracy in ten (or fewer) folds and TAR at FAR .01 by condition."""
    pairs, told = found.pairs, {}
    for name, row in zip(sides_of(found.tested), score, strict=True):
        told[f"accuracy: {name}"] = metrics.kfold_verification(1 - row, pairs.same, pairs.folds).accuracy_mean
        told[f"tar: {name}"] = metrics.tar_at_far(row, pairs.same, [FAR])[0]
    return told


def made(found, runs, out, train=train_head):
    """The runs by name and rising seed: their scores (S, conditions, P) and norms (S, watched, resolutions, images), and their rows.

    A run whose row is in evidence.csv and whose scores lie under OUT is not made again.
    """
    known = rows.known(runs[0].claim)
    Path(out).mkdir(parents=True, exist_ok=True)
    scored, told = defaultdict(dict), defaultdict(dict)
    for run in runs:
        key = run.key(found.size())
        file = key.file(out)
        if not file.exists() or key not in known:
            network, said, norms = train(found, run)
            network.eval()
            score = scores(found, network).astype(np.float32)
            outcome = "collapsed" if said["lowest_of_both"] < COLLAPSED else "trained"
            if key not in known:
                known[key] = rows.keep(key, outcome, said | judged(found, score))
            np.savez(file, scores=score, norms=norms.astype(np.float32))
            print(f"{run.claim}: {run.name}, seed {run.seed}, {outcome}, own {said['target_cosine']:.3f}", flush=True)
        with np.load(file) as arrays:
            scored[run.name][run.seed] = arrays["scores"], arrays["norms"]
        told[run.name][run.seed] = known[key]
    stacked = {name: [np.stack(part) for part in zip(*(own[seed] for seed in sorted(own)), strict=True)] for name, own in scored.items()}
    told = {name: [own[seed] for seed in sorted(own)] for name, own in told.items()}
    return {name: own[0] for name, own in stacked.items()}, {name: own[1] for name, own in stacked.items()}, told
