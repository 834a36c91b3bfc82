"""Error versus discard as a protocol: the numbers are the metrics' own, all qualities are judged on the same pairs, failures are told."""

import numpy as np
import pytest

from limen import metrics
from limen.data.pairs import PairSet
from limen.errors import LimenError, UnreadableImage
from limen.protocols import Discarding, ErrorVersusDiscard, Verification, random_orders, read_quality_csv
from limen.recogniser import Embeddings

PEOPLE, EACH, DIMENSION = 30, 8, 16
COUNT = PEOPLE * EACH
FMR = (0.1, 0.02)
GOODNESS = np.random.default_rng(5).random(COUNT)  # of each image: what a perfect quality would say


class Faces:
    """Every image carries its number in its first pixel; those in `broken` cannot be read."""

    def __init__(self, broken=()):
        self.broken, self.reads = set(broken), []

    def __len__(self):
        return COUNT

    def image(self, index):
        self.reads.append(index)
        if index in self.broken:
            raise UnreadableImage(f"{self.locate(index)}: is empty; leave it out")
        return np.full((112, 112, 3), index, np.uint8)

    def locate(self, index):
        return f"faces/person{index // EACH}/{index % EACH}.jpg"


class Lookup:
    """An embedder whose vectors are the noisier the worse the image."""

    description = {"model_sha256": "0" * 64}  # noqa: RUF012

    def __init__(self):
        random = np.random.default_rng(0)
        noise = random.normal(size=(COUNT, DIMENSION)) * (1.6 - 1.4 * GOODNESS)[:, None]
        vectors = np.repeat(random.normal(size=(PEOPLE, DIMENSION)), EACH, 0) + noise
        self.vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)

    def embed(self, images, flip=None):
        return Embeddings(self.vectors[images[:, 0, 0, 0]], np.ones(len(images), np.float32))


class Knowing:
    """A measure that knows how good each image is, and gives none to some."""

    name = "knowing"

    def __init__(self, without=()):
        self.without, self.files = list(without), []

    def score(self, images, files=None):
        self.files += files
        index = images[:, 0, 0, 0]
        return np.where(np.isin(index, self.without), np.nan, GOODNESS[index])


def pair_set(broken=(), count=1200):
    random = np.random.default_rng(1)
    same = np.arange(count) % 2 == 0
    person = random.integers(PEOPLE, size=count)
    other = np.where(same, person, (person + random.integers(1, PEOPLE, size=count)) % PEOPLE)
    first = person * EACH + random.integers(0, 4, size=count)
    second = other * EACH + random.integers(4, EACH, size=count)
    return PairSet("made up", Faces(broken), first, second, same, np.repeat(np.arange(PEOPLE), EACH))


def judged(pairs=None, qualities=None, **options):
    qualities = qualities or {"knowing": Knowing(), "ignorant": random_orders(COUNT, 1)[0]}
    options = {"fmr": FMR, "replicates": 50} | options
    return ErrorVersusDiscard(pairs or pair_set(), qualities, **options).run(Lookup())


def scores_of(pairs):
    return 1 - Verification(pairs).score(Lookup()).distance / 2


@pytest.mark.parametrize("threshold", ["fixed", "per_step"])
def test_numbers_are_those_of_the_metrics(threshold):
    pairs = pair_set()
    result = judged(threshold=threshold)[0]
    quality = np.minimum(GOODNESS[pairs.first], GOODNESS[pairs.second])
    for fmr in FMR:
        curve = metrics.error_vs_discard(scores_of(pairs), pairs.same, quality, fmr, threshold)
        tag = f"@fmr={fmr:g}"
        for name, limit in (("pauc(0.2)", 0.2), ("pauc(0.3)", 0.3), ("auc(0.95)", 0.95)):
            assert result.value(name + tag) == pytest.approx(curve.partial_auc(limit))
            assert result.value(f"{name}{tag}_normalised") == pytest.approx(curve.partial_auc(limit, normalised=True))
        assert result.value("fnmr" + tag) == curve.fnmr[0] > 0
        assert result.metric("fnmr" + tag).events == curve.events
        assert result.value("false_non_matches" + tag) == round(curve.fnmr[0] * 600)
    assert threshold in result.switches["edc threshold"]
    assert result.discarding == Discarding("knowing", threshold)
    assert (result.counts["mated"], result.counts["non_mated"], result.counts["subjects"]) == (600, 600, PEOPLE)


def test_the_stored_curve_is_the_staircase_with_the_pairs_left():
    pairs = pair_set()
    result = judged()[0]
    quality = np.minimum(GOODNESS[pairs.first], GOODNESS[pairs.second])
    curve = metrics.error_vs_discard(scores_of(pairs), pairs.same, quality, 0.1)
    stored = result.curve("edc", {"fmr": 0.1}).points
    for discard, fnmr, left in zip(stored["discard"], stored["fnmr"], stored["mated_left"], strict=True):
        kept = np.flatnonzero(curve.discard <= discard)[-1]
        assert (fnmr, left) == (curve.fnmr[kept], curve.left[kept])
    assert (stored["discard"][0], stored["discard"][-1], stored["mated_left"][0]) == (0, 0.95, 600)
    assert result.value("mated_left@discard=0.2") == curve.left[curve.discard <= 0.2].min()
    false_match = metrics.false_match_vs_discard(scores_of(pairs), pairs.same, quality, 0.1)
    assert result.curve("fm-edc", {"fmr": 0.1}).points["fmr"][0] == false_match.error[0]


def test_no_order_of_the_pairs_is_better_than_the_best():
    """An order that discards every error first, then in closed form: (e - d) / (1 - d) is left of the error e."""
    pairs = pair_set()
    perfect, result = judged(qualities={"goodness": GOODNESS})[0], judged()[1]
    error = result.value("fnmr@fmr=0.1")
    for name, limit in (("pauc(0.2)", 0.2), ("pauc(0.3)", 0.3), ("auc(0.95)", 0.95)):
        best = result.value(f"{name}@fmr=0.1_normalised_best")
        reached = min(limit, error)
        assert best == pytest.approx((reached + (1 - error) * np.log(1 - reached)) / (limit * error), abs=0.01)
        assert best <= min(result.value(f"{name}@fmr=0.1_normalised"), perfect.value(f"{name}@fmr=0.1_normalised"))
    interval = result.metric("fnmr@fmr=0.1").interval
    assert interval.low < error < interval.high
    assert error == (scores_of(pairs)[pairs.same] < 1e9).mean() * result.value("false_non_matches@fmr=0.1") / 600


def test_a_quality_that_knows_wins_and_the_difference_says_so():
    knowing, ignorant = judged(replicates=200)
    name = "pauc(0.3)@fmr=0.1"
    assert knowing.headline == ignorant.headline == name
    difference = ignorant.value(f"{name}_minus_knowing")
    assert difference == pytest.approx(ignorant.value(name) - knowing.value(name))
    interval = ignorant.metric(f"{name}_minus_knowing").interval
    assert 0 < interval.low < difference < interval.high
    assert {metric.versus for metric in knowing.metrics} == {""}
    assert len(ignorant.where(versus="knowing")) == 12
    for result in (knowing, ignorant):
        for metric in result.metrics:
            assert metric.interval is None or metric.interval.low <= metric.value <= metric.interval.high


def test_intervals_are_those_of_one_bootstrap_of_all_qualities():
    pairs = pair_set()
    ignorant = random_orders(COUNT, 1)[0]
    rows = [np.minimum(q[pairs.first], q[pairs.second]) for q in (GOODNESS, ignorant)]
    one, other = (metrics.weighted_discard_areas(scores_of(pairs), pairs.same, row, [0.02], [0.2]) for row in rows)
    subject = pairs.subject
    found = metrics.bootstrap_interval(lambda w: other(w) - one(w), subject[pairs.first], subject[pairs.second], replicates=50)
    expected = (found.low[0], found.high[0])
    interval = judged()[1].metric("pauc(0.2)@fmr=0.02_minus_knowing").interval
    assert (interval.low, interval.high) == pytest.approx(expected)


def test_a_random_order_is_the_mean_over_its_orders():
    orders = random_orders(COUNT, 4)
    together = judged(qualities={"random order": orders}, fmr=(0.1,))[0]
    apart = [judged(qualities={"one": order}, fmr=(0.1,))[0] for order in orders]
    name = "auc(0.95)@fmr=0.1"
    assert together.value(name) == pytest.approx(np.mean([result.value(name) for result in apart]))
    fnmr, *others = (result.curve("edc", {"fmr": 0.1}).points["fnmr"] for result in (together, *apart))
    np.testing.assert_allclose(fnmr, np.mean(others, axis=0))
    assert together.value("pauc(0.3)@fmr=0.1_normalised") == pytest.approx(1, abs=0.1)
    assert together.discarding.orders == 4


def test_an_fmr_below_one_impostor_is_unresolved():
    result = judged(fmr=(0.1, 1e-4))[0]
    unresolved = [metric for metric in result.metrics if metric.value is None]
    assert unresolved == result.where(at={"fmr": 1e-4})
    assert len(unresolved) == 7
    assert {(metric.interval, metric.events) for metric in unresolved} == {(None, None)}
    assert {curve.at["fmr"] for curve in result.curves} == {0.1}


def test_failures_leave_out_the_same_pairs_for_every_quality():
    whole = pair_set()
    unread, without = int(whole.first[0]), int(whole.second[7])
    missing = GOODNESS.copy()
    missing[(absent := int(whole.first[11]))] = np.nan
    results = judged(pair_set([unread]), {"knowing": Knowing([without]), "given": missing})
    touched = np.isin(whole.first, [unread, without, absent]) | np.isin(whole.second, [unread, without, absent])
    kept = ~touched
    quality = np.minimum(GOODNESS[whole.first], GOODNESS[whole.second])
    curve = metrics.error_vs_discard(scores_of(whole)[kept], whole.same[kept], quality[kept], 0.1)
    locate = whole.source.locate
    for result, name, image in zip(results, ("knowing", "given"), (without, absent), strict=True):
        assert result.value("auc(0.95)@fmr=0.1") == pytest.approx(curve.partial_auc(0.95))
        told = {unread: f"{locate(unread)}: is empty; leave it out", image: f"{locate(image)}: has no {name}"}
        assert result.failures == [told[number] for number in sorted(told)]
        assert (result.counts["failures_to_acquire"], result.counts["pairs_left_out"]) == (2, touched.sum())


def test_an_image_that_neither_the_model_nor_a_quality_could_use_is_one_failure():
    whole = pair_set()
    unread = int(whole.first[0])
    missing = GOODNESS.copy()
    missing[unread] = np.nan
    for result in judged(pair_set([unread]), {"given": missing, "knowing": Knowing()}):
        assert result.failures == [f"{whole.source.locate(unread)}: is empty; leave it out"]
        assert result.counts["failures_to_acquire"] == 1


def test_measures_see_each_image_once_with_its_file_however_many_models_there_are():
    pairs, measure = pair_set(), Knowing()
    protocol = ErrorVersusDiscard(pairs, {"knowing": measure, "again": Knowing()}, fmr=(0.1,), replicates=2)
    assert protocol.run(Lookup())[0].metrics == protocol.run(Lookup())[0].metrics
    used = np.unique(np.r_[pairs.first, pairs.second])
    assert measure.files == [pairs.source.locate(index) for index in used]
    assert len(pairs.source.reads) == 3 * len(used)  # by the two runs, and once for both measures


def test_per_step_has_no_intervals_and_says_so():
    result = judged(threshold="per_step")[0]
    assert {metric.interval for metric in result.metrics} == {None}
    assert "no intervals" in result.switches["edc threshold"]
    assert result.curve("edc", {"fmr": 0.1}).points["discard"] == pytest.approx(np.arange(20) / 20)


@pytest.mark.parametrize(
    ("qualities", "message"),
    [({"x": np.full(COUNT, np.nan)}, "0 of the 0 usable pairs"), ({"x": np.zeros(3)}, "3 qualities for the 240 images")],
)
def test_unusable_qualities_are_one_clear_line(qualities, message):
    with pytest.raises(LimenError, match=message) as refused:
        judged(qualities=qualities)
    assert "\n" not in str(refused.value)


def test_no_quality_or_an_unknown_threshold_is_refused():
    with pytest.raises(LimenError, match="no quality"):
        ErrorVersusDiscard(pair_set(), {})
    with pytest.raises(LimenError, match="'fixd'"):
        judged(threshold="fixd")


def written(folder, rows, header="file,quality"):
    (folder / "scores.csv").write_text("\n".join([header, *rows]))
    return folder / "scores.csv"


def test_qualities_of_a_csv_are_found_by_their_files(tmp_path, monkeypatch):
    source = Faces()
    rows = [f"{source.locate(i)},{quality!r}" for i, quality in enumerate(GOODNESS.tolist())]
    np.testing.assert_array_equal(read_quality_csv(written(tmp_path, reversed(rows)), source), GOODNESS)
    monkeypatch.chdir(tmp_path)
    here = [f"{tmp_path}/{row}" for row in rows]
    np.testing.assert_array_equal(read_quality_csv(written(tmp_path, here), source), GOODNESS)
    (tmp_path / "faces").mkdir()
    beside = [row.removeprefix("faces/") for row in rows]  # by its path from the folder of the CSV
    np.testing.assert_array_equal(read_quality_csv(written(tmp_path / "faces", beside), source), GOODNESS)
    rows[3] = f"{source.locate(3)},"
    assert np.isnan(read_quality_csv(written(tmp_path, rows), source)).nonzero()[0].tolist() == [3]


@pytest.mark.parametrize(
    ("rows", "header", "message"),
    [
        (["a.jpg,1"], "file,quality", r"scores\.csv: has no row for faces/person0/0\.jpg \(240 of the 240"),
        (["a.jpg,1", "b.jpg,high"], "file,quality", r"scores\.csv: line 3 .*'high'"),
        (["a.jpg,1", "b.jpg,-inf"], "file,quality", r"scores\.csv: line 3 .*-inf is not finite"),
        (["a.jpg,1", "b.jpg,2", "./a.jpg,3"], "file,quality", r"scores\.csv: line 4 .*\./a\.jpg stands there already, with 1"),
        (["a.jpg"], "file,quality", "line 2 "),
        (["a.jpg,1"], "name,quality", "lacks the column file"),
        ([], "", "lacks the columns file and quality"),
    ],
)
def test_a_csv_that_cannot_be_used_is_named(tmp_path, rows, header, message):
    with pytest.raises(LimenError, match=message) as refused:
        read_quality_csv(written(tmp_path, rows, header), Faces())
    assert "\n" not in str(refused.value)


def test_a_missing_csv_is_named(tmp_path):
    with pytest.raises(LimenError, match=r"gone\.csv: no such file"):
        read_quality_csv(tmp_path / "gone.csv", Faces())
