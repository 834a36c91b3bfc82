"""Is AdaFace better where images are bad? Seven margins with and without AdaFace's augmentation, and AdaFace's own parameters swept.

    PYTHONPATH=benchmarks python -m evidence.adaface --model mbf.safetensors --faces FACES --pairs lfw_pairs.txt --images LFW \\
        --cache CACHE --out runs/evidence

Every run is a head on frozen features (bed.py) with equal steps. Prints accuracy by degradation, paired differences from ArcFace with
intervals over people and seeds (hierarchy.py), the 2 x 2 table of augmentation and margin, and how far the norm follows the resolution.
"""

import argparse

from evidence.bed import Run, made
from evidence.features import add_arguments, features
from evidence.tables import Judge

CLAIM = "adaface"
START = {"init_from_first_batch": True}  # of a few hundred steps the release's start would make most practically CosFace's
MARGINS = {
    "ArcFace": ("ArcFace", {}, 64.0),
    "AdaFace": ("AdaFace", START, 64.0),
    "AdaFace, released start": ("AdaFace", {}, 64.0),
    "CosFace": ("CosFace", {}, 64.0),
    "CosFace, m .4": ("CosFace", {"m": 0.4}, 64.0),
    "MagFace": ("MagFace", {}, 64.0),
    "CurricularFace": ("CurricularFace", {}, 64.0),
    "ElasticFace-Arc": ("ElasticArcFace", {}, 64.0),
    "AdaM-Softmax": ("AdaMSoftmax", {"strength": 6.0}, 30.0),
    "CosFace, scale 30": ("CosFace", {}, 30.0),  # what of AdaM-Softmax is its scale
    "CosFace, scale 30, m .31": ("CosFace", {"m": 0.31}, 30.0),  # and its mean margin, .31 at the end of a run
}
SWEEPS = [{"m": m} for m in (0.2, 0.3, 0.5)] + [{"h": h} for h in (0.1, 1.0)] + [{"t_alpha": t} for t in (0.001, 0.1)]
SWEEPS += [{"gradient": "straight_through"}]


def title(name, augmented):
    return f"{name}, augmented" if augmented else name


def runs_of(options):
    """The margins with and without augmentation, then the sweeps with it; seed by seed, so that what is there is even."""
    runs = []
    for seed in options.seeds:
        for augmented in (False, True):
            for name, (margin, own, scale) in MARGINS.items():
                runs.append(Run(CLAIM, title(name, augmented), margin, own, seed, augmented, options.steps, scale=scale))
    for seed in options.seeds if options.sweeps else []:
        for own in SWEEPS:
            name = "AdaFace, " + " ".join(f"{key} {value}" for key, value in own.items())
            runs.append(Run(CLAIM, title(name, True), "AdaFace", START | own, seed, True, options.steps))
    return runs


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add_arguments(parser, steps=200)
    parser.add_argument("--no-sweeps", dest="sweeps", action="store_false", help="leave AdaFace's own parameters at the paper's")
    options = parser.parse_args()
    found = features(options)
    scores, norms, _ = made(found, runs_of(options), options.out)
    judge = Judge(CLAIM, found, scores)
    names = [title(name, augmented) for augmented in (False, True) for name in MARGINS]
    judge.accuracy_table(names)
    for augmented in (False, True):
        arc = title("ArcFace", augmented)
        judge.difference_table([(title(name, augmented), arc) for name in MARGINS if name != "ArcFace"])
    for name, other in (("AdaFace", "CosFace, m .4"), *(("AdaM-Softmax", f"CosFace, scale 30{m}") for m in ("", ", m .31"))):
        judge.difference_table([(title(name, augmented), title(other, augmented)) for augmented in (False, True)])
    judge.difference_table([(title(name, True), title(name, False)) for name in MARGINS])
    judge.interaction("AdaFace", "ArcFace", title)
    if options.sweeps:
        swept = [name for name in scores if name.startswith("AdaFace, ") and name not in names]
        judge.difference_table([(name, title("AdaFace", True)) for name in swept])
    judge.norm_table(norms, [(title("AdaFace", augmented), title("ArcFace", augmented)) for augmented in (False, True)])


if __name__ == "__main__":
    main()
