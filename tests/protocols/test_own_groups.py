"""Groups that a CSV names: each pair is counted once, at one threshold, and what cannot be told is named."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from limen import metrics
from limen.cli import main
from limen.data.pairs import PairSet, all_pairs_of, with_groups, with_related
from limen.errors import LimenError, LimenWarning
from limen.protocols import Verification, load_results
from limen.protocols.pair_scores import PairScores
from limen.report import result_lines
from made_up import NAMES, tiny_model, write_face

PEOPLE, EACH = 24, 4
NAMED = [f"person{number:02d}" for number in range(PEOPLE)]


class Folders:
    """Images at people/NAME/NUMBER.jpg, that nobody reads."""

    def __len__(self):
        return PEOPLE * EACH

    def image(self, index):
        raise NotImplementedError

    def locate(self, index):
        return f"people/{NAMED[index // EACH]}/{index % EACH}.jpg"


def own_pairs():
    return all_pairs_of(Folders(), np.repeat(np.arange(PEOPLE), EACH), 10**6, 0, "own")


def scores_of(pairs, seed=0):
    random = np.random.default_rng(seed)
    hard = np.isin(pairs.subject[pairs.first], np.arange(0, PEOPLE, 3))
    distance = 2 - 2 * random.normal(np.where(pairs.same, 0.5 - 0.2 * hard, 0.1 + 0.1 * hard), 0.12)
    return 1 - distance / 2  # as the runner rounds it


def judged(pairs, score, far=(0.1, 0.01), **options):
    return Verification(pairs, far=far, replicates=50, **options).judge(PairScores(2 - 2 * score, {}), {})


def table(path, *lines):
    path.write_text("\n".join([*lines, ""]))
    return path


def of_people(path, sex=lambda n: "F" if n % 3 else "M", age=lambda n: "young" if n < 8 else "old"):
    return table(path, "person,sex,age", *(f"{name},{sex(n)},{age(n)}" for n, name in enumerate(NAMED)))


def test_each_column_adds_up_to_the_whole_at_one_threshold(tmp_path):
    pairs = with_groups(own_pairs(), of_people(tmp_path / "groups.csv"))
    score = scores_of(pairs)
    result = judged(pairs, score)
    for rate in (0.1, 0.01):
        tar = result.metric(f"tar@far={rate:g}")
        for column, names in (("sex", "FM"), ("age", ("young", "old"))):
            labels = [f"{column}={name}" for name in (*names, "across groups")]
            fmr = [result.where(quantity="fmr", at={"far": rate}, variant=[label])[0] for label in labels]
            assert {metric.threshold for metric in fmr} == {tar.threshold}
            assert sum(metric.events for metric in fmr) == tar.events
            sizes = {what: [result.where(quantity=what, variant=[label])[0].value for label in labels] for what in ("mated", "non_mated")}
            assert {what: sum(of) for what, of in sizes.items()} == {what: result.counts[what] for what in sizes}
            assert sizes["mated"][-1] == 0  # nobody is in two groups
            fnmr = [result.where(quantity="fnmr", at={"far": rate}, variant=[label])[0] for label in labels[:-1]]
            assert sum(m.value * n for m, n in zip(fnmr, sizes["mated"], strict=False)) == pytest.approx((1 - tar.value) * pairs.same.sum())


def test_rates_of_a_group_are_those_of_its_pairs_alone(tmp_path):
    pairs = with_groups(own_pairs(), of_people(tmp_path / "groups.csv"))
    score = scores_of(pairs)
    result = judged(pairs, score)
    man = np.arange(PEOPLE) % 3 == 0
    one, other = man[pairs.subject[pairs.first]], man[pairs.subject[pairs.second]]
    threshold = metrics.threshold_at_fmr(score[~pairs.same], [0.1]).threshold[0]
    found = {name: result.where(quantity="fmr", at={"far": 0.1}, variant=[f"sex={name}"])[0] for name in "FM"}
    for name, own in (("M", one & other), ("F", ~one & ~other)):
        assert found[name].value == pytest.approx((score[own & ~pairs.same] >= threshold).mean())
        assert found[name].interval.low < found[name].value < found[name].interval.high
        (fnmr,) = result.where(quantity="fnmr", at={"far": 0.1}, variant=[f"sex={name}"])
        assert fnmr.value == pytest.approx((score[own & pairs.same] < threshold).mean())
    (ratio,) = result.where(quantity="fmr_ratio", at={"far": 0.1}, variant=["sex: M over F"])
    assert ratio.value == pytest.approx(found["M"].value / found["F"].value)
    assert 1 < ratio.interval.low < ratio.value < ratio.interval.high
    lines = "\n".join(result_lines([result]))
    assert "sex: M over F" in lines
    assert "FMR ratio@FAR=0.1" in lines


def test_people_in_no_group_are_counted_and_named(tmp_path):
    path = of_people(tmp_path / "groups.csv", sex=lambda n: "" if n < 2 else "F", age=lambda n: "one")
    path.write_text("\n".join(line for line in path.read_text().splitlines() if not line.startswith(NAMED[5])))
    with pytest.warns(LimenWarning, match=r"12 images of 3 people are in no group of sex \(people/person00/0.jpg.*counted as no group"):
        pairs = with_groups(own_pairs(), path)
    lost = np.isin(pairs.subject[pairs.first], [0, 1, 5]) | np.isin(pairs.subject[pairs.second], [0, 1, 5])
    np.testing.assert_array_equal(pairs.groups["sex"] == "no group", lost)
    result = judged(pairs, scores_of(pairs))
    (none,) = result.where(quantity="non_mated", variant=["sex=no group"])
    assert none.value == np.count_nonzero(lost & ~pairs.same)


def test_groups_of_one_person_and_small_ones_are_named(tmp_path):
    pairs = with_groups(own_pairs(), of_people(tmp_path / "groups.csv", sex=lambda n: "alone" if n == 7 else "F"))
    result = judged(pairs, scores_of(pairs))
    assert result.where(quantity="fmr", variant=["sex=alone"]) == []
    assert "FMR at FAR=0.1: sex=alone (0)" in result.switches["groups too small to say"]
    assert [m for m in result.metrics if m.quantity == "fmr_ratio" and m.variant[0].startswith("sex")] == []
    assert "Too few pairs to tell" in "\n".join(result_lines([result]))


def test_groups_by_file_may_part_one_person(tmp_path):
    path = table(
        tmp_path / "groups.csv", "file,pose", *(f"{Folders().locate(i)},{'side' if i % 2 else 'front'}" for i in range(PEOPLE * EACH))
    )
    pairs = with_groups(own_pairs(), path)
    side = np.arange(PEOPLE * EACH) % 2
    expected = np.array(["front", "across groups", "side"])[side[pairs.first] + side[pairs.second]]
    np.testing.assert_array_equal(pairs.groups["pose"], expected)
    (across,) = judged(pairs, scores_of(pairs)).where(quantity="mated", variant=["pose=across groups"])
    assert across.value == PEOPLE * 4


def test_related_people_against_all_other_impostors(tmp_path):
    path = table(tmp_path / "related.csv", "person,other", f"{NAMED[0]},{NAMED[3]}", f"{NAMED[6].upper()},{NAMED[9]}", "nobody,person01")
    with pytest.warns(LimenWarning, match=r"1 pairs name somebody who is not in own \(nobody and person01\)"):
        pairs = with_related(own_pairs(), path)
    score = scores_of(pairs)
    result = judged(pairs, score)
    people = [{one, other} for one, other in zip(pairs.subject[pairs.first], pairs.subject[pairs.second], strict=True)]
    related = np.array([both in ({0, 3}, {6, 9}) for both in people])
    assert related.sum() == 2 * EACH * EACH
    tar = result.metric("tar@far=0.1")
    for name, own in (("related people", related), ("all others", ~related)):
        (fmr,) = result.where(quantity="fmr", at={"far": 0.1}, variant=[f"impostors={name}"])
        assert fmr.value == pytest.approx((score[own & ~pairs.same] >= tar.threshold).mean())
        assert result.where(quantity="fnmr", variant=[f"impostors={name}"]) == []
    assert sum(m.events for m in result.where(quantity="fmr", at={"far": 0.1}) if m.variant) == tar.events


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["person,sex", "person01,F", "person01,M"], "person01 is in two groups of sex, F and M; correct it"),
        (["person,sex", "else,F"], "names none of the people of own, whom the folders of their images name: person00 is the first"),
        (["file,sex", "else.jpg,F"], "names none of the images of own; the first is people/person00/0.jpg"),
        (["person"], "needs the column file or person, and a column for each grouping; it has person"),
        (["person,file,sex"], "needs the column file or person"),
        (["person,sex,sex"], "has to name the columns, each once"),
        ([""], "has to name the columns, each once; it is empty"),
    ],
)
def test_bad_groups_are_refused(tmp_path, lines, said):
    with pytest.raises(LimenError, match=said):
        with_groups(own_pairs(), table(tmp_path / "groups.csv", *lines))


def test_bad_related_people_are_refused(tmp_path):
    with pytest.raises(LimenError, match="line 2 pairs person01 with themselves"):
        with_related(own_pairs(), table(tmp_path / "related.csv", "person,other", "person01,person01"))
    with pytest.raises(LimenError, match="none of its people are compared in own"):
        with_related(own_pairs(), table(tmp_path / "related.csv", "person,other", "a,b"))
    one = replace(own_pairs(), source=type("One", (Folders,), {"locate": lambda self, index: f"all/{index}.jpg"})())
    with pytest.raises(LimenError, match="all holds images of several people, so folders do not name them"):
        with_groups(one, table(tmp_path / "groups.csv", "person,sex", "all,F"))


def test_all_pairs_are_all_and_a_draw_says_so():
    labels = np.array([0, 1, 0, 2, 1, 0])
    pairs = all_pairs_of(Folders(), labels, 100, 0, "own")
    expected = {(frozenset((i, j)), labels[i] == labels[j]) for i in range(6) for j in range(i)}
    assert {
        (frozenset((i, j)), s) for i, j, s in zip(pairs.first.tolist(), pairs.second.tolist(), pairs.same.tolist(), strict=True)
    } == expected
    assert len(pairs) == 15
    assert pairs.switches["pairs"] == "all 4 mated ones; all 11 non-mated ones"
    drawn = all_pairs_of(Folders(), np.repeat(np.arange(PEOPLE), EACH), 500, 3, "own")
    assert isinstance(drawn, PairSet)
    chosen = {frozenset(pair) for pair in zip(drawn.first[~drawn.same].tolist(), drawn.second[~drawn.same].tolist(), strict=True)}
    assert len(chosen) == np.count_nonzero(~drawn.same) > 450
    assert drawn.switches["pairs"] == f"all 144 mated ones; {len(chosen)} of 4,416 non-mated ones, seed 3"
    with pytest.raises(LimenError, match="own: has no mated pair of images"):
        all_pairs_of(Folders(), np.arange(6), 100, 0, "own")


def test_folders_end_to_end(tmp_path, capsys):
    for place, name in enumerate(NAMES[:6]):
        for number in range(3):
            write_face(tmp_path / "people" / name / f"{number}.jpg", place, number)
    groups = table(tmp_path / "groups.csv", "person,sex", *(f"{name},{'FM'[place % 2]}" for place, name in enumerate(NAMES[:6])))
    related = table(tmp_path / "related.csv", "person,other", f"{NAMES[0]},{NAMES[1]}")
    words = ["evaluate", tiny_model(tmp_path), "--folders", tmp_path / "people", "--groups", groups, "--related", related, "--far", "0.1"]
    assert main([*map(str, words), "--out", str(tmp_path / "out"), "--replicates", "10", "--json"]) == 0
    (result,) = load_results(tmp_path / "out" / "result.json")
    assert (result.name, result.counts["mated"], result.counts["non_mated"]) == ("people", 18, 135)
    text = json.loads(capsys.readouterr().out)["text"]
    assert any("impostors=related people" in line for line in text)
    assert any("sex=F" in line for line in text)
    assert len(result.switches["groups_sha256"]) == 64
    words += ["--split", "1"]
    assert main([*map(str, words), "--out", str(tmp_path / "out2")]) == 1
    assert "compares no pairs one to one; give --folders without --split" in capsys.readouterr().err
    assert Path(tmp_path / "out2").exists() is False
