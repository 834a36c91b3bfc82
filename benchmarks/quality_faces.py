"""Learned quality on real faces: does it foretell the errors of another recogniser better than norm, sharpness and chance?

    python benchmarks/quality_faces.py --faces FACES --pairs pairs.txt --images LFW --recogniser mobilefacenet.onnx --out runs/quality

A small network is trained with CR-FIQA's quality head on people outside the pairs, in five ways: on the images as they are, and with a
degraded copy beside every clean one, drawn anew each time; the paper's ratio and the release's, with all people and with 100, all for the
same number of steps. In two more, class centres and a quality head are trained on top of the recogniser's own features, which stay as
they are: the quality is then its own, as its feature norm is. All are judged by error versus discard of the recogniser, on the pairs as
they are and with half of the images degraded by known blur, resolution, noise or compression. Prints areas with intervals over subjects
and the paired difference from the first quality. Appends rows to benchmarks/results/quality_faces.csv and, of the rank correlation with
the known degradations, to quality_degradations.csv.
"""

import dataclasses
from pathlib import Path

import numpy as np
import torch
from machine import append_row
from runs import RECIPE, arguments, trained
from scipy.stats import spearmanr

from limen import MarginHead, margins
from limen.data import FolderSource, open_pairs, open_source
from limen.data.synthetic import degrade
from limen.inference.measures import create_measure
from limen.models.embedder import Embedder
from limen.protocols import ErrorVersusDiscard, random_orders
from limen.quality import QualityHead, certainty_ratio, quality_loss
from limen.recogniser import Embeddings
from limen.training import load_recipe

SHARE, COPIES = 0.5, 3
KINDS = ("degraded", "as they are")  # images of the pairs
WAYS = {  # ratio, reader; the first is the one that all others are compared with
    "CR-FIQA": ("paper", "folder"),
    "CR-FIQA degraded copies": ("paper", "quality_faces:DegradedCopies"),
    "CR-FIQA released ratio": ("released", "folder"),
    "CR-FIQA 100 people": ("paper", "quality_faces:HundredPeople"),
    "CR-FIQA released ratio 100 people": ("released", "quality_faces:HundredPeople"),
}
ON_TOP = ("CR-FIQA on top", "CR-FIQA on top degraded copies")


def degraded(image, kind, amount, rng):
    """Blur of 1 to 5 pixels, 12 to 56 pixels of resolution, noise of 10 to 60 levels or JPEG quality 2 to 30, by `amount` in [0, 1]."""
    loss = {
        "blur": {"blur": 1 + 4 * amount},
        "resolution": {"resolution": round(56 - 44 * amount)},
        "noise": {"noise": 10 + 50 * amount, "rng": rng},
        "compression": {"compression": round(30 - 28 * amount)},
    }
    return degrade(image, **loss[kind])


class Degraded:
    """A source, half of whose images are degraded: `kind` (N,) says how ("none" for the other half), `amount` (N,) how much."""

    KINDS = ("blur", "resolution", "noise", "compression")

    def __init__(self, source, seed=0):
        rng = np.random.default_rng(seed)
        self.source, self.seed = source, seed
        self.kind = np.where(rng.random(len(source)) < SHARE, rng.choice(self.KINDS, len(source)), "none")
        self.amount = np.where(self.kind == "none", 0.0, rng.random(len(source)))
        self.locate = source.locate

    def __len__(self):
        return len(self.source)

    def image(self, index):
        image = self.source.image(index)
        if self.kind[index] == "none":
            return image
        return degraded(image, self.kind[index], float(self.amount[index]), np.random.default_rng((self.seed, index)))


class DegradedCopies:
    """A folder of faces COPIES times over, and as many times with every image degraded, each time by another draw."""

    def __init__(self, path):
        self.folder = FolderSource(path)
        self.labels, self.class_names = np.tile(self.folder.labels, 2 * COPIES), self.folder.class_names

    def __len__(self):
        return len(self.labels)

    def image(self, index):
        copy, number = divmod(index, len(self.folder))
        image, rng = self.folder.image(number), np.random.default_rng((1000, index))
        return degraded(image, rng.choice(Degraded.KINDS), rng.random(), rng) if copy % 2 else image

    def locate(self, index):
        return self.folder.locate(index % len(self.folder))


class HundredPeople:
    """A hundred people of a folder, drawn at random."""

    def __init__(self, path):
        self.folder = FolderSource(path)
        chosen = np.sort(np.random.default_rng(0).choice(len(self.folder.class_names), 100, replace=False))
        self.numbers = np.flatnonzero(np.isin(self.folder.labels, chosen))
        self.class_names = [self.folder.class_names[person] for person in chosen]
        self.labels = np.searchsorted(chosen, self.folder.labels[self.numbers])

    def __len__(self):
        return len(self.labels)

    def image(self, index):
        return self.folder.image(self.numbers[index])

    def locate(self, index):
        return self.folder.locate(self.numbers[index])


class Remembering:
    """A recogniser that embeds no image twice, though several qualities ask for it."""

    def __init__(self, recogniser):
        self.recogniser, self.description, self.known = recogniser, recogniser.description, {}

    def embed(self, images, flip=None):
        keys = [(hash(image.tobytes()), flip is not False) for image in images]
        if fresh := [place for place, key in enumerate(keys) if key not in self.known]:
            found = self.recogniser.embed(images[fresh], flip)
            self.known |= {keys[place]: pair for place, *pair in zip(fresh, found.vectors, found.norms, strict=True)}
        vectors, norms = zip(*(self.known[key] for key in keys), strict=True)
        return Embeddings(np.stack(vectors), np.array(norms))


class OnTop:
    """CR-FIQA's quality head on a recogniser's own features: class centres under ArcFace's margin and the head learn, the network does not.

    `features` (N, D) raw, of images without their mirror images; `labels` (N,).
    """

    def __init__(self, name, recogniser, features, labels, seed, steps=800, batch=512, lr=0.1, quality_lr=0.002):
        self.name, self.recogniser = name, recogniser
        torch.manual_seed(seed)
        head = MarginHead(int(labels.max()) + 1, features.shape[1], margins.ArcFace())
        self.head = QualityHead(features.shape[1])
        optimiser = torch.optim.SGD([{"params": part.parameters()} for part in (head, self.head)], lr, momentum=0.9, weight_decay=5e-4)
        for step in range(steps):
            for group, peak in zip(optimiser.param_groups, (lr, quality_lr), strict=True):
                group["lr"] = peak * (1 + np.cos(np.pi * step / steps)) / 2
            drawn = torch.randint(len(labels), (batch,))
            output = head(features[drawn], labels[drawn])
            ratio = certainty_ratio(output.target_cosine, output.nearest_negative)
            optimiser.zero_grad()
            (output.loss + 10 * quality_loss(self.head(features[drawn]), ratio)).backward()
            optimiser.step()

    @torch.inference_mode()
    def score(self, images, files=None):
        return self.head(raw_features(self.recogniser, images)).double().numpy()


def raw_features(recogniser, images, flip=True):
    found = recogniser.embed(images, flip)
    return torch.from_numpy(found.vectors * found.norms[:, None])


def on_top(options, recogniser, seed):
    """The two qualities on top of the recogniser: of images as they are, and with a degraded copy of each besides."""
    source, cache = DegradedCopies(options.faces), Path(options.out) / f"features-{Path(options.recogniser).stem}.npy"
    both = 2 * len(source.folder)
    if not cache.exists():
        blocks = (np.stack([source.image(k) for k in range(start, min(start + 256, both))]) for start in range(0, both, 256))
        np.save(cache, torch.cat([raw_features(recogniser.recogniser, images, flip=False) for images in blocks]))
    features, labels = torch.from_numpy(np.load(cache)), torch.from_numpy(source.labels[:both])
    counts = dict(zip(ON_TOP, (both // 2, both), strict=True))
    return {way: OnTop(way, recogniser, features[:count], labels[:count], seed) for way, count in counts.items() if way in options.ways}


def judge(options, seed, name, pairs, qualities, recogniser):
    augment = next((word.split("=")[1] for word in options.set if word.startswith("data.augment=")), "flip")
    protocol = ErrorVersusDiscard(pairs, qualities | {"random": random_orders(len(pairs.source))}, fmr=(1e-2, 1e-3))
    for result in protocol.run(recogniser):
        quality = result.discarding.quality
        for metric in (metric for metric in result.metrics if metric.quantity == "fnmr" or "normalised" in metric.variant):
            ends = (metric.interval.low, metric.interval.high) if metric.interval else (np.nan, np.nan)
            value, low, high = (np.nan if number is None else round(number, 6) for number in (metric.value, *ends))
            row = dict(images=name, augment=augment, seed=seed, quality=quality, metric=metric.key, value=value, low=low, high=high)
            print("  ".join(f"{column} {cell}" for column, cell in row.items()), flush=True)
            append_row("quality_faces", row)
    if isinstance(pairs.source, Degraded):
        for way in qualities:
            for kind in Degraded.KINDS:
                chosen = pairs.source.kind == kind
                scores = protocol.image_qualities[way].values[0][chosen]
                correlation = round(float(spearmanr(scores, pairs.source.amount[chosen], nan_policy="omit").statistic), 4)
                print(f"{way}: rank correlation with the amount of {kind} {correlation:.3f}", flush=True)
                append_row("quality_degradations", dict(augment=augment, seed=seed, quality=way, kind=kind, correlation=correlation))


def settings_of(options, way, everybody):
    """Settings of the recipe, for as many steps whatever the reader gives."""
    ratio, reader = WAYS[way]
    recipe = load_recipe(RECIPE, [f"--{word}" for word in options.set])
    share = len(everybody) / len(open_source(reader, options.faces))
    epochs = f"epochs={recipe.epochs * share}", f"optimiser.warmup_epochs={recipe.optimiser.warmup_epochs * share}"
    return "quality.weight=10", f"quality.ratio={ratio}", f"data.reader={reader}", *epochs


def main():
    settings = ["epochs=6", "margin.name=ArcFace", "data.augment=adaface", "quality.lr=.002"]
    parser = arguments(__doc__.splitlines()[0], [0, 1, 2], settings)
    parser.add_argument("--recogniser", required=True, help="a bundle or an ONNX file with its sidecar")
    parser.add_argument("--ways", nargs="+", choices=[*WAYS, *ON_TOP], default=[*WAYS, *ON_TOP], help="the first is compared with")
    parser.add_argument("--on", nargs="+", choices=KINDS, default=list(KINDS), help="images of the pairs")
    options = parser.parse_args()
    recogniser, pairs = Remembering(Embedder.load(options.recogniser)), open_pairs(options.pairs, options.images)
    everybody = FolderSource(options.faces)
    for seed in options.seeds:
        models = {
            way: trained(options, way.replace(" ", "-"), seed, *settings_of(options, way, everybody)) for way in WAYS if way in options.ways
        }
        qualities = {way: create_measure(str(bundle)) for way, bundle in models.items()} | on_top(options, recogniser, seed)
        qualities |= {"norm of the recogniser": create_measure("norm", embedder=recogniser), "sharpness": create_measure("sharpness")}
        if models:
            qualities["norm of the small network"] = create_measure(f"norm:{next(iter(models.values()))}")
        known = dataclasses.replace(pairs, name="degraded", source=Degraded(pairs.source, seed))
        for name in options.on:
            judge(options, seed, name, known if name == "degraded" else pairs, qualities, recogniser)


if __name__ == "__main__":
    main()
