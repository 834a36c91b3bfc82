"""Seconds and peak memory of the protocols' metrics on simulated features at the benchmarks' real sizes, each beside a plain numpy version
of the same definition.

    python benchmarks/protocols.py [ROW ...]
        rows: kfold pooling ijb11 bootstrap judged labels adience ijb1n tinyface own identify blufr megaface thresholds
    python benchmarks/protocols.py --lfw PATH --model MODEL        LFW end to end, beside the bare inference of its images from memory

Bounds and ratios are of CPU seconds: with OMP_NUM_THREADS=1 they are what a machine without other work takes, whatever else runs here;
the time that passed stands beside them. The plain version of a large row runs on a share of its data, and its time is scaled up to the
whole. Peak memory is above that before the call, which holds the features.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

import numpy as np
from machine import append_row, peak_memory_mib
from scipy import sparse

from limen import evaluate, metrics
from limen.data.pairs import PairSet
from limen.data.templates import Templates
from limen.decision.gallery import COMPARED, PeopleGallery, too_alike
from limen.decision.operating_point import find_operating_points
from limen.inference.reading import BLOCK
from limen.metrics import ScoredPairs
from limen.models.model import open_model
from limen.protocols import Identification, Verification
from limen.protocols.identification import TemplateVectors
from limen.protocols.layouts import open_benchmark
from limen.protocols.layouts.own_people import own_search, split
from limen.protocols.layouts.text import number_table
from limen.protocols.pair_scores import PairScores, distances, pooled

FAR = [1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1]
SIZE = 512
RANDOM = np.random.default_rng(0)


def unit(features):
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    return features


def people(ids, spread=3.0, centres=None):
    """Unit vectors (len(ids), 512) around a centre for each person, at about `spread` times the centre's length."""
    if centres is None:
        centres = unit(RANDOM.standard_normal((ids.max() + 1, SIZE), dtype=np.float32))
    features = RANDOM.standard_normal((len(ids), SIZE), dtype=np.float32)
    features *= spread / SIZE**0.5
    for start in range(0, len(ids), 65536):
        features[start : start + 65536] += centres[ids[start : start + 65536]]
    return unit(features)


def measured(name, size, call, plain, plain_share=1.0, seconds=None, mib=None, ratio=None):
    """Prints and stores one row; `seconds`, `mib` and `ratio` are the bounds."""
    answers, start = [], time.perf_counter()

    def timed():
        began = time.process_time()
        answers.append((call(), time.process_time() - began))

    peak, passed = peak_memory_mib(timed, interval=0.05), time.perf_counter() - start
    took = answers[0][1]
    if took < 0.1:
        took = min(_seconds(call) for _ in range(20))
    plain_took = min(_seconds(plain) for _ in range(3 if took < 10 else 1)) / plain_share
    found = {"seconds": (took, seconds), "peak_mib": (peak, mib), "ratio": (took / plain_took, ratio)}
    missed = [f"{what} above {bound}" for what, (value, bound) in found.items() if bound is not None and value > bound]
    print(
        f"{name:10s} {took:9.4f} s ({passed:.1f} passed)  {peak:6.0f} MiB  {took / plain_took:7.4f} of plain  {', '.join(missed) or 'ok'}",
        flush=True,
    )
    row = {"row": name, "size": size, "cpu_seconds": round(took, 4), "passed": round(passed, 2), "peak_mib": round(peak)}
    row |= {"plain_cpu_seconds": round(plain_took, 4), "ratio": round(took / plain_took, 4), "missed": "; ".join(missed)}
    append_row("protocols", row | {"threads": os.environ.get("OMP_NUM_THREADS", "all"), "load": round(os.getloadavg()[0], 1)})
    return answers[0][0]


def _seconds(call):
    start = time.process_time()
    call()
    return time.process_time() - start


# ---------------------------------------------------------------- one to one
def kfold():
    same = np.arange(6000) % 2 == 0
    distance = np.clip(RANDOM.normal(np.where(same, 0.8, 1.6), 0.3), 0, 4)
    folds = np.array_split(np.arange(6000), 10)

    def plain():
        for test in folds:
            rest = np.setdiff1d(np.arange(6000), test)
            for grid in (np.arange(0, 4, 0.01), np.arange(0, 4, 0.001)):
                [((distance[rest] < t) == same[rest]).mean() for t in grid]

    measured("kfold", "6000 pairs", lambda: metrics.kfold_verification(distance, same), plain, seconds=0.005)


def ijb_images():
    """IJB-C's numbers: images, templates, people."""
    person = np.r_[np.arange(3531), RANDOM.integers(3531, size=23124 - 3531)]  # one template each is enrolled
    template = np.r_[np.arange(23124), RANDOM.integers(23124, size=469_375 - 23124)]
    return person, template, template * 20 + RANDOM.integers(20, size=len(template)), people(template, 3.0, people(person, 1.5))


def pooling(images=None):
    _, template, media, features = images or ijb_images()
    _, row = np.unique(template, return_inverse=True)
    product = sparse.csr_array((np.ones(len(row), np.float32), (row, np.arange(len(row)))))
    size = "469375 x 512 to 23124"
    return measured("pooling", size, lambda: metrics.pool_templates(features, template, media), lambda: product @ features, ratio=2)[0]


def ijb_pairs(person):
    """IJB-C's 19,557 mated and 15,638,932 non-mated pairs of an enrolled and another template."""
    probe = np.arange(3531, 23124)
    mated = RANDOM.choice(probe, 19557, replace=False)
    first, second = RANDOM.integers(3531, size=15_650_000), RANDOM.choice(probe, 15_650_000)
    keep = np.flatnonzero(person[first] != person[second])[:15_638_932]
    return np.r_[person[mated], first[keep]], np.r_[mated, second[keep]], np.arange(19557 + len(keep)) < 19557


def ijb11(bootstrap=False):
    images = ijb_images()
    person, template, media, features = images
    first, second, mated = ijb_pairs(person)

    def scores():
        return metrics.pair_scores(metrics.pool_templates(features, template, media)[0], first, second)

    def plain():
        templates, some = metrics.pool_templates(features, template, media)[0], slice(None, None, 10)
        score = (templates[first[some]] * templates[second[some]]).sum(1)
        impostor = np.sort(score[~mated[some]])
        for far in FAR:
            (score[mated[some]] > impostor[len(impostor) - 1 - int(far * len(impostor))]).mean()

    size = f"{len(first)} pairs of 23124 templates"
    if not bootstrap:
        measured("ijb11", size, lambda: metrics.tar_at_far(scores(), mated, FAR), plain, 0.1, seconds=15, mib=6144)
        return
    score, people_of_pairs = scores(), (person[first], person[second])

    def weighing_all_pairs():
        metrics.bootstrap_interval(metrics.weighted_tar_at_far(score, mated, FAR), *people_of_pairs, replicates=2)

    def whole():
        return metrics.tar_at_far_interval(scores(), mated, *people_of_pairs, FAR, replicates=1000).tar

    found = measured("bootstrap", f"{size}, 1000 replicates", whole, weighing_all_pairs, 2 / 1000, seconds=90, mib=6144)
    print("  TAR", *(f"{v:.4f} ({low:.4f} to {high:.4f})" for v, low, high in zip(found.value, found.low, found.high, strict=True)))


def ijbc_judged():
    """All of the runner but the network: templates pooled, pairs scored, TAR, thresholds, curves, intervals, the Result."""
    person, template, media, features = ijb_images()
    first, second, mated = ijb_pairs(person)
    names = [f"template {number}" for number in range(23124)]
    templates = Templates(np.arange(len(template)), template, media, person[:23124], names)
    pairs = PairSet("ijbc", range(len(template)), first, second, mated, person[:23124], folds=None, templates=templates, far=tuple(FAR))
    norms = np.ones(len(features), np.float32)

    def call():
        score = metrics.pair_scores(pooled(features, norms, templates), first, second).astype(float)
        return Verification(pairs).judge(PairScores(2 - 2 * score, {}), {})

    def weighing_all_pairs():
        score = metrics.pair_scores(pooled(features, norms, templates), first, second)
        metrics.bootstrap_interval(metrics.weighted_tar_at_far(score, mated, FAR), person[first], person[second], replicates=2)

    size = f"{len(first)} pairs of 23124 templates of {len(template)} images, 1000 replicates"
    measured("judged", size, call, weighing_all_pairs, 2 / 1000, seconds=90, mib=6144)


def pair_labels():
    """Reading IJB-C's list of pairs: 15,658,489 lines of three numbers."""
    rows = RANDOM.integers(1, 23125, size=(15_658_489, 3))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "ijbc_template_pair_label.txt"
        with open(path, "w") as file:
            for start in range(0, len(rows), 1_000_000):
                file.writelines(f"{a} {b} {c}\n" for a, b, c in rows[start : start + 1_000_000].tolist())
        some = b"\n".join(path.read_bytes().split(b"\n", 1_000_000)[:1_000_000])
        measured(
            "labels",
            f"{len(rows)} lines",
            lambda: number_table(path, 3),
            lambda: np.array(some.split(), np.int64),
            1e6 / len(rows),
            mib=1536,
        )


class Numbered:
    """The images of `adience`, never read."""

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def locate(self, index):
        return f"{index}.jpg"


def adience(images=19_370):
    """All pairs of Adience's images: distances, TAR and thresholds with intervals, curves, the Result."""
    person = np.sort(RANDOM.integers(2284, size=images))
    features = people(person, 1.5)
    first, second = (side.astype(np.int32) for side in np.triu_indices(images, 1))
    pairs = PairSet("adience", Numbered(images), first, second, person[first] == person[second], person, folds=None, far=(1e-4, 1e-3, 1e-2))

    def call():
        return Verification(pairs).judge(PairScores(distances(features, first, second), {}), {})

    some = 2000

    def plain():
        score, (row, column) = features[:some] @ features[:some].T, np.triu_indices(some, 1)
        score, same = score[row, column], person[row] == person[column]
        metrics.bootstrap_interval(metrics.weighted_tar_at_far(score, same, [1e-4, 1e-3, 1e-2]), person[row], person[column], replicates=2)

    measured("adience", f"{len(first)} pairs of {images} images, 1000 replicates", call, plain, 2 / 1000 * some**2 / images**2, mib=16384)


# ---------------------------------------------------------------- one to many
def plain_search(probe, probe_id, gallery, gallery_id, every=1):
    """The whole matrix, sorted."""
    ranked = gallery_id[np.argsort(-(probe[::every] @ gallery.T), axis=1)]
    hits = ranked == probe_id[::every, None]
    return [hits[:, :k].any(1).mean() for k in (1, 5, 20)]


def ijb1n():
    person = np.r_[np.arange(3531), RANDOM.integers(3531, size=19593)]
    templates = people(person, 1.7)
    galleries, probe = (slice(0, 1772), slice(1772, 3531)), slice(3531, None)

    def call():
        found = [metrics.search(templates[probe], person[probe], templates[g], person[g]) for g in galleries]
        return [(f.rank_rates([1, 5, 10]), f.open_set([0.01, 0.1]).tpir) for f in found]

    def plain():
        for g in galleries:
            plain_search(templates[probe], person[probe], templates[g], person[g], every=4)

    measured("ijb1n", "19593 x (1772 + 1759)", call, plain, 1 / 4, seconds=20)


def tinyface():
    gallery_id = np.r_[RANDOM.integers(1400, size=4443), 1400 + np.arange(153_428)]
    probe_id = RANDOM.choice(np.unique(gallery_id[:4443]), 3728)
    features = people(np.r_[probe_id, gallery_id], spread=5.0)
    probe, gallery = features[:3728], features[3728:]

    def call():
        found = metrics.search(probe, probe_id, gallery, gallery_id)
        return found.rank_rates([1, 5, 20]), found.mean_average_precision()

    plain_every = 40
    measured(
        "tinyface",
        "3728 x 157871",
        call,
        lambda: plain_search(probe, probe_id, gallery, gallery_id, plain_every),
        1 / plain_every,
        20,
        2048,
    )


def own_folders():
    """10,000 people of five images, one enrolled: closed and open set of galleries of 10 to 10,000, 1,000 replicates; no network."""
    folders = {f"{person:05d}": [Path(f"{person:05d}/{image}.jpg") for image in range(5)] for person in range(10_000)}
    searched = own_search("own", split("own", folders, 1, 0))
    person = searched.templates.person
    vectors = people(person, spread=2.5)
    norms, galleries = np.ones(len(vectors), np.float32), [*searched.nested, *searched.galleries]

    def call():
        found = pooled(vectors.copy(), norms, searched.templates)
        return Identification(searched).judge(TemplateVectors(found, {}), {})

    def product():
        for one in galleries:
            for start in range(0, len(one.probe), 4096):
                vectors[one.probe[start : start + 4096]] @ vectors[one.gallery].T

    result = measured("own", "40000 probes x (10 ... 10000), 1000 replicates (plain: the bare products)", call, product, seconds=120)
    print("  rank 1", result.value("identification_rate@rank=1"), "TPIR at FPIR .001", result.value("tpir@fpir=0.001"))


def identify():
    """What `limen identify` computes after embedding: the five best of 100,000 people for 1,000 probes; who of 10,000 is too much alike."""
    gallery = people(np.arange(100_000), spread=1.0)
    probe = unit(gallery[:1000] + 2 / SIZE**0.5 * RANDOM.standard_normal((1000, SIZE), dtype=np.float32))

    def call():
        return metrics.best_entries(probe, gallery, 5)

    number, _ = measured("identify", "1000 x 100000, 5 best (plain: the bare product)", call, lambda: probe @ gallery.T, seconds=5)
    assert (number[:, 0] == np.arange(1000)).mean() > 0.9
    few = PeopleGallery(gallery[:COMPARED], [str(place) for place in range(COMPARED)])
    size = f"{COMPARED} people with each other (plain: the bare product)"
    measured("identify", size, lambda: too_alike(few, 0.4), lambda: few.vectors @ few.vectors.T, seconds=5)


def thresholds():
    """What `limen calibrate` computes after embedding: of all pairs of 5,500 images, and of as many listed pairs as IJB-C has."""
    ids, rates = np.repeat(np.arange(1100), 5), (1e-3, 1e-4, 1e-5)
    features = people(ids)
    told = {"reference": "", "data_sha256": "", "flip": True}

    def of_folders():
        mated, non_mated = metrics.all_pairs(features, ids, max(rates))
        return find_operating_points(non_mated, mated, rates, **told)

    bound = {"seconds": 60, "mib": 6144}
    found = measured("thresholds", "all 15122250 pairs of 5500 images, 1000 replicates", of_folders, lambda: features @ features.T, **bound)
    print("  thresholds", *(f"{point.threshold:.4f} ({point.low:.4f} to {point.high:.4f})" for point in found))
    person, _, _, _ = ijb_images()
    first, second, mated = ijb_pairs(person)
    features = people(person[:23124])

    def listed():
        score = metrics.pair_scores(features, first, second)
        kinds = [ScoredPairs(score[kind], person[first[kind]], person[second[kind]]) for kind in (~mated, mated)]
        return find_operating_points(*kinds, rates, **told)

    size = f"{len(first)} listed pairs, 1000 replicates"
    measured("thresholds", size, listed, lambda: metrics.pair_scores(features, first, second), **bound)


def blufr():
    ids = np.r_[np.arange(5749), RANDOM.choice(1680, 13233 - 5749)]
    features, trials = people(ids, spread=4.0), []
    for _ in range(10):
        test = np.flatnonzero(np.isin(ids, RANDOM.choice(5749, 4249, replace=False)))
        enrolled = np.unique(ids[test], return_index=True)[1]
        gallery = test[RANDOM.choice(enrolled, 1000, replace=False)]
        trials.append((test, gallery, np.setdiff1d(test, gallery)))

    def call():
        return metrics.blufr_summary(
            [
                [
                    *metrics.blufr_verification(features[test], ids[test], [0.001, 0.01]),
                    *metrics.blufr_identification(features, ids, gallery, probe, [0.01], [1])[:, 0],
                ]
                for test, gallery, probe in trials
            ]
        )

    def plain():
        test, gallery, probe = trials[0]
        upper = np.triu_indices(len(test), 1)
        score, same = (features[test] @ features[test].T)[upper], (ids[test][:, None] == ids[test])[upper]
        impostor = np.sort(score[~same])[::-1]
        [(score[same] >= impostor[round(far * len(impostor)) - 1]).mean() for far in (0.001, 0.01)]
        np.argsort(-(features[probe] @ features[gallery].T), axis=1)

    measured("blufr", "10 trials of 13233 images", call, plain, 0.1, seconds=180)


def megaface():
    ids = np.repeat(np.arange(80), 45)[:3530]
    probes, distractors = people(ids), np.empty((1_000_000, SIZE), np.float32)
    for start in range(0, len(distractors), 50_000):
        distractors[start : start + 50_000] = unit(RANDOM.standard_normal((50_000, SIZE), dtype=np.float32))
    memory = np.empty((3530, 4096), np.float32)

    def product():
        for start in range(0, len(distractors), 4096):
            block = distractors[start : start + 4096]
            np.matmul(probes, block.T, out=memory.reshape(-1)[: 3530 * len(block)].reshape(3530, -1))

    def call():
        return metrics.megaface_rates(probes, ids, distractors, [1, 5, 10], [1e-6])

    measured("megaface", "3530 x 1000000 (plain: the bare product)", call, product, mib=4096, ratio=2)


def lfw(path, model):
    """CPU seconds of `limen evaluate` on LFW as layouts find it (decode, embed, judge with 1,000 replicates), and of its images' embedding
    alone, from memory, in turn with it."""
    embedder, pairs = open_model(model), open_benchmark(f"lfw:{path}")
    used = np.unique(np.r_[pairs.first, pairs.second])
    images = np.stack([pairs.source.image(number) for number in used])
    half = len(images) // 2

    def bare(part):
        for first in range(0, len(part), BLOCK):
            embedder.embed(part[first : first + BLOCK], True)

    before = cpu_seconds(lambda: bare(images[:half]))
    start = time.perf_counter()
    whole = cpu_seconds(lambda: evaluate(embedder, Verification(open_benchmark(f"lfw:{path}"))))
    passed = time.perf_counter() - start
    alone = before + cpu_seconds(lambda: bare(images[half:]))
    missed = "" if alone / whole >= 0.9 else "share of bare inference below 0.9"
    print(f"lfw        {whole:.1f} CPU s, bare inference {alone:.1f} CPU s: {alone / whole:.3f} of it  {missed or 'ok'}")
    row = {"row": "lfw", "size": f"{len(used)} images, {Path(model).name}", "cpu_seconds": round(whole, 2), "passed": round(passed, 2)}
    row |= {"peak_mib": "", "plain_cpu_seconds": round(alone, 2), "ratio": round(whole / alone, 4), "missed": missed}
    append_row("protocols", row | {"threads": os.environ.get("OMP_NUM_THREADS", "all"), "load": round(os.getloadavg()[0], 1)})


def cpu_seconds(call):
    """Of this process, with all its threads, and of those that it starts and waits for."""
    start = os.times()
    call()
    end = os.times()
    return sum(end[:4]) - sum(start[:4])


ROWS = {
    "kfold": kfold, "pooling": pooling, "ijb11": ijb11, "bootstrap": lambda: ijb11(bootstrap=True),
    "judged": ijbc_judged, "labels": pair_labels, "adience": adience,
    "ijb1n": ijb1n, "tinyface": tinyface, "own": own_folders, "identify": identify, "blufr": blufr, "megaface": megaface,
    "thresholds": thresholds,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("rows", nargs="*", default=[], choices=[*ROWS, []], metavar="ROW")
    parser.add_argument("--lfw", metavar="PATH", help="LFW's aligned images and pairs.txt")
    parser.add_argument("--model", help="of --lfw")
    options = parser.parse_args()
    if options.lfw:
        lfw(options.lfw, options.model)
        return
    for name in options.rows or ROWS:
        ROWS[name]()


if __name__ == "__main__":
    main()
