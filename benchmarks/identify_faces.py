"""Identification of one's own folders by the size of the gallery, and whether a threshold that a gallery gives itself keeps its FPIR.

    python benchmarks/identify_faces.py --model MODEL --folders FOLDER [--split 1 5]      people of a folder
    python benchmarks/identify_faces.py --vectors FILE.npz [--split 1 3]                  that limen embed wrote, of a folder of people

Of LFW 1,680 people have two images or more; the other 4,069 are the strangers of the open set. "kept" is the FPIR that the strangers have
at the threshold that the enrolled templates give (limen identify --fpir); its interval is that at the two ends of the threshold's.
"""

import argparse
import warnings
from collections import defaultdict
from pathlib import Path

import numpy as np
from machine import append_row

from limen import metrics
from limen.decision.gallery import PeopleGallery, threshold_at_fpir
from limen.errors import LimenWarning
from limen.models.model import open_model
from limen.protocols import Identification, Interval
from limen.protocols.identification import TemplateVectors
from limen.protocols.layouts.folders import open_split
from limen.protocols.layouts.own_people import own_search, split
from limen.protocols.pair_scores import pooled

SEED = 0


def of_vectors(path, enrolled):
    """The search and its templates' vectors, of images that are embedded already."""
    stored = np.load(path)
    row, people = {Path(file): place for place, file in enumerate(stored["files"].tolist())}, defaultdict(list)
    for file in row:
        people[file.parent.name].append(file)
    searched = own_search("vectors", split("vectors", dict(sorted(people.items())), enrolled, SEED))
    vectors = stored["vectors"][[row[Path(file)] for file in searched.source.paths]]
    return searched, TemplateVectors(pooled(vectors, np.ones(len(vectors)), searched.templates), {})


def told(name, enrolled, searched, vectors):
    result = Identification(searched, seed=SEED).judge(vectors, {})
    people, probes, strangers = (result.counts[what] for what in ("people_enrolled", "probes", "probes_without_mate"))
    print(f"{name}, {enrolled} enrolled of each: {people:,} people, {probes:,} probes, {strangers:,} of them of strangers")
    print(f"  strangers: {result.switches['strangers']}")
    for metric in result.metrics:
        if metric.value is None or metric.quantity == "map" or metric.at.get("rank") == 10:
            continue
        size = int(metric.at.get("enrolled", people))
        at = " ".join(f"{what} {value:g}" for what, value in metric.at.items() if what != "enrolled")
        store(name, enrolled, size, f"{metric.quantity} {at}", metric.value, metric.interval, metric.threshold, metric.threshold_interval)
    mated = [mistake for mistake in result.mistakes if mistake.enrolled]
    print(f"  misidentified: {len(mated)}; the surest:")
    for mistake in mated[:4]:
        print(f"    {Path(mistake.probe).name} for {mistake.taken_for} {mistake.score:.3f}")
    if searched.strangers == "others":
        kept(name, enrolled, searched, vectors.vectors)


def kept(name, enrolled, searched, vectors):
    """The strangers' FPIR at the threshold that the gallery gives itself."""
    (whole,), person = searched.galleries, searched.templates.person
    found = metrics.search(vectors[whole.probe], person[whole.probe], vectors[whole.gallery], person[whole.gallery])
    best = found.other[~found.mated]
    gallery = PeopleGallery(vectors[whole.gallery], [str(place) for place in whole.gallery])
    for rate in (0.1, 0.01):
        own = threshold_at_fpir(gallery, rate)
        value, high, low = (float((best >= end[0]).mean()) for end in (own.threshold, own.low, own.high))
        threshold = Interval(float(own.low[0]), float(own.high[0]))
        store(name, enrolled, len(gallery), f"kept fpir {rate:g}", value, Interval(low, high), float(own.threshold[0]), threshold)


def store(name, enrolled, size, what, value, interval, threshold, threshold_interval):
    ends, between = (f"{one.low:.4f} to {one.high:.4f}" if one else "" for one in (interval, threshold_interval))
    at = "" if threshold is None else f"{threshold:.4f}"
    print(f"  {size:6d}  {what:28s} {value:.4f}  {ends:18s}  {at} {between}", flush=True)
    row = {"set": name, "split": enrolled, "enrolled": size, "what": what, "value": f"{value:.4f}", "interval": ends}
    append_row("identify_faces", row | {"threshold": at, "threshold_interval": between})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model")
    parser.add_argument("--folders", type=Path)
    parser.add_argument("--vectors", type=Path)
    parser.add_argument("--split", type=int, nargs="+", default=[1])
    options = parser.parse_args()
    warnings.simplefilter("ignore", LimenWarning)
    for enrolled in options.split:
        if options.vectors:
            told(options.vectors.stem, enrolled, *of_vectors(options.vectors, enrolled))
        else:
            searched = open_split(options.folders.name, options.folders, enrolled, SEED)
            vectors = Identification(searched).score(open_model(options.model))
            told(options.folders.name, enrolled, searched, vectors)


if __name__ == "__main__":
    main()
