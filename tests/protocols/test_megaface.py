"""MegaFace's runner: the metric's own numbers, noise dropped or replaced by name, failures counted."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limen import metrics
from limen.errors import LimenError, UnreadableImage
from limen.inference.table import Table
from limen.protocols import evaluate
from limen.protocols.megaface import MegaFaceChallenge
from limen.protocols.runners import result_names, runner_of
from limen.protocols.task import DistractorSet
from limen.recogniser import Embeddings

GOLDEN = np.load(Path(__file__).resolve().parents[1] / "golden" / "megaface_rank.npz")
PEOPLE, EACH, OTHERS, SIZE = 10, 5, 150, 12
PERSON = np.repeat(np.arange(PEOPLE), EACH)
COUNT = len(PERSON) + OTHERS


class Faces:
    """Image k says its number in its first pixel."""

    def __init__(self, broken=()):
        self.broken = broken

    def __len__(self):
        return COUNT

    def image(self, index):
        if index in self.broken:
            raise UnreadableImage(f"{index}.png: is empty")
        image = np.zeros((112, 112, 3), np.uint8)
        image[0, 0, 0] = index
        return image

    def locate(self, index):
        return f"{index}.png"


class Knows:
    description = {"model": "simulated"}  # noqa: RUF012

    def __init__(self, known):
        self.known = known

    def embed(self, images, flip=None):
        return Embeddings(self.known[images[:, 0, 0, 0]], np.ones(len(images), np.float32))


def vectors(seed=0):
    random = np.random.default_rng(seed)
    found = random.normal(size=(COUNT, SIZE))
    found[: len(PERSON)] += 1.2 * random.normal(size=(PEOPLE, SIZE))[PERSON]
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def distractor_set(broken=(), noisy=True, **changes):
    noise = {}
    if noisy:
        noise = {"noisy_probe": np.isin(np.arange(len(PERSON)), [0, 1, 7]), "noisy_distractor": np.arange(OTHERS) % 10 == 0}
    task = DistractorSet("megaface", Faces(broken), np.arange(len(PERSON)), PERSON, np.arange(len(PERSON), COUNT), **noise)
    return replace(task, **changes)


def judged(task, known=None, **options):
    known = vectors() if known is None else known
    table = Table(known, np.ones(len(known)), np.empty((0, len(known))), {})
    return MegaFaceChallenge(task, replicates=options.pop("replicates", 30), **options).judge(table, {})


def values(result):
    return {metric.key: metric.value for metric in result.metrics}


def test_raw_and_refined_are_the_metrics_own_numbers_each_under_its_name():
    task, known = distractor_set(), vectors()
    probes, others = known[: len(PERSON)], known[len(PERSON) :]
    raw, dropped = judged(task, far=(1e-2, 1e-6))
    _, replaced = judged(task, refined="replaced")
    assert [raw.name, dropped.name, replaced.name] == ["megaface", "megaface refined", "megaface refined (replaced)"]
    found = metrics.megaface_rates(probes, PERSON, others, (1, 5, 10), [1e-2])
    clean = ~task.noisy_probe
    expected = {
        raw.name: found.rank_rates,
        dropped.name: metrics.megaface_rank(probes[clean], PERSON[clean], others[~task.noisy_distractor], (1, 5, 10)),
        replaced.name: metrics.megaface_rank(
            metrics.replace_noisy_probes(probes, PERSON, task.noisy_probe), PERSON, others[~task.noisy_distractor], (1, 5, 10)
        ),
    }
    for result in (raw, dropped, replaced):
        rates = [result.value(f"identification_rate@rank={rank}") for rank in (1, 5, 10)]
        np.testing.assert_allclose(rates, expected[result.name], atol=1e-12)
        for metric in result.where(quantity="identification_rate"):
            assert metric.interval.low <= metric.value <= metric.interval.high
    assert len({tuple(rates) for rates in expected.values()}) == 3
    tar = raw.metric("tar@far=0.01")
    assert (tar.value, tar.events) == (pytest.approx(found.tar[0]), 75)  # of 50 x 150 impostors
    falling = -np.sort(-(probes @ others.T).ravel())  # products of other sizes round otherwise
    assert falling[75] - 1e-6 <= tar.threshold <= falling[74] + 1e-6
    assert tar.threshold_interval.low <= tar.threshold <= tar.threshold_interval.high
    assert tar.threshold_interval.low < tar.threshold_interval.high
    assert raw.metric("tar@far=1e-06").needed == 10**6
    assert raw.metric("tar@far=1e-06").value is None
    assert raw.curve("cmc").points["rate"][0] == raw.value("identification_rate@rank=1")
    assert (dropped.counts["noisy_probes_dropped"], dropped.counts["noisy_distractors"], dropped.counts["probes"]) == (3, 15, 47)
    assert (raw.switches["noise"], dropped.switches["noise"]) == ("kept: all images of the lists", dropped.switches["noise"])


def test_without_noise_lists_there_is_one_result_that_says_so():
    (result,) = judged(distractor_set(noisy=False))
    assert result.switches["noise"] == "kept: no noise lists at hand, uncleaned"
    assert result_names(runner_of(distractor_set(noisy=False))) == ["megaface"]
    assert result_names(runner_of(distractor_set(), {"norms": True, "far": (0.1,)})) == ["megaface", "megaface refined"]


def test_the_peers_ranks():
    count = len(GOLDEN["facescrub"])
    person, known = np.unique(GOLDEN["ids"], return_inverse=True)[1], np.concatenate([GOLDEN["facescrub"], GOLDEN["distractors"]])
    task = DistractorSet("megaface", Faces(), np.arange(count), person, np.arange(count, len(known)))
    (result,) = judged(task, known)
    np.testing.assert_allclose([result.value(f"identification_rate@rank={k}") for k in (1, 5, 10)], GOLDEN["out_rank1_5_10"], atol=1e-12)


def test_failures_count_and_are_named():
    broken = [3, len(PERSON) + 2]
    known = vectors()
    results = MegaFaceChallenge(distractor_set(broken), replicates=5).run(Knows(known))
    nan = known.copy()
    nan[broken] = np.nan
    for found, expected in zip(results, judged(distractor_set(), nan, replicates=5), strict=True):
        assert values(found) == values(expected)
        assert found.failures == ["3.png: is empty", "52.png: is empty"]
        assert (found.counts["failures_to_acquire"], found.counts["failed_probes"]) == (2, 1)
    assert results[0].counts["mated"] == len(PERSON) * (EACH - 1)  # the failed probe's pairs are among them
    assert len(evaluate(Knows(known), distractor_set())) == 2


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({}, {"far": (2.0,)}, "far: 2 cannot be asked for; give rates between 0 and 1"),
        ({}, {"ranks": (0,)}, "give whole numbers from 1"),
        ({}, {"refined": "flattering"}, "refined: 'flattering' is not known"),
        ({"noisy_distractor": None}, {}, "noise is known of probes or of distractors alone"),
        ({"noisy_distractor": np.ones(OTHERS, bool)}, {}, "noise dropped: no distractor is left"),
        ({"person": np.arange(len(PERSON))}, {}, "noise kept: nobody has two probes"),
        ({"noisy_probe": np.arange(len(PERSON)) % EACH > 0}, {}, "noise dropped: nobody has two probes"),
    ],
)
def test_what_cannot_be_judged_is_refused(change, options, message):
    with pytest.raises(LimenError, match=message):
        MegaFaceChallenge(distractor_set(**change), **options)


seeds = st.integers(0, 10**6)


@given(seeds)
@settings(max_examples=15, deadline=None)
def test_order_and_names_of_people_change_nothing(seed):
    random, task, known = np.random.default_rng(seed), distractor_set(), vectors(seed)
    order, others = random.permutation(len(PERSON)), random.permutation(OTHERS)
    shuffled = replace(
        task,
        probe=task.probe[order],
        person=random.permutation(PEOPLE)[PERSON[order]],
        noisy_probe=task.noisy_probe[order],
        distractor=task.distractor[others],
        noisy_distractor=task.noisy_distractor[others],
    )
    for one, other in zip(judged(task, known, replicates=2), judged(shuffled, known, replicates=2), strict=True):
        assert values(one) == pytest.approx(values(other))


@given(seeds, st.integers(0, COUNT - 1))
@settings(max_examples=25, deadline=None)
def test_a_failed_probe_never_raises_a_rate_and_a_failed_distractor_never_lowers_one(seed, image):
    task, known = distractor_set(), vectors(seed)
    failed = known.copy()
    failed[image] = np.nan
    for one, other in zip(judged(task, known, far=(0.01,), replicates=2), judged(task, failed, far=(0.01,), replicates=2), strict=True):
        for metric in one.where(quantity="identification_rate"):
            change = other.value(metric.key) - metric.value
            assert change <= 0 if image < len(PERSON) else change >= 0
