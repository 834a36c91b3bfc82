"""The verification protocol over made-up people: its numbers are the metrics' own, and failures are never silent."""

import pickle
from dataclasses import dataclass

import cv2
import numpy as np
import pytest

from limen import metrics
from limen.data.pairs import PairSet
from limen.errors import LimenError, UnreadableImage
from limen.protocols import Metric, Result, Verification, embed_images, evaluate
from limen.recogniser import Embeddings
from limen.report import result_lines

PEOPLE, EACH, DIMENSION = 30, 4, 16


class Faces:
    """Every image carries its number in its first two pixels; those in `broken` cannot be read."""

    def __init__(self, broken=()):
        self.broken, self.reads = set(broken), []

    def __len__(self):
        return PEOPLE * EACH

    def image(self, index):
        self.reads.append(index)
        if index in self.broken:
            raise UnreadableImage(f"{self.locate(index)}: is empty; leave it out")
        image = np.zeros((112, 112, 3), np.uint8)
        image[0, 0, 0] = index
        return image

    def locate(self, index):
        return f"person{index // EACH}/{index % EACH}.jpg"


def unit(vectors):
    return Embeddings(vectors, np.ones(len(vectors), np.float32))


class Lookup:
    """An embedder that knows the vector of every image: the person's own, and noise."""

    description = {"model": "lookup", "sha256": "0" * 64}  # noqa: RUF012

    def __init__(self, noise=0.7):
        random = np.random.default_rng(0)
        vectors = np.repeat(random.normal(size=(PEOPLE, DIMENSION)), EACH, 0) + noise * random.normal(size=(PEOPLE * EACH, DIMENSION))
        self.vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
        self.flips, self.largest = set(), 0

    def embed(self, images, flip=None, batch_size=None):
        self.flips.add(flip)
        self.largest = max(self.largest, len(images))
        return unit(self.vectors[images[:, 0, 0, 0]])


class Stored(Lookup):
    """Knows the images as `Faces` draws them wherever they were stored."""

    def embed(self, images, flip=None):
        return unit(self.vectors[images.max((1, 2, 3))])


def pair_set(broken=(), count=200, only_same=False):
    random = np.random.default_rng(1)
    subject = np.repeat(np.arange(PEOPLE), EACH)
    same = np.arange(count) % 20 < (20 if only_same else 10)
    person = random.integers(PEOPLE, size=count)
    other = np.where(same, person, (person + random.integers(1, PEOPLE, size=count)) % PEOPLE)
    first, second = person * EACH, other * EACH + random.integers(1, EACH, size=count)
    return PairSet(name="made up", source=Faces(broken), first=first, second=second, same=same, subject=subject)


def judged(pairs, **options):
    return Verification(pairs, replicates=50, **options).run(Lookup())


def test_numbers_are_those_of_the_metrics():
    pairs, vectors = pair_set(), Lookup().vectors.astype(float)
    result = judged(pairs, far=(0.01, 0.1))
    distance = np.square(vectors[pairs.first] - vectors[pairs.second]).sum(1)
    kfold = metrics.kfold_verification(distance, pairs.same)
    assert result.value("accuracy") == pytest.approx(kfold.accuracy_mean)
    assert 0.8 < kfold.accuracy_mean < 1
    expected = metrics.tar_at_far(-distance, pairs.same, [0.01, 0.1])
    assert [result.value("tar@far=0.01"), result.value("tar@far=0.1")] == pytest.approx(expected)
    assert result.value("eer") == pytest.approx(metrics.eer(-distance[pairs.same], -distance[~pairs.same]).value)
    assert {metric.key: metric.events for metric in result.metrics if metric.events is not None} == {"tar@far=0.01": 1, "tar@far=0.1": 10}
    intervals = [(metric.interval.low, metric.value, metric.interval.high) for metric in result.metrics if metric.interval]
    assert len(intervals) == 4
    assert all(low <= value <= high for low, value, high in intervals)
    assert result.counts == {
        "pairs": 200,
        "mated": 100,
        "non_mated": 100,
        "images": len(np.unique([pairs.first, pairs.second])),
        "subjects": PEOPLE,
        "failures_to_acquire": 0,
        "pairs_left_out": 0,
    }
    assert sum(result.curve("histogram").points["mated"]) == 100
    assert result.switches["sha256"] == "0" * 64


def test_a_far_below_one_impostor_is_unresolved():
    result = judged(pair_set(), far=(1e-4, 0.1))
    for metric in (result.metric("tar@far=0.0001"), result.metric("val@far=0.001")):
        assert (metric.value, metric.events, metric.interval) == (None, None, None)
    assert {metric.key for metric in result.metrics if metric.events is not None} == {"tar@far=0.1"}
    (line,) = [line for line in result_lines([result]) if "TAR@FAR=0.0001" in line]
    assert line.split()[1] == "unresolved"
    assert line.endswith(f"needs 10,000 non-mated pairs, and there are {result.counts['non_mated']}")


def test_a_rate_that_is_asked_for_twice_stands_once():
    once, twice = judged(pair_set(), far=(0.1, 0.2)), judged(pair_set(), far=(0.1, 0.2, 0.1))
    assert [metric.key for metric in once.metrics] == [metric.key for metric in twice.metrics]


def test_each_image_is_embedded_once_in_bounded_blocks():
    pairs, embedder, seen = pair_set(), Lookup(), []
    indices = np.r_[pairs.first, pairs.second]
    embedded = embed_images(
        embedder, pairs.source, indices, progress=lambda done, total: seen.append((done, total)), batch_size=7, workers=2
    )
    assert sorted(pairs.source.reads) == np.unique(indices).tolist()
    assert embedder.largest == 7
    assert seen[-1] == (len(np.unique(indices)), len(np.unique(indices)))
    np.testing.assert_array_equal(embedded.vectors[indices], embedder.vectors[indices])
    assert np.isnan(np.delete(embedded.vectors, indices, axis=0)).all()


def test_failures_to_acquire_are_left_out_counted_listed_and_charged():
    whole = pair_set()
    broken = {int(whole.first[3]), int(whole.second[77])}
    touched = np.isin(whole.first, list(broken)) | np.isin(whole.second, list(broken))
    result = judged(pair_set(broken))
    assert result.counts["failures_to_acquire"] == 2
    assert result.counts["pairs_left_out"] == touched.sum() > 0
    assert result.failures == [f"{whole.source.locate(i)}: is empty; leave it out" for i in sorted(broken)]
    vectors = Lookup().vectors.astype(float)
    distance = np.square(vectors[whole.first] - vectors[whole.second]).sum(1)
    kept = metrics.kfold_verification(distance[~touched], whole.same[~touched], np.repeat(np.arange(10), 20)[~touched])
    assert result.value("accuracy") == pytest.approx(kept.accuracy_mean)
    assert result.value("accuracy_with_failures_as_errors") == pytest.approx(kept.correct.sum() / 200)


def test_pairs_that_are_all_of_one_kind_have_no_accuracy():
    """Accepting everything would be right every time."""
    with pytest.raises(LimenError, match="made up: 200 of the 200 usable pairs are mated, and both kinds are needed"):
        judged(pair_set(only_same=True))
    whole = pair_set()
    with pytest.raises(LimenError, match="made up: 0 of the"):
        judged(pair_set(broken=whole.first[whole.same].tolist()))


def test_flip_reaches_the_embedder_and_the_switches():
    embedder = Lookup()
    result = Verification(pair_set(), replicates=2, flip=False).run(embedder)
    assert embedder.flips == {False}
    assert result.switches["flip"] is False


def test_the_seed_decides_the_intervals():
    assert judged(pair_set()).metrics == judged(pair_set()).metrics
    assert judged(pair_set(), seed=1).metric("eer").interval != judged(pair_set()).metric("eer").interval


@pytest.mark.parametrize(("count", "broken", "message"), [(12, (), "fewer folds"), (40, range(120), "none of the")])
def test_nothing_to_judge_is_one_clear_line(count, broken, message):
    with pytest.raises(LimenError, match=message) as refused:
        judged(pair_set(broken, count), folds=20)
    assert "\n" not in str(refused.value)


def test_a_protocol_can_be_written_outside_the_package():
    @dataclass
    class Mine:
        def run(self, embedder):
            return Result("mine", "own", "answer", [Metric("answer", len(embedder.vectors), "count")])

    assert evaluate(Lookup(), Mine()).value("answer") == PEOPLE * EACH


def test_a_path_of_pairs_is_a_protocol(tmp_path):
    images = [cv2.imencode(".png", Faces().image(index))[1].tobytes() for index in range(40)]
    (tmp_path / "made.bin").write_bytes(pickle.dumps((images, [True, False] * 10)))
    result = evaluate(Stored(), tmp_path / "made.bin")
    assert (result.name, result.counts["pairs"], result.counts["mated"]) == ("made", 20, 10)
    assert result.metrics == Verification(tmp_path / "made.bin").run(Stored()).metrics


def test_a_whole_result_survives_the_disk(tmp_path):
    result = judged(pair_set(), far=(0.1,))
    result.save(tmp_path / "result.json")
    assert Result.load(tmp_path / "result.json") == result
