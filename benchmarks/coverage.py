"""How often a 95 % interval holds the truth: people with known error rates are simulated again and again.

    python benchmarks/coverage.py [--trials 400] [--people 60 300] [--of pairs search fresh blufr megaface]

Each person has effects of their own on their mated and non-mated scores, so that pairs of one person stand and fall together. The truth is
that of the whole population. Coverage should lie within .92 and .99 where at least 10 events are expected: errors of the rate itself, and
accepted impostors behind its threshold. "fresh": the operating point that `limen calibrate` finds on some people, and the intervals of FMR,
FNMR and FPIR that others have there; the truth is that of each threshold found. BLUFR and MegaFace judge features, by their
runners. MegaFace's distractors are the same in all trials, as its intervals are of people alone. The truth of BLUFR's numbers is their mean
over the simulations, for mean - std depends on the size of the set.
"""

import argparse
from dataclasses import dataclass

import numpy as np
from machine import append_row
from scipy.optimize import brentq
from scipy.stats import norm

from limen import metrics
from limen.decision.operating_point import find_operating_points
from limen.inference.table import Table
from limen.metrics import ScoredPairs
from limen.protocols.at_threshold import error_rates, working_points
from limen.protocols.blufr import Blufr
from limen.protocols.intervals import Bootstrap
from limen.protocols.megaface import MegaFaceChallenge
from limen.protocols.task import DistractorSet, Trial, TrialSet

MEAN, PERSON, IMPOSTOR, NOISE = 0.36, 0.06, 0.02, 0.08  # of mated scores; deviations of a person's effects, and of a single score
MATED, NON_MATED, PROBES = 6, 40, 4  # pairs of a person, and probes
GENUINE_SD, IMPOSTOR_SD = np.hypot(PERSON, NOISE), np.sqrt(2 * IMPOSTOR**2 + NOISE**2)
WITHIN, EVENTS = (0.92, 0.99), 10


def pairs(random, people):
    """Scores, mated, first, second and quality; the quality of a mated pair lowers its score."""
    own, false = random.normal(0, PERSON, people), random.normal(0, IMPOSTOR, people)
    first = np.r_[np.repeat(np.arange(people), MATED), np.repeat(np.arange(people), NON_MATED)]
    mated = np.arange(len(first)) < people * MATED
    second = np.where(mated, first, (first + random.integers(1, people, len(first))) % people)
    noise = random.normal(size=len(first))
    quality = -np.abs(noise + random.normal(size=len(first)))  # bad where the noise is great
    score = np.where(mated, MEAN + own[first], false[first] + false[second]) + NOISE * noise
    return score, mated, first, second, quality


def search(random, people, gallery=200):
    """Probes of enrolled people and of strangers; the best of other people's scores is a maximum over the gallery."""
    own, false = random.normal(0, PERSON, people), random.normal(0, IMPOSTOR, people)
    person = np.repeat(np.arange(people), PROBES)
    mated = person % 2 == 0
    mate = np.where(mated, MEAN + own[person] + NOISE * random.normal(size=len(person)), -np.inf)
    other = false[person] + IMPOSTOR_SD * norm.ppf(random.random(len(person)) ** (1 / gallery))
    rank = np.where(mated, (other >= mate).astype(np.int64), np.iinfo(np.int64).max)
    return metrics.Search(person, mated, mate, other, rank, np.full(len(person), np.nan), np.full(len(person), -1))


# Each returns {name: (value, low, high, the fewest events it rests on)}, and last the truth where it is another in each trial.
def of_pairs(random, people, replicates, seed):
    score, mated, first, second, quality = pairs(random, people)
    impostors = int((~mated).sum())
    found = {}

    def add(name, interval, events, k=0):
        found[name] = (interval.value[k], interval.low[k], interval.high[k], events)

    far = [1e-3, 3e-3, 1e-2, 1e-1]
    tar = metrics.tar_at_far_interval(score, mated, first, second, far, replicates, seed=seed)
    for k, rate in enumerate(far):
        behind = round(rate * impostors)
        add(f"TAR@FAR={rate:g}", tar, min(behind, round((1 - tar_of(rate)) * mated.sum())), k)
        at = metrics.threshold_at_fmr(score[~mated], rate, first[~mated], second[~mated])
        found[f"threshold@FMR={rate:g}"] = (at.threshold[0], at.low[0], at.high[0], behind)
    for name, kind, error in (("FMR", ~mated, score >= THRESHOLD), ("FNMR", mated, score < THRESHOLD)):
        ends = metrics.PeopleOfPairs(first[kind], second[kind]).interval(error[kind])
        found[f"{name} at a threshold"] = (error[kind].mean(), *ends, round(TRUTH[f"{name} at a threshold"] * kind.sum()))

    balanced = np.r_[np.flatnonzero(mated), random.choice(np.flatnonzero(~mated), mated.sum(), replace=False)]
    random.shuffle(balanced)
    kfold = metrics.kfold_verification(2 - 2 * score[balanced], mated[balanced])
    accuracy = metrics.bootstrap_interval(metrics.weighted_mean(kfold.correct), first[balanced], second[balanced], replicates, seed=seed)
    add("accuracy", accuracy, round((1 - TRUTH["accuracy"]) * len(balanced)))
    statistic = metrics.weighted_eer(score, mated)
    add("EER", metrics.bootstrap_interval(statistic, first, second, replicates, seed=seed), round(TRUTH["EER"] * mated.sum()))
    areas = metrics.weighted_discard_areas(score, mated, quality, [1e-2], [0.2])
    events = min(round(1e-2 * impostors), round((1 - tar_of(1e-2)) * mated.sum()))
    add("EDC area to 0.2@FMR=0.01", metrics.bootstrap_interval(areas, first, second, replicates, seed=seed), events)
    return found


def of_search(random, people, replicates, seed):
    found, probes = search(random, people), people * PROBES // 2
    closed, opened = found.rank_interval([1], replicates, seed=seed), found.open_set_interval(FPIR, replicates=replicates, seed=seed)
    rates = {"rank 1": (closed.value[0], closed.low[0], closed.high[0], round((1 - TRUTH["rank 1"]) * probes))}
    for k, rate in enumerate(FPIR):
        name, events = f"TPIR@FPIR={rate:g}", round(rate * probes)
        errors = round((1 - TRUTH[name]) * probes)
        rates[name] = (opened.value[k], opened.low[k], opened.high[k], min(events, errors))
        at = found.open_set_thresholds([rate])
        rates[f"threshold@FPIR={rate:g}"] = (at.threshold[0], at.low[0], at.high[0], events)
    return rates


def of_fresh(random, people, replicates, seed):
    """Thresholds set on some people, and what others have there."""
    found, fmr = {}, (1e-2, 1e-3)
    score, mated, first, second, _ = pairs(random, people)
    kinds = [ScoredPairs(score[kind], first[kind], second[kind]) for kind in (~mated, mated)]
    told = {"reference": "", "data_sha256": "", "flip": False}
    points = find_operating_points(*kinds, fmr, **told)
    score, mated, first, second, _ = pairs(random, people)
    for point in points:
        at = f"at the operating point of FMR={point.fmr:g}"
        behind = round(point.fmr * (~mated).sum())
        found[f"threshold {at}"] = (point.threshold, point.low, point.high, behind, TRUTH[f"threshold@FMR={point.fmr:g}"])
        truths = {"fmr": norm.sf(point.threshold, 0, IMPOSTOR_SD), "fnmr": norm.cdf(point.threshold, MEAN, GENUINE_SD)}
        working = working_points("own", [point])
        for metric, _ in error_rates(working, score, mated, first, second, Bootstrap(replicates, seed=seed)):
            kind = mated if metric.quantity == "fnmr" else ~mated
            truth = truths[metric.quantity]
            found[f"{metric.quantity.upper()} {at}"] = (metric.value, *_ends(metric), round(truth * kind.sum()), truth)
    enrolled, others = search(random, people), search(random, people)
    strangers = ~others.mated
    for rate, threshold in zip(FPIR, enrolled.open_set(FPIR).thresholds, strict=True):
        person = others.person[strangers]
        wrong, truth = others.other[strangers] >= threshold, float(np.mean(threshold <= FRESH))
        ends = metrics.PeopleOfPairs(person, person).interval(wrong)
        found[f"FPIR at the threshold of FPIR={rate:g}"] = (wrong.mean(), *ends, round(truth * strangers.sum()), truth)
    return found


def faces(random, people, images):
    """Unit vectors around a centre for each person, wider around some, and the person of each."""
    person = np.repeat(np.arange(people), images)
    centre, spread = random.normal(size=(people, DIMENSIONS)), SPREAD * np.exp(0.2 * random.normal(size=people))
    features = centre[person] + spread[person, None] * random.normal(size=(len(person), DIMENSIONS))
    return unit(features), person


def unit(features):
    return (features / np.linalg.norm(features, axis=1, keepdims=True)).astype(np.float32)


@dataclass(frozen=True)
class Numbered:
    """A source of images that nobody reads."""

    numbers: range

    def __len__(self):
        return len(self.numbers)

    def locate(self, index):
        return f"image {index}"


def judged(runner, features):
    return runner.judge(Table(features, np.ones(len(features)), np.empty((0, len(features))), {}), {})


def of_blufr(random, people, replicates, seed):
    """Ten trials, each of half of the people, half of whom are enrolled."""
    features, person = faces(random, people, PROBES)
    trials = []
    for _ in range(10):
        chosen = random.permutation(people)[: people // 2]
        test = np.flatnonzero(np.isin(person, chosen))
        gallery = PROBES * chosen[: people // 4]
        trials.append(Trial(test, gallery, np.setdiff1d(test, gallery)))
    task = TrialSet("blufr", Numbered(range(len(features))), person, trials)
    result = judged(Blufr(task, far=(1e-2, 1e-1), replicates=replicates, seed=seed), features)
    tests, strangers = people // 2 * PROBES, people // 4 * PROBES  # events of one trial: the trials share people
    found = {}
    for metric in result.metrics:
        if metric.value is not None:
            behind = round(metric.at["far"] * (strangers if metric.quantity.startswith("dir") else tests**2 / 2))
            errors = round((1 - metric.value) * tests)
            found[f"BLUFR {metric.key}"] = (metric.value, *_ends(metric), min(behind, errors))
    return found


def of_megaface(random, people, replicates, seed):
    features, person = faces(random, people, PROBES)
    task = DistractorSet(
        "megaface", Numbered(range(len(features) + len(OTHERS))), np.arange(len(features)), person, len(features) + np.arange(len(OTHERS))
    )
    runner = MegaFaceChallenge(task, ranks=(1, 10), far=(1e-4, 1e-3), replicates=replicates, seed=seed)
    (result,) = judged(runner, np.concatenate([features, OTHERS]))
    found = {}
    for metric in result.metrics:
        errors = round((1 - TRUTH[f"MegaFace {metric.key}"]) * len(features))
        found[f"MegaFace {metric.key}"] = (metric.value, *_ends(metric), min(errors, metric.events or errors))
        if (ends := metric.threshold_interval) is not None:
            found[f"MegaFace threshold, {metric.key}"] = (metric.threshold, ends.low, ends.high, metric.events)
    return found


def _ends(metric):
    return (metric.interval.low, metric.interval.high) if metric.interval else (metric.value, metric.value)


DIMENSIONS, SPREAD = 16, 0.7
OTHERS = unit(np.random.default_rng(3).normal(size=(3000, DIMENSIONS)))
KINDS = {"pairs": of_pairs, "search": of_search, "fresh": of_fresh, "blufr": of_blufr, "megaface": of_megaface}


# ---------------------------------------------------------------- the truth
THRESHOLD, FPIR, TRUTH = 0.22, [0.02, 0.1, 0.3], {}
FRESH = np.empty(0)  # best scores of strangers, of a million people


def tar_of(far):
    return norm.sf(norm.isf(far) * IMPOSTOR_SD, MEAN, GENUINE_SD)


def find_truth():
    """By formulas where there are some, else from a million people."""
    for far in (1e-3, 3e-3, 1e-2, 1e-1):
        TRUTH[f"TAR@FAR={far:g}"], TRUTH[f"threshold@FMR={far:g}"] = tar_of(far), norm.isf(far) * IMPOSTOR_SD
    errors = {"FMR at a threshold": norm.sf(THRESHOLD, 0, IMPOSTOR_SD), "FNMR at a threshold": norm.cdf(THRESHOLD, MEAN, GENUINE_SD)}
    TRUTH.update(errors)
    equal = brentq(lambda t: norm.sf(t, 0, IMPOSTOR_SD) - norm.cdf(t, MEAN, GENUINE_SD), 0, MEAN)
    TRUTH["EER"] = norm.sf(equal, 0, IMPOSTOR_SD)
    grid = np.linspace(0, MEAN, 10_001)
    TRUTH["accuracy"] = 1 - (norm.sf(grid, 0, IMPOSTOR_SD) + norm.cdf(grid, MEAN, GENUINE_SD)).min() / 2
    score, mated, _, _, quality = pairs(np.random.default_rng(1), 300_000)
    curve = metrics.error_vs_discard(score, mated, quality, 1e-2)
    TRUTH["EDC area to 0.2@FMR=0.01"] = curve.partial_auc(0.2)
    global FRESH
    found = search(np.random.default_rng(2), 1_000_000)
    FRESH = found.other
    opened = found.open_set(FPIR)
    TRUTH["rank 1"] = found.rank_rates([1])[0]
    for k, rate in enumerate(FPIR):
        TRUTH[f"TPIR@FPIR={rate:g}"], TRUTH[f"threshold@FPIR={rate:g}"] = opened.tpir[k], opened.thresholds[k]
    drawn = [faces(np.random.default_rng([4, draw]), 8000, PROBES) for draw in range(5)]
    rates = [metrics.megaface_rates(features, person, OTHERS, (1, 10), (1e-4, 1e-3)) for features, person in drawn]
    for rank, rate in zip((1, 10), np.mean([one.rank_rates for one in rates], 0), strict=True):
        TRUTH[f"MegaFace identification_rate@rank={rank}"] = rate
    tars, thresholds = (np.mean([getattr(one, name) for one in rates], 0) for name in ("tar", "thresholds"))
    for far, tar, threshold in zip((1e-4, 1e-3), tars, thresholds, strict=True):
        TRUTH[f"MegaFace tar@far={far:g}"], TRUTH[f"MegaFace threshold, tar@far={far:g}"] = tar, threshold


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=400)
    parser.add_argument("--people", type=int, nargs="+", default=[60, 300])
    parser.add_argument("--replicates", type=int, default=400)
    parser.add_argument("--of", nargs="+", choices=KINDS, default=list(KINDS), dest="kinds")
    options = parser.parse_args()
    find_truth()
    for people in options.people:
        trials = []
        for seed in range(options.trials):
            random = np.random.default_rng([people, seed])
            found = {}
            for kind in options.kinds:
                found |= KINDS[kind](random, people, options.replicates, seed)
            trials.append(found)
        for name in trials[0]:
            value, low, high, events, *own = np.array([trial[name] for trial in trials if name in trial], float).T
            truth = own[0] if own else value.mean() if name.startswith("BLUFR") else TRUTH[name]
            held = float(((low <= truth) & (truth <= high)).mean())
            verdict = "few events" if events[0] < EVENTS else "ok" if WITHIN[0] <= held <= WITHIN[1] else "outside"
            bias, width = float((value - truth).mean()), float((high - low).mean())
            print(
                f"{people:4d} people  {name:28s} truth {np.mean(truth):.4f}  events {events[0]:5.0f}  holds {held:.3f}  {verdict}",
                flush=True,
            )
            row = {
                "statistic": name,
                "people": people,
                "events": int(events[0]),
                "trials": options.trials,
                "truth": round(float(np.mean(truth)), 5),
            }
            append_row("coverage", row | {"holds": round(held, 4), "bias": round(bias, 5), "width": round(width, 5), "verdict": verdict})


if __name__ == "__main__":
    main()
