"""Searches: the numbers equal the metrics' own, failures count, and nothing that means nothing changes a rate."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from limen import metrics
from limen.data.templates import Templates
from limen.errors import LimenError
from limen.protocols import Gallery, Identification, SearchSet
from limen.protocols.identification import TemplateVectors
from limen.recogniser import Embeddings
from limen.report import result_lines, write_evaluation
from numbered_images import NumberedImages

GOLDEN = Path(__file__).resolve().parents[1] / "golden"


class Embedder:
    """A vector for each number of an image."""

    description, has_quality = {"model_sha256": "0"}, False

    def __init__(self, vectors):
        self.vectors = vectors

    def embed(self, images, flip=None, batch_size=64):
        found = self.vectors[images[:, 0, 0, 0]]
        norms = np.linalg.norm(found, axis=1)
        return Embeddings((found / norms[:, None]).astype(np.float32), norms.astype(np.float32), None)


def problem(people=30, strangers=12, galleries=1, broken=(), seed=0, **fields):
    """One entry and two probes a person, of one image each, and probes of strangers; people are dealt out to the galleries."""
    random = np.random.default_rng(seed)
    person = np.r_[np.arange(people), np.repeat(np.arange(people), 2), people + np.arange(strangers)]
    centre = random.normal(size=(people + strangers, 16))
    vectors = centre[person] + 0.9 * random.normal(size=(len(person), 16))
    names = [f"template {row}" for row in range(len(person))]
    entries, probes = np.arange(people), np.arange(people, len(person))
    parts = [Gallery(f"G{k + 1}" if galleries > 1 else "", entries[k::galleries], probes) for k in range(galleries)]
    fields = {"ranks": (1, 5), "fpir": (0.1, 0.3)} | fields
    searched = SearchSet("made", NumberedImages(len(person), broken), Templates.of_images(person, names), parts, **fields)
    return searched, vectors


def sides(searched, vectors, gallery):
    unit = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    person = searched.templates.person
    return unit[gallery.probe], person[gallery.probe], unit[gallery.gallery], person[gallery.gallery]


def numbers(result):
    return {metric.key: metric.value for metric in result.metrics}


@pytest.mark.parametrize("galleries", [1, 2])
def test_at_the_threshold_of_an_fpir_the_rates_are_its_own(galleries):
    searched, vectors = problem(galleries=galleries)
    judged = [metrics.open_set(*sides(searched, vectors, gallery), [0.3]) for gallery in searched.galleries]
    result = Identification(searched, replicates=50, at_threshold=float(judged[0].thresholds[0])).run(Embedder(vectors), "model")
    name = {"variant": ["G1"] if galleries > 1 else []}
    (fpir,), (fnir,) = result.where(quantity="fpir", **name), result.where(quantity="fnir", **name)
    assert (fpir.value, fnir.value) == pytest.approx((judged[0].fpir[0], 1 - judged[0].tpir[0]))
    assert (fpir.threshold, fpir.events) == (judged[0].thresholds[0], judged[0].false_positives[0])
    assert fpir.interval.low < fpir.value < fpir.interval.high
    assert len(result.where(quantity="fpir")) == galleries
    assert "FPIR@threshold=" in "\n".join(result_lines([result]))


def test_a_model_without_operating_points_is_refused_before_an_image_is_read():
    searched, vectors = problem(broken=range(102))
    with pytest.raises(LimenError, match="no operating point to be judged at; run `limen calibrate`"):
        Identification(searched, at_threshold="own").run(Embedder(vectors), "model")


def test_one_gallery_equals_the_metrics():
    searched, vectors = problem()
    result = Identification(searched, replicates=50).run(Embedder(vectors), "model")
    given_sides = sides(searched, vectors, searched.galleries[0])
    rates, judged = metrics.rank_rates(*given_sides, [1, 5]), metrics.open_set(*given_sides, [0.1, 0.3])
    assert [result.value(f"identification_rate@rank={k}") for k in (1, 5)] == pytest.approx(rates)
    assert result.value("map") == pytest.approx(metrics.mean_average_precision(*given_sides))
    for place, rate in enumerate((0.1, 0.3)):
        tpir = result.metric(f"tpir@fpir={rate}")
        assert (tpir.value, tpir.threshold) == pytest.approx((judged.tpir[place], judged.thresholds[place]), abs=1e-6)
        assert tpir.events == judged.false_positives[place]
        assert tpir.threshold_interval.low <= tpir.threshold <= tpir.threshold_interval.high
        assert tpir.interval.low <= tpir.value <= tpir.interval.high
    assert result.headline == "identification_rate@rank=1"
    assert (result.counts["gallery_entries"], result.counts["probes"], result.counts["probes_without_mate"]) == (30, 72, 12)
    assert result.curve("cmc").points["rate"][:1] == pytest.approx(rates[:1])


def test_rates_of_two_galleries_are_averaged():
    searched, vectors = problem(galleries=2)
    result = Identification(searched, replicates=50).run(Embedder(vectors))
    found = [metrics.search(*sides(searched, vectors, gallery)) for gallery in searched.galleries]
    own = [one.rank_rates([1])[0] for one in found]
    assert [result.value(f"identification_rate@rank=1_{name}") for name in ("G1", "G2")] == pytest.approx(own)
    mean = result.metric("identification_rate@rank=1")
    assert mean.value == pytest.approx(np.mean(own))
    assert mean.interval.low < mean.value < mean.interval.high
    tpir = [one.open_set([0.1]).tpir[0] for one in found]
    assert result.value("tpir@fpir=0.1") == pytest.approx(np.mean(tpir))
    assert result.metric("tpir@fpir=0.1_G2").threshold == pytest.approx(found[1].open_set([0.1]).thresholds[0], abs=1e-6)


def test_a_failed_probe_finds_nothing_and_a_failed_entry_is_never_found():
    searched, vectors = problem()
    whole = Identification(searched, replicates=2).run(Embedder(vectors))
    broken, _ = problem(broken=(3, 30))  # an entry, and the first probe of person 0
    result = Identification(broken, replicates=2).run(Embedder(vectors))
    found = metrics.search(*sides(searched, vectors, searched.galleries[0]))
    hits = (found.rank < 1)[found.mated]
    hits[[0, 6, 7]] = False  # the probes are two a person
    assert result.value("identification_rate@rank=1") == pytest.approx(hits.mean(), abs=2 / 60)  # others may rise by one place
    assert result.value("identification_rate@rank=1") <= whole.value("identification_rate@rank=1") + 2 / 60
    assert (result.counts["failed_entries"], result.counts["failed_probes"], result.counts["failures_to_acquire"]) == (1, 1, 2)
    assert result.failures == ["3.jpg: is empty", "30.jpg: is empty"]  # each told once: its template is of it alone


def test_templates_of_several_images_are_pooled():
    searched, vectors = problem(people=10, strangers=4)
    rows = np.repeat(np.arange(len(vectors)), 2)
    plain = searched.templates
    two = Templates(rows, rows, np.arange(len(rows)), plain.person, plain.names)  # each image twice, of two media
    doubled = SearchSet("made", searched.source, two, searched.galleries, searched.ranks, searched.fpir)
    one, other = (Identification(given_set, replicates=2).run(Embedder(vectors)) for given_set in (searched, doubled))
    assert numbers(one) == pytest.approx(numbers(other))


def test_insightfaces_figures_stand_beside_under_their_name():
    searched, vectors = problem(galleries=2)
    result = Identification(searched, lookup="insightface", replicates=2).run(Embedder(vectors))
    merged = Gallery("", np.arange(30), searched.galleries[0].probe)
    judged = metrics.open_set(*sides(searched, vectors, merged), [0.1, 0.3], lookup="insightface")
    assert result.value("tpir@fpir=0.1_insightface") == pytest.approx(judged.tpir[0])
    peers = result.metric("tpir@fpir=0.1_insightface")
    assert (peers.threshold, peers.events) == (pytest.approx(judged.thresholds[0], abs=1e-6), judged.false_positives[0])
    assert result.metric("tpir@fpir=0.1").value is not None
    assert "insightface" in result.switches["fpir threshold"]


def test_a_rate_that_the_probes_cannot_resolve_says_how_many_it_needs():
    searched, vectors = problem(fpir=(0.01, 0.3))
    result = Identification(searched, replicates=2).run(Embedder(vectors))
    assert (result.value("tpir@fpir=0.01"), result.metric("tpir@fpir=0.01").needed) == (None, 100)
    assert any("FPIR=0.01" in line and "needs 100 probes without a mate" in line for line in result_lines([result]))


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"galleries": [Gallery("A", np.arange(0), np.arange(9))]}, "made A: 0 gallery entries"),
        ({"galleries": [Gallery("", np.arange(5), np.arange(0))]}, "0 probes"),
        ({"galleries": [Gallery("", np.arange(3), np.arange(60, 72))], "fpir": (0.1,)}, "it needs both kinds"),
        ({"galleries": [Gallery("", np.arange(30), np.arange(30, 60))], "fpir": (0.1,)}, "30 of 30 probes have"),
        ({"galleries": []}, "0 gallery entries"),
        ({"fpir": (0.0,)}, "cannot be asked for"),
        ({"ranks": (0,)}, "cannot be asked for"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_judged_is_refused(change, what):
    searched, _ = problem()
    fields = {"galleries": searched.galleries, "ranks": (1,), "fpir": ()} | change
    with pytest.raises(LimenError, match=what):
        Identification(SearchSet("made", searched.source, searched.templates, **fields))


def test_people_nobody_knows_are_each_somebody_else():
    searched, vectors = problem()
    person = searched.templates.person.copy()
    person[person >= 30] = -1  # the strangers
    unknown = SearchSet(
        "made", searched.source, Templates.of_images(person, searched.templates.names), searched.galleries, (1, 5), (0.1, 0.3)
    )
    one, other = (Identification(given_set, replicates=20).run(Embedder(vectors)) for given_set in (searched, unknown))
    assert numbers(one) == numbers(other)
    assert one.counts == other.counts


def judged(searched, vectors, **options):
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return numbers(Identification(searched, replicates=2, **options).judge(TemplateVectors(unit, {}), {}))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_order_of_probes_entries_and_people_changes_nothing(seed):
    searched, vectors = problem(people=12, strangers=6, galleries=2)
    random = np.random.default_rng(seed)
    named = random.permutation(18)[searched.templates.person]
    shuffled = [Gallery(g.name, random.permutation(g.gallery), random.permutation(g.probe)) for g in searched.galleries]
    other = SearchSet("made", searched.source, Templates.of_images(named, searched.templates.names), shuffled, (1, 5), (0.3,))
    whole = SearchSet("made", searched.source, searched.templates, searched.galleries, (1, 5), (0.3,))
    assert judged(other, vectors) == pytest.approx(judged(whole, vectors))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_a_failed_template_raises_no_rate_at_one_threshold_and_a_distractor_neither(seed):
    """Closed set: fewer or other entries of strangers only, since a failed entry of another person may make room."""
    searched, vectors = problem(people=12, strangers=6, fpir=())
    random = np.random.default_rng(seed)
    before = judged(searched, vectors)
    failed = vectors.copy()
    failed[random.choice(searched.galleries[0].probe)] = np.nan
    assert all(value <= before[key] + 1e-12 for key, value in judged(searched, failed).items())
    stranger = random.choice(np.arange(36, 42))
    more = [Gallery("", np.append(searched.galleries[0].gallery, stranger), np.setdiff1d(searched.galleries[0].probe, stranger))]
    with_distractor = SearchSet("made", searched.source, searched.templates, more, (1, 5))
    assert all(value <= before[key] + 1e-12 for key, value in judged(with_distractor, vectors).items())


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_in_the_open_set_too_a_distractor_raises_no_rate(seed):
    """Somebody who searches nothing is enrolled: the strangers find no less, so the threshold is no lower."""
    searched, vectors = problem(people=12, strangers=6, seed=seed)
    (gallery,) = searched.galleries
    person = searched.templates.person
    alone = Gallery("", gallery.gallery, gallery.probe[person[gallery.probe] != 17])
    more = Gallery("", np.append(gallery.gallery, np.flatnonzero(person == 17)[0]), alone.probe)
    before, after = (
        judged(SearchSet("made", searched.source, searched.templates, [one], (1, 5), (0.3, 0.5)), vectors) for one in (alone, more)
    )
    assert before["tpir@fpir=0.3"] is not None
    assert all(after[key] <= before[key] + 1e-12 for key in before)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_shift_and_scale_of_scores_change_no_rate(seed):
    searched, vectors = problem(people=12, strangers=6, galleries=2, seed=seed)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    moved = np.c_[2 * unit, np.ones(len(unit))]  # a score s is 4 s + 1
    one, other = (Identification(searched, replicates=2).judge(TemplateVectors(found, {}), {}) for found in (unit, moved))
    assert numbers(one) == pytest.approx(numbers(other))
    for first, second in zip(one.metrics, other.metrics, strict=True):
        assert (first.threshold is None) == (second.threshold is None)
        if first.threshold is not None:
            assert second.threshold == pytest.approx(4 * first.threshold + 1)


def test_two_equal_galleries_have_the_interval_of_one():
    """People are drawn in all galleries at once: the mean of a gallery with itself is no surer than the gallery."""
    searched, vectors = problem()
    twice = [Gallery(name, searched.galleries[0].gallery, searched.galleries[0].probe) for name in ("A", "B")]
    two = SearchSet("made", searched.source, searched.templates, twice, searched.ranks, searched.fpir)
    one, mean = (Identification(given_set, replicates=50).run(Embedder(vectors)) for given_set in (searched, two))
    for metric in one.metrics:
        again = mean.metric(metric.key)
        assert again.value == pytest.approx(metric.value)
        assert (again.interval.low, again.interval.high) == pytest.approx((metric.interval.low, metric.interval.high))
        assert again.events == (None if metric.events is None else 2 * metric.events)


def test_curves_are_kept_of_each_gallery_with_thresholds_and_events():
    searched, vectors = problem(galleries=2)
    unit = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    result = Identification(searched, replicates=2).judge(TemplateVectors(unit, {}), {})
    assert [(curve.kind, curve.of) for curve in result.curves] == [("cmc", "G1"), ("det", "G1"), ("cmc", "G2"), ("det", "G2")]
    for curve, gallery in zip(result.curves[1::2], searched.galleries, strict=True):
        found = metrics.search(*sides(searched, vectors, gallery))
        axes = (curve.points[axis][1:] for axis in ("fpir", "fnir", "threshold", "false_positives"))
        for fpir, fnir, threshold, events in zip(*axes, strict=True):
            assert events == (found.other[~found.mated] >= threshold).sum() == round(fpir * (~found.mated).sum())
            assert fnir == pytest.approx(1 - ((found.mate >= threshold) & (found.rank < 1))[found.mated].mean())


def test_templates_of_no_gallery_and_no_probe_are_not_embedded():
    searched, vectors = problem(broken=(3,))
    entries = np.setdiff1d(searched.galleries[0].gallery, [3])
    probes = searched.galleries[0].probe[searched.templates.person[searched.galleries[0].probe] != 3]
    part = SearchSet("made", searched.source, searched.templates, [Gallery("", entries, probes)], (1,))
    result = Identification(part, replicates=2).run(Embedder(vectors))
    assert result.failures == []
    assert result.counts["templates_without_images"] == 0
    assert result.counts["images"] == len(entries) + len(probes)


def test_tinyface_equals_the_peers():
    golden = np.load(GOLDEN / "tinyface.npz")
    person = np.unique(np.r_[golden["probe_id"], golden["gallery_id"]], return_inverse=True)[1]
    probe, gallery = np.arange(len(golden["probe"])), len(golden["probe"]) + np.arange(len(golden["gallery"]))
    templates = Templates.of_images(person, [str(k) for k in range(len(person))])
    task = SearchSet("tinyface", problem()[0].source, templates, [Gallery("", gallery, probe)], ranks=(1, 5, 20))
    found = judged(task, np.concatenate([golden["probe"], golden["gallery"]]).astype(float))
    np.testing.assert_allclose([found[f"identification_rate@rank={k}"] for k in (1, 5, 20)], golden["out_rank1_5_20"], atol=1e-7)


def test_ijb_equals_the_peers_apart_and_insightface_merged():
    golden = np.load(GOLDEN / "ijb1n.npz")
    pooled, ids = metrics.pool_templates(golden["feat"].astype(float) + golden["feat_flip"], golden["template"], golden["media"])
    place = {name: np.searchsorted(ids, golden[name]) for name in ("gal1", "gal2", "probe")}
    person = np.full(len(ids), -1)
    for name, rows in place.items():
        person[rows] = golden[f"{name}_id"]
    galleries = [Gallery(name, place[side], place["probe"]) for name, side in (("G1", "gal1"), ("G2", "gal2"))]
    far, rate, threshold = golden["out_far_pr_th"].T
    task = SearchSet("ijbc", problem()[0].source, Templates.of_images(person, ids), galleries, fpir=tuple(far))
    result = Identification(task, lookup="insightface", replicates=2).judge(TemplateVectors(pooled, {}), {})
    for name in ("G1", "G2"):
        rates = [result.value(f"identification_rate@rank={k}_{name}") for k in (1, 5, 10)]
        np.testing.assert_allclose(rates, golden[f"out_keras_{name}"][:3], atol=1e-12)
    rates = [result.value(f"identification_rate@rank={k}_insightface") for k in (1, 5, 10)]
    np.testing.assert_allclose(rates, golden["out_top1_5_10"], atol=1e-12)
    peers = result.where(quantity="tpir", variant=["insightface"])
    np.testing.assert_allclose([metric.value for metric in peers], rate, atol=1e-12)
    np.testing.assert_allclose([metric.threshold for metric in peers], threshold, atol=1e-7)


def test_the_report_shows_searches(tmp_path):
    searched, vectors = problem(galleries=2)
    result = Identification(searched, replicates=20).run(Embedder(vectors), "model")
    lines = result_lines([result])
    assert lines[0] == "made · model: 30 gallery entries, 72 probes, 12 of them without a mate, 0 failures"
    assert any(line.startswith("  TPIR@FPIR=0.1") for line in lines)
    assert [line.split()[0] for line in lines[lines.index("galleries · made · model, rates in %") + 2 :][:2]] == ["G1", "G2"]
    write_evaluation(tmp_path, "made", [result])
    page = (tmp_path / "report.html").read_text()
    assert "CMC" in page
    assert "DET of the open set" in page
    assert "72 probes, 30 gallery entries" in page
