"""Frozen features of a published recogniser, made once: of people to learn from, and of LFW's pairs as they are and degraded.

Heads on top of them train in seconds, so that an experiment can have many seeds. Nothing below the head learns: what such an experiment
finds speaks of the margin as the last layers see it, not of whole networks.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from limen.data import FolderSource, create_augmentation, open_pairs
from limen.data.pairs import PairSet, SubsetSource
from limen.data.synthetic import degrade
from limen.models.embedder import Embedder

BATCH = 16  # the fastest on one core
DEGRADATIONS = {
    "as it is": {},
    **{f"resolution {side}": {"resolution": side} for side in (56, 28, 20, 14)},
    "blur 3": {"blur": 3.0},
    "noise 40": {"noise": 40.0},
    "JPEG 5": {"compression": 5},
}


@dataclass(frozen=True)
class Features:
    """`clean` (N, D) and `augmented` (DRAWS, N, D) raw features of the people to learn from, `label` (N,) int64 from 0 on; `pairs` and
    `tested`, the raw features (I, D) of its images by the name of their degradation."""

    clean: np.ndarray
    augmented: np.ndarray
    label: np.ndarray
    pairs: PairSet
    tested: dict[str, np.ndarray]

    @property
    def classes(self) -> int:
        return int(self.label.max()) + 1

    def size(self):
        """What of the data a row names."""
        tested = {"pairs": len(self.pairs), "degradations": "; ".join(name for name in self.tested if name != "as it is")}
        return {"images": len(self.clean), "draws": len(self.augmented)} | tested


def add_data_arguments(parser):
    """Whom every claim learns from, and the pairs it is judged on."""
    parser.add_argument("--faces", required=True, help="one folder of aligned images per person, none of them among the pairs")
    parser.add_argument("--without", nargs="*", default=[], metavar="PERSON", help="folders of people who are among the pairs too")
    parser.add_argument("--pairs", required=True, help="pairs of other people: LFW's pairs.txt")
    parser.add_argument("--images", help="the folder of the images, where --pairs is a text list")


def add_arguments(parser, steps):
    parser.add_argument("--model", required=True, help="the recogniser whose features stay as they are, such as a published MobileFaceNet")
    add_data_arguments(parser)
    parser.add_argument("--cache", required=True, help="folder for the features, which are made once")
    parser.add_argument("--most", type=int, default=12, help="images of a person to learn from")
    parser.add_argument("--draws", type=int, default=2, help="augmented copies of an image")
    parser.add_argument("--degradations", nargs="+", choices=[*DEGRADATIONS][1:], default=[*DEGRADATIONS][1:], help="of the pairs' images")
    parser.add_argument("--folds", type=int, default=4, help="of the pairs, the first so many")
    parser.add_argument("--out", required=True, help="folder of the scores")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--steps", type=int, default=steps)


def features(options) -> Features:
    """What the options ask for, from the cache where it is there."""
    cache = Path(options.cache) / Path(options.model).stem
    cache.mkdir(parents=True, exist_ok=True)
    embedder = Embedder.load(options.model, threads=1)
    pairs, tested = first_folds(open_pairs(options.pairs, options.images), options.folds), {}
    for name in ("as it is", *options.degradations):
        path = cache / f"pairs-{options.folds}-{name.replace(' ', '-')}.npy"
        tested[name] = kept(path, embedder, pairs.source, degrading(DEGRADATIONS[name]))
    source = FolderSource(options.faces)
    order = np.argsort(source.labels, kind="stable")
    rank = np.arange(len(order)) - np.searchsorted(source.labels[order], source.labels[order])
    chosen = np.sort(order[rank < options.most])
    learnt = [kept(cache / f"clean-{options.most}.npy", embedder, source, lambda image, rng: image, chosen)]
    for draw in range(options.draws):
        learnt.append(kept(cache / f"augmented-{options.most}-{draw}.npy", embedder, source, create_augmentation("adaface"), chosen, draw))
    rows = ~np.isin(source.labels[chosen], [source.class_names.index(name) for name in options.without])
    label = np.unique(source.labels[chosen][rows], return_inverse=True)[1].astype(np.int64)
    return Features(learnt[0][rows], np.stack([found[rows] for found in learnt[1:]]), label, pairs, tested)


def first_folds(pairs: PairSet, count: int) -> PairSet:
    """The first `count` of ten folds of pairs, with the images they need alone."""
    rows = np.arange(len(pairs)) < len(pairs) * count // 10
    numbers = np.unique(np.r_[pairs.first[rows], pairs.second[rows]])
    first, second = (np.searchsorted(numbers, side[rows]) for side in (pairs.first, pairs.second))
    return PairSet(pairs.name, SubsetSource(pairs.source, numbers), first, second, pairs.same[rows], pairs.subject[numbers], folds=count)


def degrading(loss):
    return lambda image, rng: degrade(image, **loss, rng=rng)


def kept(path, embedder, source, change, chosen=None, draw=0):
    """(N, D) raw features of the changed images, without their mirror images; read from `path` where they are there."""
    if not path.exists():
        chosen = np.arange(len(source)) if chosen is None else chosen
        found = []
        for start in range(0, len(chosen), BATCH):
            numbers = chosen[start : start + BATCH]
            images = [change(source.image(int(k)), np.random.default_rng((draw, int(k)))) for k in numbers]
            embeddings = embedder.embed(np.stack(images), flip=False, batch_size=BATCH)
            found.append(embeddings.vectors * embeddings.norms[:, None])
        part = path.with_suffix(".part.npy")
        np.save(part, np.concatenate(found))
        part.rename(path)
        print(f"{path.name}: {len(chosen)} images", flush=True)
    return np.load(path)
