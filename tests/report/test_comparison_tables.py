"""Models side by side: a difference equals the plain paired bootstrap's, and what cannot be paired says so."""

import base64
import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import t as student

from limen import metrics
from limen.cli import main
from limen.data.pairs import PairSet
from limen.errors import LimenError
from limen.protocols import Interval, Metric, PairScores, Result, Verification, load_results, save_results
from limen.protocols.differences import OVER_SEEDS, PAIRED, UNPAIRED, contenders, training_of
from limen.protocols.result import Training
from limen.report.comparison_tables import comparison_tables
from limen.report.number_tables import table_lines

PEOPLE, EACH, COUNT = 60, 5, 1200


class Nothing:
    def __len__(self):
        return PEOPLE * EACH

    def image(self, index):
        raise AssertionError("no image is needed")

    def locate(self, index):
        return f"/somewhere/person{index // EACH}/{index // EACH}_{index % EACH}.jpg"


def pair_set(seed=0):
    random = np.random.default_rng(seed)
    same = np.arange(COUNT) % 2 == 0
    person = random.integers(PEOPLE, size=COUNT)
    other = np.where(same, person, (person + random.integers(1, PEOPLE, size=COUNT)) % PEOPLE)
    first, second = person * EACH, other * EACH + random.integers(1, EACH, size=COUNT)
    return PairSet("made up", Nothing(), first, second, same, np.repeat(np.arange(PEOPLE), EACH))


def distances(pairs, noise):
    """Of models that find the same pairs hard."""
    shared = np.random.default_rng(5).normal(size=len(pairs))
    own = np.random.default_rng(int(1000 * noise)).normal(size=len(pairs))
    return np.clip(np.where(pairs.same, 0.7, 1.3) + 0.25 * shared + noise * own, 0, 4)


def judged(model, noise, pairs=None, failed=(), training=None, **options):
    pairs = pairs or pair_set()
    distance = distances(pairs, noise)
    distance[list(failed)] = np.nan
    options = {"replicates": 200, "far": (0.05, 0.1)} | options
    result = Verification(pairs, **options).judge(PairScores(distance, {}), {}, model)
    result.training = training
    return result


def only(tables):
    (table,) = tables
    return table


def test_a_difference_is_that_of_the_paired_bootstrap():
    pairs = pair_set()
    first, second = (1 - distances(pairs, noise) / 2 for noise in (0.1, 0.3))
    table = only(comparison_tables([judged("a", 0.1), judged("b", 0.3)]))
    cells = {name: cells[0] for name, cells in table.rows}
    people = pairs.subject[pairs.first], pairs.subject[pairs.second]
    one, other = (metrics.weighted_tar_at_far(score, pairs.same, (0.05, 0.1)) for score in (first, second))
    expected = metrics.bootstrap_interval(lambda weight: other(weight) - one(weight), *people, 200)
    for number, rate in enumerate((0.05, 0.1)):
        cell = cells[f"made up TAR@FAR={rate}"]
        assert cell.value == pytest.approx(expected.value[number])
        assert (cell.interval.low, cell.interval.high) == pytest.approx((expected.low[number], expected.high[number]), abs=1e-6)
        assert cell.interval.method == PAIRED
    assert cells["made up Accuracy"].value < 0


def test_a_result_compared_with_itself_differs_by_nothing():
    table = only(comparison_tables([judged("a", 0.2), judged("again", 0.2)]))
    assert len(table.rows) >= 4
    for _, (cell,) in table.rows:
        assert (cell.value, cell.interval.low, cell.interval.high, cell.interval.method) == (0, 0, 0, PAIRED)


@pytest.mark.parametrize(
    "other",
    [{"pairs": pair_set(seed=1)}, {"failed": [0, 1]}, {"seed": 1}, {"replicates": 100}],
    ids=["other pairs", "a failure", "other draws", "fewer draws"],
)
def test_what_was_not_drawn_alike_is_unpaired_and_says_so(other):
    first, second = judged("a", 0.1), judged("b", 0.1, **other)
    table = only(comparison_tables([first, second]))
    cell = dict(table.rows)["made up Accuracy"][0]
    assert cell.interval.method == UNPAIRED
    a, b = (result.metric("accuracy") for result in (first, second))
    below = np.hypot(b.value - b.interval.low, a.interval.high - a.value)
    assert cell.interval.low == pytest.approx(b.value - a.value - below)
    assert "unpaired" in table_lines(table)[2]
    assert "Unpaired: judged on other pairs" in table.text


def test_results_that_kept_no_replicates_are_unpaired():
    interval = Interval(0.8, 0.9)
    older = [Result("lfw", "verification", "accuracy", [Metric("accuracy", 0.85, interval=interval)], model) for model in "ab"]
    cell = only(comparison_tables(older)).rows[0][1][0]
    assert (cell.value, cell.interval.method) == (0, UNPAIRED)
    assert cell.interval.high == pytest.approx(np.hypot(0.05, 0.05))


def test_where_the_images_lie_makes_no_difference_and_who_they_show_does():
    class Elsewhere(Nothing):
        def locate(self, index):
            return "D:\\faces\\" + super().locate(index).rpartition("/")[2]

    class Others(Nothing):
        def locate(self, index):
            return f"other{index}.jpg"

    mine, moved, others = (judged("a", 0.1, replace(pair_set(), source=source())) for source in (Nothing, Elsewhere, Others))
    assert mine.draws_sha256 == moved.draws_sha256 != others.draws_sha256


def seeds(margin, noises):
    recipe = {"margin": {"name": margin}, "seed": 0, "out": "x", "epochs": 2}
    told = [training_of({"recipe": recipe | {"seed": seed, "out": f"run{seed}"}}) for seed in range(len(noises))]
    return [judged(f"{margin}-{seed}", noise, training=told[seed]) for seed, noise in enumerate(noises)]


def test_runs_that_differ_by_their_seed_alone_are_one():
    results = seeds("arc", (0.1, 0.2, 0.3)) + seeds("cos", (0.4, 0.5, 0.6)) + [judged("lone", 0.2)]
    assert [model.name for model in contenders(results)] == ["arc, 3 seeds", "cos, 3 seeds", "lone"]
    grouped, differences = comparison_tables(results)
    values = np.array([result.value("accuracy") for result in results])
    mean, std, *_ = dict(grouped.rows)["made up Accuracy"]
    assert mean.value == pytest.approx(values[:3].mean())
    assert std.value == pytest.approx(values[:3].std(ddof=1))
    drawn = np.mean([result.metric("accuracy").replicates for result in results[:3]], axis=0, dtype=float)
    people, seed = drawn.var(ddof=1), values[:3].var(ddof=1) / 3
    freedom = (people + seed) ** 2 / (seed**2 / 2)
    half = np.sqrt(people + seed) * student.ppf(0.975, freedom)
    assert (mean.interval.low, mean.interval.high) == pytest.approx((mean.value - half, mean.value + half))
    cell = dict(differences.rows)["made up Accuracy"][0]
    assert cell.value == pytest.approx(values[3:6].mean() - values[:3].mean())
    assert cell.interval.method == OVER_SEEDS
    assert "lone" in differences.columns


def test_the_interval_over_people_and_seeds_holds_the_truth():
    """Three seeds whose accuracies vary with the people, alike for all, and with the seed."""
    random, inside = np.random.default_rng(0), 0
    for _ in range(400):
        of_people = random.normal(0, 0.01)
        values = 0.8 + of_people + random.normal(0, 0.01, 3)
        drawn = 0.8 + random.normal(0, 0.01, 200)
        results = []
        for seed, value in enumerate(values):
            metric = Metric("accuracy", float(value)).with_replicates(value + drawn - 0.8)
            results.append(Result("s", "v", "accuracy", [metric], f"m{seed}", draws_sha256="x", training=Training("r", seed)))
        interval = comparison_tables(results)[0].rows[0][1][0].interval
        inside += interval.low <= 0.8 <= interval.high
    assert 0.92 <= inside / 400 <= 0.99


@pytest.mark.parametrize("change", [{"epochs": 3}, {"margin": {"name": "cos"}}, {"seed": 0}])
def test_another_recipe_or_the_same_seed_is_another_model(change):
    recipe = {"margin": {"name": "arc"}, "epochs": 2, "seed": 0, "out": "a"}
    told = [training_of({"recipe": one}) for one in (recipe, recipe | {"seed": 1, "out": "b"} | change)]
    results = [judged(name, 0.1, training=training) for name, training in zip("ab", told, strict=True)]
    assert [model.name for model in contenders(results)] == ["a", "b"]


def test_other_people_trained_on_are_another_recipe():
    recipe = {"margin": {"name": "arc"}, "seed": 0}
    assert training_of({"recipe": recipe, "class_names_sha256": "a"}) != training_of({"recipe": recipe, "class_names_sha256": "b"})
    assert training_of({"recipe": {}}) is training_of({}) is None


def answer(capsys, *words):
    assert main([*map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def refusal(capsys, *words):
    assert main([*map(str, words)]) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    return said


def test_the_command_writes_one_report_of_all(capsys, tmp_path):
    for name, noise in (("one", 0.1), ("two", 0.3)):
        (tmp_path / name).mkdir()
        judged(name, noise).save(tmp_path / name / "result.json")
    found = answer(capsys, "compare-results", tmp_path / "one", tmp_path / "two" / "result.json", "--out", tmp_path / "out")
    rows = [row for row in found["comparison"] if row["row"] == "made up Accuracy"]
    assert [(row["column"], row["method"]) for row in rows] == [("two", PAIRED)]
    assert rows[0]["low"] <= rows[0]["value"] <= rows[0]["high"] < 0
    assert {result.model for result in load_results(found["result"])} == {"one", "two"}
    assert "differences from one" in (tmp_path / "out" / "tables.csv").read_text()
    assert "differences from one" in (tmp_path / "out" / "tables.tex").read_text()
    assert "Differences from one" in (tmp_path / "out" / "report.html").read_text()


def test_a_model_of_other_sets_alone_has_no_column():
    other = judged("c", 0.3)
    other.name = "another set"
    table = only(comparison_tables([judged("a", 0.1), other, judged("b", 0.3)]))
    assert table.columns == ["b"]
    assert all(len(cells) == 1 and cells[0].versus == "a" for _, cells in table.rows)


def test_models_of_one_name_are_told_apart(capsys, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        judged("model", 0.1).save(tmp_path / name / "result.json")
    assert main(["compare-results", str(tmp_path / "one"), str(tmp_path / "two")]) == 0
    said = capsys.readouterr().out
    assert "model (one/result.json)" in said
    assert "model (two/result.json)" in said
    found = answer(capsys, "compare-results", tmp_path / "one", tmp_path / "one")
    assert {row["column"] for row in found["comparison"]} == {"model (2)"}
    assert {(row["value"], row["low"], row["high"]) for row in found["comparison"]} == {(0, 0, 0)}


def test_bad_files_are_refused_in_one_line(capsys, tmp_path):
    judged("a", 0.1).save(tmp_path / "a.json")
    assert "name a second" in refusal(capsys, "compare-results", tmp_path / "a.json")
    (tmp_path / "no.json").write_text("[]")
    assert "not a result" in refusal(capsys, "compare-results", tmp_path / "a.json", tmp_path / "no.json")
    stored = json.loads((tmp_path / "a.json").read_text())
    stored["format"] = 99
    (tmp_path / "later.json").write_text(json.dumps(stored))
    assert "update limen" in refusal(capsys, "compare-results", tmp_path / "a.json", tmp_path / "later.json")
    stored["format"] = 2
    stored["results"][0]["metrics"][0]["drawn"] = base64.b64encode(b"abc").decode()
    (tmp_path / "cut.json").write_text(json.dumps(stored))
    assert "damaged" in refusal(capsys, "compare-results", tmp_path / "a.json", tmp_path / "cut.json")


def test_replicates_that_are_not_those_of_the_number_are_refused(tmp_path):
    """A file in which the replicates of one number were put in the place of another's."""
    result, other = judged("a", 0.1), judged("b", 0.3)
    result.metric("accuracy").drawn = other.metric("tar@far=0.05").drawn
    save_results([result], tmp_path / "a.json")
    with pytest.raises(LimenError, match="not those of its interval"):
        comparison_tables([*load_results(tmp_path / "a.json"), other])
