"""Pairs of templates and pairs of groups: the numbers are those of naive loops, and a failure is a miss."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limen import metrics
from limen.data.pairs import PairSet
from limen.data.templates import Templates
from limen.errors import LimenError, UnreadableImage
from limen.protocols import ErrorVersusDiscard, Verification
from limen.protocols.pair_scores import PairScores
from limen.recogniser import Embeddings

PEOPLE, EACH, SIZE = 12, 4, 8
COUNT = PEOPLE * EACH
FAR = (0.05, 0.2)


class Faces:
    def __init__(self, broken=()):
        self.broken = set(broken)

    def __len__(self):
        return COUNT

    def image(self, index):
        if index in self.broken:
            raise UnreadableImage(f"{self.locate(index)}: is empty")
        return np.full((112, 112, 3), index, np.uint8)

    def locate(self, index):
        return f"{index}.jpg"


class Lookup:
    """Knows the vector and the norm of each image."""

    description = {"model": "lookup"}  # noqa: RUF012

    def __init__(self):
        random = np.random.default_rng(3)
        centres = np.repeat(random.normal(size=(PEOPLE, SIZE)), EACH, 0)
        self.features = (centres + 0.8 * random.normal(size=(COUNT, SIZE))).astype(np.float32)

    def embed(self, images, flip=None):
        feature = self.features[images[:, 0, 0, 0]]
        norms = np.linalg.norm(feature, axis=1)
        return Embeddings(feature / norms[:, None], norms)


def template_pairs(broken=(), weight=True):
    """Two templates of each person: of three images in two media, and of one; an image stands in both."""
    image = np.arange(COUNT).reshape(PEOPLE, EACH)
    rows = np.concatenate([[a, b, c, c, d] for a, b, c, d in image])
    template = np.concatenate([[2 * p, 2 * p, 2 * p, 2 * p + 1, 2 * p + 1] for p in range(PEOPLE)])
    media = np.tile([1, 1, 2, 2, 3], PEOPLE)
    detector = np.random.default_rng(4).uniform(0.5, 1, len(rows)) if weight else None
    names = [f"template {n}" for n in range(2 * PEOPLE)]
    templates = Templates(rows, template, media, np.repeat(np.arange(PEOPLE), 2), names, detector)
    first, second = (side.ravel() for side in np.meshgrid(np.arange(0, 2 * PEOPLE, 2), np.arange(1, 2 * PEOPLE, 2), indexing="ij"))
    same = first // 2 == second // 2
    return PairSet("made up", Faces(broken), first, second, same, templates.person, folds=None, templates=templates, far=FAR)


def naive_scores(pairs, norms=True, weights=True):
    """The rule, image by image."""
    features, t = Lookup().features.astype(float), pairs.templates
    vectors = {}
    for template in range(len(t)):
        total = np.zeros(SIZE)
        for medium in set(t.media[t.template == template].tolist()):
            own = [r for r in np.flatnonzero((t.template == template) & (t.media == medium)) if t.image[r] not in pairs.source.broken]
            if own:
                weight = {r: t.weight[r] if weights and t.weight is not None else 1 for r in own}
                length = {r: 1 if norms else np.linalg.norm(features[t.image[r]]) for r in own}
                total += np.mean([weight[r] * features[t.image[r]] / length[r] for r in own], axis=0)
        vectors[template] = total / np.linalg.norm(total) if total.any() else None
    both = [(vectors[a], vectors[b]) for a, b in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)]
    return np.array([-np.inf if a is None or b is None else a @ b for a, b in both])


@pytest.mark.parametrize(("norms", "weights"), [(True, True), (False, True), (True, False), (False, False)])
def test_templates_are_pooled_by_the_rule(norms, weights):
    pairs = template_pairs()
    result = Verification(pairs, replicates=20, norms=norms, weights=weights).run(Lookup())
    score = naive_scores(pairs, norms, weights)
    expected = metrics.tar_at_far(score, pairs.same, FAR)
    thresholds = metrics.threshold_at_fmr(score[~pairs.same], FAR)
    for rate, tar, threshold, events in zip(FAR, expected, thresholds.threshold, thresholds.false_matches, strict=True):
        found = result.metric(f"tar@far={rate:g}")
        assert found.value == pytest.approx(tar)
        assert found.threshold == pytest.approx(threshold, abs=1e-5)
        assert found.events == events
        assert found.threshold_interval.low <= found.threshold <= found.threshold_interval.high
    assert [metric.quantity for metric in result.metrics] == ["tar", "tar"]
    assert result.switches["norms kept (N)"] is norms
    assert result.switches["detector score as weight (D)"] is weights
    assert (result.counts["templates"], result.counts["images"]) == (2 * PEOPLE, COUNT)


def test_a_template_without_images_is_a_miss_and_named():
    """Its pairs stay in every rate, so that losing images can only lower the TAR at a threshold, and never the number of pairs."""
    whole = template_pairs()
    broken = [0, 1, 2, 3, 6]  # all of the first person, and a part of the second
    pairs = template_pairs(broken)
    result = Verification(pairs, replicates=20).run(Lookup())
    score = naive_scores(pairs)
    assert result.value("tar@far=0.05") == pytest.approx(metrics.tar_at_far(score, pairs.same, [0.05])[0])
    assert result.counts["pairs"] == len(whole)
    assert result.counts["failures_to_acquire"] == len(broken)
    assert result.counts["templates_without_images"] == 2
    assert result.counts["pairs_missed"] == np.isneginf(score).sum() == 23
    assert "template 0: none of its images can be used" in result.failures
    threshold = result.metric("tar@far=0.05").threshold
    assert (score[pairs.same] >= threshold).mean() == result.value("tar@far=0.05")


def test_pairs_without_folds_count_failed_images_as_misses():
    first, second = np.arange(0, COUNT, EACH), np.arange(1, COUNT, EACH)
    one, other = np.r_[first, first], np.r_[second, np.roll(second, 1)]
    subject = np.repeat(np.arange(PEOPLE), EACH)
    same = subject[one] == subject[other]
    pairs = PairSet("made up", Faces([0]), one, other, same, subject, folds=None, far=(0.2,))
    result = Verification(pairs, replicates=20).run(Lookup())
    unit = Lookup().features / np.linalg.norm(Lookup().features, axis=1, keepdims=True)
    score = np.where((one == 0) | (other == 0), -np.inf, (unit[one] * unit[other]).sum(1))
    assert result.value("tar@far=0.2") == pytest.approx(metrics.tar_at_far(score, same, [0.2])[0])
    assert (result.headline, result.counts["pairs_missed"]) == ("tar@far=0.2", 2)


def test_the_nearest_lookup_is_named_and_has_no_interval():
    pairs = template_pairs()
    result = Verification(pairs, replicates=20, lookup="nearest").run(Lookup())
    tar = result.metric("tar@far=0.05_nearest")
    assert tar.value == pytest.approx(metrics.tar_at_far(naive_scores(pairs), pairs.same, [0.05], "nearest")[0])
    assert (tar.interval, tar.threshold) == (None, None)
    assert result.switches["tar threshold"].startswith("nearest: ")
    for wrong in ({"lookup": "best"}, {"threshold": "own"}, {"far": (0.0,)}):
        with pytest.raises(LimenError, match=r"is not known|cannot be asked for"):
            Verification(pairs, **wrong)


def test_error_versus_discard_refuses_templates():
    with pytest.raises(LimenError, match="compares templates, and error versus discard needs pairs of single images"):
        ErrorVersusDiscard(template_pairs(), {"random": np.zeros(COUNT)})


# ---- groups ----


def grouped(seed=0, count=400):
    """Distances of pairs of three groups, in ten folds; the third is harder."""
    random = np.random.default_rng(seed)
    group = np.array(["A", "B", "C"])[np.arange(count) % 3]
    same = np.arange(count) // 3 % 2 == 0
    distance = np.clip(random.normal(np.where(same, 0.9, 1.5), np.where(group == "C", 0.5, 0.3)), 0, 4)
    folds = np.arange(count) // 3 % 10
    pairs = PairSet(
        "made up", Faces(), np.arange(count), np.arange(count) + count, same, np.arange(2 * count), folds=folds, groups={"": group}
    )
    return pairs, distance


def judged(pairs, distance, **options):
    return Verification(pairs, far=(0.05, 1e-6), replicates=20, **options).judge(PairScores(distance, {}), {})


def test_groups_at_one_threshold():
    pairs, distance = grouped()
    result, score = judged(pairs, distance), 1 - distance / 2
    tar = result.metric("tar@far=0.05")
    events = 0
    for name in "ABC":
        own = pairs.groups[""] == name
        fmr, fnmr = (result.metric(f"{quantity}@far=0.05_{name}") for quantity in ("fmr", "fnmr"))
        assert fmr.threshold == fnmr.threshold == tar.threshold
        assert fmr.value == pytest.approx((score[own & ~pairs.same] >= tar.threshold).mean())
        assert fnmr.value == pytest.approx((score[own & pairs.same] < tar.threshold).mean())
        assert fmr.interval.low <= fmr.value <= fmr.interval.high
        events += fmr.events
    assert events == tar.events  # the threshold is that of all
    assert result.value("fmr@far=0.05_C") > result.value("fmr@far=0.05_A")
    assert result.metric("fmr@far=1e-06_A") is None
    correct = metrics.kfold_verification(distance, pairs.same, pairs.folds).correct
    accuracy = [correct[pairs.groups[""] == name].mean() for name in "ABC"]
    assert [result.value(f"accuracy_{name}") for name in "ABC"] == pytest.approx(accuracy)
    assert result.value("accuracy_mean_of_groups") == pytest.approx(np.mean(accuracy))
    assert result.value("accuracy_std_of_groups") == pytest.approx(np.std(accuracy, ddof=1))
    assert result.value("error_ratio") == pytest.approx((1 - min(accuracy)) / (1 - max(accuracy)))
    assert result.switches["threshold of groups"].startswith("global: ")


def test_thresholds_of_their_own_are_those_of_each_group_alone():
    pairs, distance = grouped()
    result = judged(pairs, distance, threshold="per_group")
    for name in "ABC":
        own = pairs.groups[""] == name
        alone = replace(pairs, first=pairs.first[own], second=pairs.second[own], same=pairs.same[own], folds=pairs.folds[own], groups={})
        expected = judged(alone, distance[own])
        assert result.value(f"accuracy_{name}") == pytest.approx(
            metrics.kfold_verification(distance[own], pairs.same[own], pairs.folds[own]).correct.mean()
        )
        assert result.value(f"fnmr@far=0.05_{name}") == pytest.approx(1 - expected.value("tar@far=0.05"))
        assert result.metric(f"fmr@far=0.05_{name}").events == expected.metric("tar@far=0.05").events
    assert result.switches["threshold of groups"].startswith("per_group: ")


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 1000))
def test_the_order_of_pairs_and_names_of_people_change_nothing(seed):
    pairs, distance = grouped(count=120)
    random = np.random.default_rng(seed)
    order = random.permutation(len(pairs))
    people = random.permutation(2 * len(pairs))
    fields = {name: getattr(pairs, name)[order] for name in ("first", "second", "same", "folds")}
    mixed = replace(pairs, **fields, groups={"": pairs.groups[""][order]}, subject=people[pairs.subject])
    keys = [metric.key for metric in judged(pairs, distance).metrics]
    one, other = judged(pairs, distance), judged(mixed, distance[order])
    for key in keys:
        assert one.value(key) == pytest.approx(other.value(key)), key
        assert one.metric(key).events == other.metric(key).events
