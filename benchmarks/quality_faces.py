"""Learned quality on real faces: does it foretell the errors of another recogniser better than norm, sharpness and chance?

    python benchmarks/quality_faces.py --faces FACES --pairs pairs.txt --images LFW --recogniser mobilefacenet.onnx --out runs/quality

A small network is trained with CR-FIQA's quality head on people outside the pairs, in five ways: on the images as they are and with half
of them degraded; the paper's ratio and the release's, with all people and with 100. Their qualities are judged by error versus discard of
the recogniser, on the pairs as they are and with half of the images degraded by known blur, resolution, noise or compression. Prints
areas with intervals over subjects and the paired difference from the first quality. Appends rows to benchmarks/results/quality_faces.csv
and, of the rank correlation with the known degradations, to quality_degradations.csv.
"""

import dataclasses

import numpy as np
from machine import append_row
from runs import arguments, trained
from scipy.stats import spearmanr

from limen.data import FolderSource, open_pairs
from limen.data.synthetic import degrade
from limen.embedder import Embedder
from limen.measures import create_measure
from limen.protocols import ErrorVersusDiscard, random_orders

SHARE = 0.5
KINDS = ("degraded", "as they are")
WAYS = {  # ratio, reader; the first is the one that all others are compared with
    "CR-FIQA": ("paper", "folder"),
    "CR-FIQA degraded training": ("paper", "quality_faces:DegradedFolder"),
    "CR-FIQA released ratio": ("released", "folder"),
    "CR-FIQA 100 people": ("paper", "quality_faces:HundredPeople"),
    "CR-FIQA released ratio 100 people": ("released", "quality_faces:HundredPeople"),
}


class HundredPeople(FolderSource):
    """The first hundred people of a folder."""

    def __init__(self, path):
        super().__init__(path)
        self.labels = self.labels[self.labels < 100]
        self.class_names = self.class_names[:100]

    def __len__(self):
        return len(self.labels)


class Degraded:
    """Half of the images of a source with a known loss: blur of 1 to 5 pixels, 12 to 56 pixels of resolution, noise of 10 to 60 grey
    levels or JPEG quality 2 to 30. `kind` (N,) says which ("none" for the other half), `amount` (N,) how much of it in [0, 1]."""

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
        image, amount = self.source.image(index), float(self.amount[index])
        loss = {
            "none": {},
            "blur": {"blur": 1 + 4 * amount},
            "resolution": {"resolution": round(56 - 44 * amount)},
            "noise": {"noise": 10 + 50 * amount, "rng": np.random.default_rng((self.seed, index))},
            "compression": {"compression": round(30 - 28 * amount)},
        }[str(self.kind[index])]
        return degrade(image, **loss)


class DegradedFolder(Degraded):
    """A folder of faces for training, half of its images degraded in the same ways by other draws."""

    def __init__(self, path):
        folder = FolderSource(path)
        super().__init__(folder, seed=1000)
        self.labels, self.class_names = folder.labels, folder.class_names


def judge(options, seed, name, pairs, models, recogniser):
    augment = next((word.split("=")[1] for word in options.set if word.startswith("data.augment=")), "flip")
    qualities = {way: create_measure(str(bundle)) for way, bundle in models.items()}
    qualities |= {"norm of the recogniser": create_measure("norm", embedder=recogniser), "sharpness": create_measure("sharpness")}
    qualities |= {"norm of the small network": create_measure(f"norm:{next(iter(models.values()))}")}
    protocol = ErrorVersusDiscard(pairs, qualities | {"random": random_orders(len(pairs.source))}, fmr=(1e-2, 1e-3))
    for result in protocol.run(recogniser):
        for key, value in result.metrics.items():
            low, high = result.intervals.get(key, (np.nan, np.nan))
            row = dict(
                images=name, augment=augment, seed=seed, quality=result.switches["quality"], metric=key, value=round(float(value), 5)
            )
            row |= dict(low=round(float(low), 5), high=round(float(high), 5))
            print("  ".join(f"{column} {cell}" for column, cell in row.items()), flush=True)
            append_row("quality_faces", row)
    if isinstance(pairs.source, Degraded):
        scored = protocol.image_qualities
        for way in (*models, "sharpness", "norm of the recogniser"):
            for kind in Degraded.KINDS:
                chosen = pairs.source.kind == kind
                correlation = spearmanr(scored[way].values[0][chosen], pairs.source.amount[chosen], nan_policy="omit").statistic
                print(f"{way}: rank correlation with the amount of {kind} {correlation:.3f}", flush=True)
                append_row(
                    "quality_degradations",
                    dict(augment=augment, seed=seed, quality=way, kind=kind, correlation=round(float(correlation), 4)),
                )


def main():
    parser = arguments(__doc__.splitlines()[0], [0], ["epochs=6", "margin.name=ArcFace", "data.augment=adaface", "quality.lr=.002"])
    parser.add_argument("--recogniser", required=True, help="a bundle or an ONNX file with its sidecar")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS), help="of training, the first to be compared with")
    parser.add_argument(
        "--on", nargs="+", choices=("degraded", "as they are"), default=["degraded", "as they are"], help="images of the pairs"
    )
    options = parser.parse_args()
    recogniser, pairs = Embedder.load(options.recogniser), open_pairs(options.pairs, options.images)
    for seed in options.seeds:
        models = {
            way: trained(options, way.replace(" ", "-"), seed, "quality.weight=10", f"quality.ratio={ratio}", f"data.reader={reader}")
            for way, (ratio, reader) in WAYS.items()
            if way in options.ways
        }
        degraded = dataclasses.replace(pairs, name="degraded", source=Degraded(pairs.source, seed))
        for name in options.on:
            judge(options, seed, name, degraded if name == "degraded" else pairs, models, recogniser)


if __name__ == "__main__":
    main()
