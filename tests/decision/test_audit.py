"""The audit of a gallery: the naive formula, a clean gallery that names nobody, a planted swap that is named, and `limen audit` itself."""

import json

import numpy as np
import pytest

from limen.cli import main
from limen.decision import audit
from limen.decision.audit import alike_within, best_strangers, likeness, most_alike
from limen.decision.enrolment import Enrolment, best_of_each
from limen.tables import read_csv


def unit(vectors):
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


def people_of(count=12, each=5, size=32, spread=0.08, seed=0):
    """(vectors, person) of people whose images lie close to them."""
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(count), each)
    return unit(unit(rng.normal(size=(count, size)))[person] + spread * rng.normal(size=(count * each, size))), person


@pytest.mark.parametrize("block", [1, 7, 4096])
def test_likeness_equals_the_naive_formula(monkeypatch, block):
    monkeypatch.setattr(audit, "BLOCK", block)
    vectors, person = people_of(6, 3, 8, 0.5)
    vectors[4] = np.nan
    vectors, person = np.r_[vectors, unit(np.ones((1, 8)))], np.r_[person, 6]  # a person of one image
    found = likeness(vectors, person)
    for k, vector in enumerate(vectors):
        if k == 4:
            assert np.isnan(found.own[k])
            assert found.nearest[k] == -1
            continue
        rest = [vectors[j] for j in np.flatnonzero(person == person[k]) if j not in (k, 4)]
        others = {p: unit(np.nansum(vectors[person == p], 0)) @ vector for p in range(7) if p != person[k]}
        nearest = max(others, key=others.get)
        assert found.nearest[k] == nearest
        assert found.nearest_cosine[k] == pytest.approx(others[nearest], abs=1e-5)
        assert found.own[k] == pytest.approx(unit(np.sum(rest, 0)) @ vector, abs=1e-5) if rest else np.isnan(found.own[k])


def test_clean_people_name_nobody_and_a_swap_is_named_first():
    vectors, person = people_of()
    assert likeness(vectors, person).outliers.size == 0
    person[[7, 31]] = person[[31, 7]]
    found = likeness(vectors, person)
    assert set(found.outliers.tolist()) == {7, 31}
    assert (found.nearest[7], found.nearest[31]) == (1, 6)


def test_pairs_within_a_gallery_stand_once_and_not_with_themselves():
    vectors, _ = people_of(9, 1, 3)
    cosine = vectors @ vectors.T
    found = alike_within(vectors, 0.2)
    expected = [(a, b) for a in range(9) for b in range(a + 1, 9) if cosine[a, b] >= 0.2]
    assert sorted(zip(found.first.tolist(), found.second.tolist(), strict=True)) == expected
    assert 3 < len(expected) < 30


@pytest.mark.parametrize("block", [4, 2048])
def test_the_most_alike_are_the_first_of_all_pairs(block, monkeypatch):
    monkeypatch.setattr("limen.decision.audit.BLOCK", block)
    vectors, _ = people_of(11, 1, 3)
    cosine = vectors @ vectors.T
    for threshold in (-2.0, 0.2, 2.0):
        pairs = sorted(((cosine[a, b], a, b) for a in range(11) for b in range(a + 1, 11) if cosine[a, b] >= threshold), reverse=True)
        count, found = most_alike(vectors, threshold, 5)
        assert count == len(pairs)
        assert list(zip(found.first.tolist(), found.second.tolist(), strict=True)) == [(a, b) for _, a, b in pairs[:5]]
        np.testing.assert_allclose(found.score, [score for score, _, _ in pairs[:5]], atol=1e-6)
    assert most_alike(vectors[:0], 0.1, 5)[0] == 0


def test_the_share_of_people_reaches_the_score_of_the_best_stranger():
    vectors, _ = people_of(200, 1, 8)
    cosine = vectors @ vectors.T - 9 * np.eye(200)
    scores, found = best_strangers(vectors)
    np.testing.assert_allclose(scores, cosine.max(1), atol=1e-6)
    assert [one.share for one in found] == [0.5, 0.1, 0.01]
    for one in found:
        assert np.count_nonzero(scores >= one.score) == 200 * one.share
        assert one.low <= one.score <= one.high


def test_the_best_of_each_are_those_of_the_highest_score():
    rng = np.random.default_rng(0)
    person, score, usable = rng.integers(0, 5, 40), rng.normal(size=40), rng.random(40) < 0.8
    for count in (1, 3, 40):
        chosen = best_of_each(person, score, usable, count)
        for one in range(5):
            own = [k for k in range(40) if person[k] == one and usable[k]]
            assert set(np.flatnonzero(chosen & (person == one))) == set(sorted(own, key=lambda k: -score[k])[:count])
    np.testing.assert_array_equal(best_of_each(person, score, usable, 40), usable)


def gallery(path, vectors, person, **without):
    """What `limen embed --templates` would write of these."""
    names = np.array([f"person {p:02d}" for p in range(person.max() + 1)])
    arrays = {
        "image_vectors": vectors,
        "vectors": unit(np.array([vectors[person == p].sum(0) for p in range(len(names))])),
        "templates": names,
        "template": names[person],
        "files": np.array([f"people/{names[p]}/{k}.png" for k, p in enumerate(person)]),
    }
    Enrolment({name: value for name, value in arrays.items() if name not in without}, []).save(path, {"network": {}})
    return str(path)


def audited(capsys, *words):
    assert main(["audit", *map(str, words), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_the_command_names_nobody_of_a_clean_gallery_and_what_was_planted_in_another(capsys, tmp_path):
    vectors, person = people_of()
    clean = audited(capsys, gallery(tmp_path / "clean.npz", vectors, person))
    assert (clean["people"], clean["outliers"], clean["alike"]) == (12, [], [])
    vectors[person == 9] = unit(vectors[person == 3] + 0.01)  # one person under two names
    person[[7, 31]] = person[[31, 7]]
    spoilt = gallery(tmp_path / "spoilt.npz", vectors, person)
    found = audited(capsys, spoilt, "--outliers", tmp_path / "o.csv", "--pairs", tmp_path / "p.csv")
    swapped = {"people/person 06/7.png", "people/person 01/31.png"}
    assert swapped <= {row["file"] for row in found["outliers"]}
    assert [(row["person"], row["other"]) for row in found["alike"]] == [("person 03", "person 09")]
    assert [row["person"] for _, row in read_csv(tmp_path / "p.csv", ["person", "other", "score"])] == ["person 03"]
    assert len(list(read_csv(tmp_path / "o.csv", ["file", "person", "score", "nearest", "nearest_cosine"]))) == len(found["outliers"])
    assert main(["audit", spoilt]) == 0
    assert "1 pairs of people are too much alike:" in capsys.readouterr().out
    assert [row["person"] for row in audited(capsys, spoilt, "--threshold", "0.999")["alike"]] in ([], ["person 03"])


def test_a_file_of_older_versions_and_bad_input_are_said_in_one_line(capsys, tmp_path):
    vectors, person = people_of()
    older = gallery(tmp_path / "older.npz", vectors, person, image_vectors=True)
    assert audited(capsys, older)["outliers"] is None
    alone = gallery(tmp_path / "alone.npz", vectors[:5], person[:5])
    bent = gallery(tmp_path / "bent.npz", 2 * vectors, person)
    (tmp_path / "text.npz").write_text("no archive")
    for words, said in (
        ([older, "--outliers", "o.csv"], "no vectors of images"),
        ([older, "--pairs", "p.txt"], "ends in .csv"),
        ([older, "--threshold", "2"], "between -1 and 1"),
        ([alone], "compares people with each other"),
        ([bent], "unit length"),
        ([tmp_path / "text.npz"], "no .npz file"),
        ([tmp_path / "none.npz"], "none.npz"),
    ):
        assert main(["audit", *map(str, words)]) == 1
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert said in line
