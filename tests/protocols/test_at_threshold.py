"""A model judged at a threshold found elsewhere: the naive rates, the promise, and whose people both sets hold."""

import json
import warnings
from dataclasses import replace

import numpy as np
import pytest

from limen.cli import main
from limen.data import FolderSource
from limen.data.pairs import all_pairs_of
from limen.data.synthetic import SyntheticFaces, save_folder
from limen.decision.operating_point import find_operating_points
from limen.errors import LimenError, LimenWarning
from limen.metrics import ScoredPairs
from limen.models.model import open_model
from limen.protocols import Result, Verification
from limen.protocols.pair_scores import PairScores
from made_up import tiny_model

PEOPLE, EACH = 40, 4
NAMES = [f"person{number:02d}" for number in range(PEOPLE)]


class Nowhere:
    """Images that nobody reads."""

    def __len__(self):
        return PEOPLE * EACH

    def image(self, index):
        raise NotImplementedError

    def locate(self, index):
        return f"people/{NAMES[index // EACH]}/{index % EACH}.jpg"


class Calibrated:
    """An embedder that is asked for its operating points alone."""

    def __init__(self, points):
        self.description = {"flip": True}
        self.operating_points = points


def own_pairs():
    return replace(all_pairs_of(Nowhere(), np.repeat(np.arange(PEOPLE), EACH), 10**6, 0, "own"), names=NAMES)


def scores_of(pairs, seed=0):
    random = np.random.default_rng(seed)
    distance = 2 - 2 * random.normal(np.where(pairs.same, 0.5, 0.1), 0.12)
    return 1 - distance / 2  # as the runner rounds it


def points_of(pairs, score, fmr=(0.01, 0.05), names=None, sha256="ab"):
    mated, non_mated = (
        ScoredPairs(score[kind], pairs.subject[pairs.first[kind]], pairs.subject[pairs.second[kind]]) for kind in (pairs.same, ~pairs.same)
    )
    words = {"reference": "elsewhere", "data_sha256": sha256, "flip": True, "names": names}
    return find_operating_points(non_mated, mated, fmr, **words)


def judged(pairs, score, points=(), at_threshold="own", **options):
    protocol = Verification(pairs, far=(0.1,), replicates=100, at_threshold=at_threshold, **options)
    return protocol.judge(PairScores(2 - 2 * score, {}), {}, "a", points)


def test_the_rates_are_those_of_a_plain_count_and_a_promise_kept_where_it_was_found():
    pairs = own_pairs()
    score = scores_of(pairs)
    points = points_of(pairs, score)
    result = judged(pairs, score, points)
    for point in points:
        fmr, fnmr = (result.metric(f"{quantity}@promised_fmr={point.fmr:g}") for quantity in ("fmr", "fnmr"))
        assert fmr.value == (score[~pairs.same] >= point.threshold).mean() <= point.fmr
        assert fmr.events == point.false_matches
        assert fnmr.value == pytest.approx((score[pairs.same] < point.threshold).mean(), abs=1e-12)
        assert fmr.threshold == fnmr.threshold == point.threshold
        for metric in (fmr, fnmr):
            assert metric.interval.low <= metric.value <= metric.interval.high
        assert (fmr.promised, fnmr.promised) == ("inside", "")
    assert result.hard_threshold == points[-1].threshold  # of the lowest FMR


@pytest.mark.parametrize(("shift", "said"), [(0.1, "below"), (-0.1, "above")])
def test_a_broken_promise_is_told_from_a_kept_one(tmp_path, shift, said):
    pairs = own_pairs()
    score = scores_of(pairs)
    result = judged(pairs, score + shift * ~pairs.same, points_of(pairs, score, [0.05]))
    metric = result.metric("fmr@promised_fmr=0.05")
    assert metric.promised == said
    assert {"below": metric.interval.low > 0.05, "above": metric.interval.high < 0.05}[said]
    result.save(tmp_path / "result.json")
    assert Result.load(tmp_path / "result.json") == result


@pytest.mark.parametrize("threshold", [0.0, 0.4, -1.0, 1.0])
def test_any_threshold_can_be_given(threshold):
    pairs = own_pairs()
    score = scores_of(pairs)
    result = judged(pairs, score, at_threshold=threshold)
    assert result.metric(f"fmr@threshold={threshold:g}").value == (score[~pairs.same] >= threshold).mean()
    assert result.metric(f"fnmr@threshold={threshold:g}").value == pytest.approx((score[pairs.same] < threshold).mean(), abs=1e-12)
    assert result.metric(f"fmr@threshold={threshold:g}").promised == ""
    for wrong in (2, -1.5, float("nan"), float("inf"), "mine"):
        with pytest.raises(LimenError, match="neither a cosine from -1 to 1 nor 'own'"):
            judged(pairs, score, at_threshold=wrong)


def test_groups_are_judged_there_too_and_add_up():
    pairs = own_pairs()
    score = scores_of(pairs)
    (point,) = points_of(pairs, score, [0.05])
    group = np.where(pairs.subject[pairs.first] < 10, "few", "many")
    result = judged(replace(pairs, groups={"size": group}), score, [point])
    whole = result.metric("fmr@promised_fmr=0.05")
    parts = [result.metric(f"fmr@promised_fmr=0.05_size={name}") for name in ("few", "many")]
    assert sum(part.events for part in parts) == whole.events
    assert {part.threshold for part in parts} == {point.threshold}
    assert all(part.promised for part in parts)


def test_people_who_are_in_both_sets_are_told():
    pairs, (here, there) = own_pairs(), (NAMES, [f"other{number}" for number in range(PEOPLE)])
    score = scores_of(pairs)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = judged(pairs, score, points_of(pairs, score, [0.05], there))
    assert "found on 40 people of elsewhere" in result.switches["operating point, FMR=0.05"]
    with pytest.warns(LimenWarning, match=r"found on 5 of 40 people who are judged \(person00, "):
        result = judged(pairs, score, points_of(pairs, score, [0.05], here[:5] + there[5:]))
    assert "person00" in result.switches["operating point, FMR=0.05"]
    with pytest.warns(LimenWarning, match="found on these very pairs; judge it on other people"):
        judged(replace(pairs, sha256="same"), score, points_of(pairs, score, [0.05], there, sha256="same"))
    result = judged(replace(pairs, names=None), score, points_of(pairs, score, [0.05], there))
    assert "cannot be told" in result.switches["operating point, FMR=0.05"]


def test_a_model_without_points_or_with_those_of_other_embeddings_is_refused():
    pairs = own_pairs()
    points = points_of(pairs, scores_of(pairs), [0.05])
    protocol = Verification(pairs, at_threshold="own")
    assert protocol.points(Calibrated(points)) == points
    assert Verification(pairs, at_threshold=0.3).points(Calibrated(())) == ()
    with pytest.raises(LimenError, match="no operating point to be judged at; run `limen calibrate`"):
        protocol.points(Calibrated(()))
    with pytest.raises(LimenError, match="found with the mirror image; leave --no-flip out"):
        Verification(pairs, at_threshold="own", flip=False).points(Calibrated(points))
    with pytest.raises(LimenError, match="found without the mirror image; add --no-flip"):
        Verification(pairs, at_threshold="own", flip=None).points(Calibrated([replace(points[0], flip=False)]))


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    home = tmp_path_factory.mktemp("at_threshold")
    save_folder(SyntheticFaces(8, 3, difficulty=0.3), home / "own")
    save_folder(SyntheticFaces(7, 3, difficulty=0.3, seed=7), home / "others")
    for place in sorted((home / "others").iterdir()):
        place.rename(place.with_name(f"other_{place.name}"))
    return home


def test_evaluate_judges_a_calibrated_model_on_other_people(capsys, home, tmp_path):
    model = tiny_model(home)
    words = ["evaluate", str(model), "--folders", str(home / "others"), "--replicates", "20"]
    assert main([*words, "--at-threshold", "--out", str(tmp_path / "none")]) == 1
    assert capsys.readouterr().err.splitlines()[-1].startswith("limen: tiny: has no operating point to be judged at")
    assert main(["calibrate", str(model), "--folders", str(home / "own"), "--fmr", "0.1", "0.02"]) == 0
    capsys.readouterr()
    assert main([*words, "--at-threshold", "--out", str(tmp_path / "own")]) == 0
    out, err = capsys.readouterr()
    assert "not one to deploy" not in out  # folders have no folds, and so no accuracy
    assert "promised 10.00 %: " in out
    assert "note:" not in err
    result = Result.load(tmp_path / "own" / "result.json")
    source = FolderSource(home / "others")
    vectors = open_model(model).embed(np.stack([source.image(k) for k in range(len(source))]), flip=True).vectors.astype(float)
    first, second = np.triu_indices(len(source), 1)
    score, same = (vectors[first] * vectors[second]).sum(1), source.labels[first] == source.labels[second]
    for point in open_model(model).operating_points:
        metric = result.metric(f"fmr@promised_fmr={point.fmr:g}")
        assert metric.value == (score[~same] >= point.threshold).mean()
        stored = next(
            one for one in json.loads((tmp_path / "own" / "result.json").read_text())["results"][0]["metrics"] if one["key"] == metric.key
        )
        assert stored["promised"] == metric.promised != ""
    page = (tmp_path / "own" / "report.html").read_text()
    assert "promised 10.00 %: " in page
    assert main([*words, "--at-threshold", "--no-flip", "--out", str(tmp_path / "flip")]) == 1
    assert "leave --no-flip out" in capsys.readouterr().err
    assert (
        main(
            [
                "evaluate",
                str(model),
                "--folders",
                str(home / "own"),
                "--at-threshold",
                "--replicates",
                "20",
                "--out",
                str(tmp_path / "same"),
            ]
        )
        == 0
    )
    assert "was found on 8 of 8 people who are judged" in capsys.readouterr().err


@pytest.mark.parametrize("word", ["2", "nan", "inf", "mine"])
def test_words_that_are_no_cosine_are_wrong_usage(capsys, word):
    with pytest.raises(SystemExit) as stopped:
        main(["evaluate", "a.safetensors", "--pairs", "b.bin", "--out", "c", "--at-threshold", word])
    assert stopped.value.code == 2
    assert "is no cosine from -1 to 1" in capsys.readouterr().err
