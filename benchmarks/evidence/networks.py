"""Is AdaFace better where images are bad, in whole networks? AdaFace and ArcFace, with AdaFace's augmentation and without.

    PYTHONPATH=benchmarks python -m evidence.networks --faces FACES --pairs lfw_pairs.txt --images LFW --out runs/evidence

From drawn weights each network makes --start steps, if any, with a plain softmax (NormFace, scale 30, no augmentation but the flip); from
there the cells part, with equal steps. AdaFace is there with the gradient of training and with its exact one. A seed gives them the same
weights, centres, order and draws. The network is that of small/faces at half of the side: the 112 pixels of an image are augmented or
degraded, then reduced to 56. Prints accuracy by degradation, AdaFace less ArcFace, what augmentation gives each and what it gives AdaFace
beyond ArcFace, and how far the norm follows the resolution, with intervals over people and seeds (hierarchy.py).
"""

import argparse
import functools
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

import limen
from evidence.adaface import START, title
from evidence.bed import Run, head_of, learn, made
from evidence.collapse import STRAIGHT, options_of
from evidence.features import DEGRADATIONS, add_data_arguments, degrading, first_folds
from evidence.tables import Judge
from limen.data import FolderSource, create_augmentation, normalise, open_pairs
from limen.data.pairs import PairSet

CLAIM = "networks"
PAPER = {"past_peak": "paper"}
STRAIGHT_THROUGH = options_of(STRAIGHT)  # as training chooses
MARGINS = {"ArcFace": STRAIGHT_THROUGH, "AdaFace": START | STRAIGHT_THROUGH, "AdaFace, exact": START | PAPER}
RELEASED = "AdaFace, exact, released start"  # without augmentation alone
SIDE, SIZE, CLIP = 56, 256, 5.0


@dataclass(frozen=True)
class Faces:
    """`images` (N, 112, 112, 3) and `label` (N,) from 0 on to learn from; `pairs`, and `tested`, its images (I, 56, 56, 3) by
    degradation."""

    images: np.ndarray
    label: np.ndarray
    pairs: PairSet
    tested: dict[str, np.ndarray]
    start: int  # steps before the cells part

    @property
    def classes(self):
        return int(self.label.max()) + 1

    def size(self):
        tested = {"pairs": len(self.pairs), "degradations": "; ".join(name for name in self.tested if name != "as it is")}
        return {"images": len(self.images), "people": self.classes, "start": self.start} | tested


class Network(nn.Sequential):
    """(B, 56, 56, 3) uint8 to (B, 256): `tiny` with a quarter of its maps' area, and so a quarter of its cost."""

    def __init__(self):
        tiny = limen.create_backbone("tiny", SIZE)
        tiny.head[1] = nn.Linear(128 * 16, SIZE, bias=False)
        super().__init__(tiny)

    def forward(self, images):
        return super().forward(normalise(images))


def reduced(image):
    return cv2.resize(image, (SIDE, SIDE), interpolation=cv2.INTER_AREA)


def faces(options):
    """What the options ask for."""
    pairs = first_folds(open_pairs(options.pairs, options.images), options.folds)
    shown = [pairs.source.image(k) for k in range(len(pairs.source))]
    tested = {}
    for name in ("as it is", *options.degradations):
        change = degrading(DEGRADATIONS[name])
        tested[name] = np.stack([reduced(change(image, np.random.default_rng((0, k)))) for k, image in enumerate(shown)])
    source = FolderSource(options.faces)
    left_out = [source.class_names.index(name) for name in options.without]
    chosen = np.flatnonzero(~np.isin(source.labels, left_out))
    label = np.unique(source.labels[chosen], return_inverse=True)[1].astype(np.int64)
    return Faces(np.stack([source.image(int(k)) for k in chosen]), label, pairs, tested, options.start)


def started(found, run):
    """The run that comes before `run`."""
    return run._replace(name="start", margin="NormFace", options={}, augmented=False, steps=found.start, scale=30.0)


def train(found, run, out):
    """A network trained for run.steps after those of its start, whose weights lie under `out`: see bed.learn."""
    start = started(found, run)
    weights = start.key(found.size()).file(out).with_suffix(".safetensors")
    first = 0 if run == start else found.start * run.batch
    last = first + run.steps * run.batch
    change = create_augmentation("adaface" if run.augmented else "flip")
    epochs = range(-(-last // len(found.label)))
    order = np.concatenate([np.random.default_rng((run.seed, epoch)).permutation(len(found.label)) for epoch in epochs])
    torch.manual_seed(run.seed)
    network, head = Network(), head_of(found.classes, SIZE, run)
    both = nn.ModuleDict({"network": network, "centers": head.centers})
    if first:
        both.load_state_dict(load_file(weights))

    def batch_of(step):
        places = range(first + step * run.batch, first + (step + 1) * run.batch)
        drawn = order[places.start : places.stop]
        draws = [np.random.default_rng((run.seed, 0, place)) for place in places]  # both augmentations begin with the same flip
        images = np.stack([reduced(change(found.images[k], rng)) for k, rng in zip(drawn, draws, strict=True)])
        return torch.from_numpy(images), torch.from_numpy(found.label[drawn])

    said, norms = learn(network, head, found, run, batch_of, CLIP)
    if run == start:
        save_file(both.state_dict(), weights)
    return network, said, norms


def runs_of(found, options):
    """Seed by seed, so that what is there when it is cut off is even."""
    runs = []
    for seed in options.seeds:
        cells = [(name, own, augmented) for augmented in (False, True) for name, own in MARGINS.items()]
        for name, own, augmented in [*cells, (RELEASED, PAPER, False)]:
            settings = dict(steps=options.steps, warmup=0.125, batch=options.batch)
            runs.append(Run(CLAIM, title(name, augmented), name.split(",")[0], own, seed, augmented, **settings))
        if found.start:
            runs.insert(-len(cells) - 1, started(found, runs[-1]))
    return runs


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_data_arguments(parser)
    parser.add_argument("--degradations", nargs="+", choices=[*DEGRADATIONS][1:], default=[*DEGRADATIONS][1:], help="of the pairs' images")
    parser.add_argument("--folds", type=int, default=5, help="of the pairs, the first so many")
    parser.add_argument("--out", required=True, help="folder of the scores")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--start", type=int, default=0, help="steps with a plain softmax before the cells part; 0 for none")
    parser.add_argument("--steps", type=int, default=1080)
    parser.add_argument("--batch", type=int, default=128)
    options = parser.parse_args()
    torch.set_num_threads(1)
    found = faces(options)
    scores, norms, _ = made(found, runs_of(found, options), options.out, functools.partial(train, out=options.out))
    judge = Judge(CLAIM, found, scores, frozen=False)
    judge.accuracy_table(list(scores))
    couples = [("AdaFace", "ArcFace"), ("AdaFace, exact", "ArcFace"), ("AdaFace", "AdaFace, exact")]
    margins = [tuple(title(name, augmented) for name in couple) for augmented in (False, True) for couple in couples]
    augmentation = [(title(name, True), title(name, False)) for name in MARGINS]
    judge.difference_table([*margins, (RELEASED, "ArcFace"), (RELEASED, "AdaFace, exact")])
    judge.difference_table(augmentation)
    judge.interaction("AdaFace", "ArcFace", title)
    norms.pop("start", None)  # of fewer steps
    judge.norm_table(norms, margins + augmentation)


if __name__ == "__main__":
    main()
