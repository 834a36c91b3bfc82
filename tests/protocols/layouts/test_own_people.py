"""One's own folders: split, drawn, judged as they are enrolled; what is wrong with them is named."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from limen import metrics
from limen.cli import main
from limen.errors import LimenError, LimenWarning
from limen.protocols import Gallery, Identification, load_results
from limen.protocols.identification import TemplateVectors
from limen.protocols.layouts.folders import open_sides, open_split
from limen.protocols.layouts.own_people import Sides, nested, own_search, split
from made_up import NAMES, tiny_model, write_face


def made_up_people(count, images=5):
    return {f"p{person:05d}": [Path(f"{person}/{image}.jpg") for image in range(images)] for person in range(count)}


def vectors_of(searched, noise=0.7, seed=0):
    """Unit vectors around a centre for each person, template by template."""
    random, person = np.random.default_rng(seed), searched.templates.person.copy()
    person[person < 0] = person.max() + 1 + np.arange((person < 0).sum())
    found = random.normal(size=(person.max() + 1, 32))[person] + noise * random.normal(size=(len(person), 32))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float32)


def judged(searched, vectors, **options):
    return Identification(searched, replicates=20, **options).judge(TemplateVectors(vectors, {}), {})


def test_a_split_is_a_draw_that_others_do_not_change():
    people = made_up_people(20)
    one, again, other = split("own", people, 2, 0), split("own", people, 2, 0), split("own", people, 2, 1)
    assert one == again
    assert one != other
    fewer = split("own", {person: images for person, images in people.items() if person < "p00010"}, 2, 0)
    for person, images in people.items():
        assert len(one.gallery[person]) == 2
        assert sorted([*one.gallery[person], *one.probe[person]]) == images
        assert fewer.gallery.get(person, one.gallery[person]) == one.gallery[person]


def test_people_of_too_few_images_are_strangers_counted_and_named():
    people = made_up_people(3) | {"Single": [Path("s/1.jpg")], "Pair": [Path("t/1.jpg"), Path("t/2.jpg")]}
    with pytest.warns(LimenWarning, match=r"own: 2 people have 2 images or fewer \(Single, Pair\): strangers to the gallery"):
        sides = split("own", people, 2, 0)
    searched = own_search("own", sides)
    assert searched.counts == {"distractors": 0, "people_enrolled": 3, "people_of_too_few_images": 2}
    assert len(searched.galleries[0].probe) == 3 * 3 + 3
    with pytest.raises(LimenError, match="own: nobody has more than 5 images; enrol fewer"):
        split("own", made_up_people(3), 5, 0)
    with pytest.raises(LimenError, match="--split 0: at least 1 image"):
        split("own", people, 0, 0)


def test_galleries_are_nested_and_keep_their_strangers():
    person = np.r_[np.arange(300), np.repeat(np.arange(300), 2), 300 + np.arange(40)]
    whole = Gallery("", np.arange(300), np.arange(300, len(person)))
    small, large = nested(person, whole, False, 0)
    assert (len(small.gallery), len(large.gallery)) == (10, 100)
    assert set(small.gallery) < set(large.gallery) < set(whole.gallery)
    for found in (small, large):
        assert len(found.probe) == 2 * len(found.gallery) + 40
        assert set(person[found.probe]) == set(person[found.gallery]) | set(range(300, 340))
    assert [found.probe.tolist() for found in nested(person, whole, True, 0)] == [whole.probe.tolist()] * 2


def test_those_who_are_looked_for_come_first_and_distractors_fill_up():
    person = np.r_[np.arange(5), np.full(200, -1), np.arange(5)]
    whole = Gallery("", np.arange(205), np.arange(205, 210))
    small, large = nested(person, whole, True, 3)
    assert set(range(5)) <= set(small.gallery) < set(large.gallery)
    assert (len(small.gallery), len(large.gallery)) == (10, 100)


def test_smaller_galleries_are_judged_as_they_would_be_alone_and_the_threshold_rises():
    searched = own_search("own", split("own", made_up_people(400), 1, 0))
    assert searched.strangers == "everyone"
    vectors = vectors_of(searched)
    result, thresholds = judged(searched, vectors), []
    for gallery in [*searched.nested, searched.galleries[0]]:
        at = {} if gallery is searched.galleries[0] else {"enrolled": float(len(gallery.gallery))}
        sides = (vectors[gallery.probe], searched.templates.person[gallery.probe], vectors[gallery.gallery])
        found = metrics.search(*sides, searched.templates.person[gallery.gallery])
        (rank,) = result.where(quantity="identification_rate", at={"rank": 1.0, **at})
        assert rank.value == pytest.approx(found.rank_rates([1])[0])
        (tpir,) = result.where(quantity="tpir", at={"fpir": 0.01, **at})
        assert tpir.events == np.count_nonzero(found.other >= tpir.threshold) <= 0.01 * len(gallery.probe)
        assert tpir.value == np.mean((found.mate >= tpir.threshold) & (found.rank == 0), where=found.mated)
        thresholds.append(tpir.threshold)
    assert thresholds == sorted(thresholds)
    assert result.switches["strangers"] == "every probe, its own person taken out of the gallery"


def test_everyone_a_stranger_equals_searching_without_the_own_person():
    searched = own_search("own", split("own", made_up_people(30), 2, 0))
    vectors, (whole,), person = vectors_of(searched), searched.galleries, searched.templates.person
    found = metrics.search(vectors[whole.probe], person[whole.probe], vectors[whole.gallery], person[whole.gallery])
    doubled = found.with_everyone_a_stranger()
    assert (doubled.mated.sum(), (~doubled.mated).sum()) == (90, 90)
    for row, probe in enumerate(whole.probe):
        others = whole.gallery[person[whole.gallery] != person[probe]]
        scores = vectors[others] @ vectors[probe]
        assert doubled.other[90 + row] == pytest.approx(scores.max(), abs=1e-6)
        assert whole.gallery[found.nearest[row]] == others[scores.argmax()]


def test_an_enrolled_photo_is_found_by_itself():
    searched = own_search("own", Sides(made_up_people(50, 1), {person: [Path(f"copy/{person}.jpg")] for person in made_up_people(50)}))
    vectors = vectors_of(searched)
    vectors[50:] = vectors[:50]
    result = judged(searched, vectors)
    assert result.value("identification_rate@rank=1") == 1
    assert result.mistakes == []


def test_mistakes_name_who_was_taken_for_whom():
    searched = own_search("own", Sides(made_up_people(60, 1), {p: [Path(f"probe/{p}.jpg")] for p in made_up_people(90)}))
    vectors = vectors_of(searched, noise=1.2)
    result = judged(searched, vectors, fpir=(0.1, 0.3))
    threshold = result.metric("tpir@fpir=0.1").threshold
    names, probes = list(made_up_people(60)), list(made_up_people(90))
    scores = vectors[60:] @ vectors[:60].T
    own = np.where(np.arange(60) == np.arange(90)[:, None], scores, -np.inf).max(1)
    other = np.where(np.arange(60) == np.arange(90)[:, None], -np.inf, scores)
    expected = {
        f"probe/{person}.jpg": names[other[row].argmax()]
        for row, person in enumerate(probes)
        if (other[row].max() >= own[row] if row < 60 else other[row].max() >= threshold)
    }
    assert {mistake.probe: mistake.taken_for for mistake in result.mistakes} == expected
    assert [m.score for m in result.mistakes] == sorted((m.score for m in result.mistakes), reverse=True)
    strangers = [mistake for mistake in result.mistakes if not mistake.enrolled]
    assert len(strangers) == result.metric("tpir@fpir=0.1").events > 0
    assert {mistake.own_score for mistake in strangers} == {None}


@pytest.fixture
def own(tmp_path):
    """people/ of five with four images each and one with one."""
    for place, name in enumerate(NAMES[:5]):
        for number in range(4):
            write_face(tmp_path / "people" / name / f"{number}.jpg", place, number)
    write_face(tmp_path / "people" / NAMES[5] / "0.jpg", 5, 0)
    return tmp_path


def evaluate(home, *words):
    return ["evaluate", str(tiny_model(home)), *map(str, words), "--out", str(home / "out"), "--replicates", "10", "--json"]


def test_split_folders_end_to_end(own, capsys):
    assert main(evaluate(own, "--folders", own / "people", "--split", 2)) == 0
    captured = capsys.readouterr()
    assert "1 people have 2 images or fewer" in captured.err
    (result,) = load_results(own / "out" / "result.json")
    assert (result.name, result.counts["people_enrolled"], result.counts["probes"]) == ("people", 5, 11)
    assert result.switches["norms kept (N)"] is False
    with open(own / "out" / "misidentified.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["probe"] for row in rows] == [mistake.probe for mistake in result.mistakes]
    text = json.loads(capsys.readouterr().out or captured.out)["text"]
    assert any("taken for somebody else" in line for line in text)


def test_gallery_and_probe_end_to_end(own):
    shutil.copytree(own / "people" / NAMES[0], own / "gallery" / NAMES[0])
    shutil.copytree(own / "people" / NAMES[1], own / "gallery" / NAMES[1])
    for name in NAMES[:3]:
        (own / "probe" / name).mkdir(parents=True)
        write_face(own / "probe" / name / "9.jpg", NAMES.index(name), 9)
    assert main(evaluate(own, "--gallery", own / "gallery", "--probe", own / "probe")) == 0
    (result,) = load_results(own / "out" / "result.json")
    assert (result.counts["gallery_entries"], result.counts["probes"], result.counts["probes_without_mate"]) == (2, 3, 1)
    assert main(evaluate(own, "--gallery", own / "gallery")) == 1


def test_what_is_wrong_with_folders_is_named(own):
    people = own / "people"
    shutil.copytree(people / NAMES[0], own / "others" / NAMES[0])
    with pytest.raises(LimenError, match=r"1 of the distractors are enrolled \(.*\); a distractor is nobody whom a probe looks for"):
        open_sides("own", people, people, own / "others")
    with pytest.raises(LimenError, match=r"own: .*0.jpg is enrolled and a probe; leave one of them"):
        open_sides("own", people, people)
    (own / "none").mkdir()
    with pytest.raises(LimenError, match=r"none: no images in this folder; name one with images of distractors"):
        open_sides("own", people, people, own / "none")
    shutil.copy(people / NAMES[0] / "0.jpg", people / NAMES[1] / "8.jpg")
    with pytest.warns(LimenWarning, match=r"1 images stand under two people .* one of the two is wrong"):
        open_split("own", people, 1)
    shutil.copytree(people / NAMES[0], people / NAMES[0].upper())
    with pytest.raises(LimenError, match=r"are spelt alike; put the images of one person in one folder"):
        open_split("own", people, 1)
