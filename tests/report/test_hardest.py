"""What a model is most wrong about: the extremes of the scores, counts that a plain loop gives, pictures of bounded size."""

import base64
import re

import cv2
import numpy as np
import pytest

from limen.data.pairs import PairSet
from limen.data.templates import Templates
from limen.protocols import Gallery, Identification, PairScores, SearchSet, Verification
from limen.protocols.hardest import LISTED
from limen.protocols.identification import TemplateVectors
from limen.report.hardest import SIDE, hardest_sections
from numbered_images import NumberedImages

PEOPLE, EACH, COUNT = 30, 4, 400


def faces(broken=()):
    return NumberedImages(PEOPLE * EACH, broken, lambda index: f"/faces/person{index // EACH}/{index}.jpg")


def pair_set(broken=()):
    random = np.random.default_rng(0)
    same = np.arange(COUNT) % 2 == 0
    person = random.integers(PEOPLE, size=COUNT)
    other = np.where(same, person, (person + random.integers(1, PEOPLE, size=COUNT)) % PEOPLE)
    first, second = person * EACH, other * EACH + random.integers(1, EACH, size=COUNT)
    return PairSet("made up", faces(broken), first, second, same, np.repeat(np.arange(PEOPLE), EACH))


def judged(pairs, failed=(), model="a"):
    distance = np.clip(np.where(pairs.same, 0.7, 1.3) + 0.3 * np.random.default_rng(1).normal(size=COUNT), 0, 4)
    distance[list(failed)] = np.nan
    return distance, Verification(pairs, replicates=2, far=(0.1, 0.01)).judge(PairScores(distance, {}), {}, model)


@pytest.mark.parametrize("failed", [(), (0, 1, 2, 3)])
def test_the_pairs_are_the_extremes_of_the_scores(failed):
    pairs = pair_set()
    distance, result = judged(pairs, failed)
    score, usable = 1 - distance / 2, ~np.isnan(distance)
    for mated, extremes in ((False, np.sort(score[~pairs.same & usable])[::-1]), (True, np.sort(score[pairs.same & usable]))):
        found = [pair for pair in result.hard_pairs if pair.mated == mated]
        assert [pair.score for pair in found] == extremes[:LISTED].tolist()
        for pair in found:
            row = int(np.flatnonzero(score == pair.score)[0])
            assert (pair.first, pair.second) == (pairs.place(pairs.first[row]), pairs.place(pairs.second[row]))


def test_the_people_are_counted_as_by_a_plain_loop():
    pairs = pair_set()
    distance, result = judged(pairs)
    assert result.hard_threshold == result.metric("tar@far=0.01").threshold
    counts = np.zeros((PEOPLE, 4), int)
    for first, second, same, score in zip(pairs.first // EACH, pairs.second // EACH, pairs.same, 1 - distance / 2, strict=True):
        accepted = score >= result.hard_threshold
        for person in {first, second}:
            counts[person] += np.array([same, same and not accepted, not same, not same and accepted])
    for person in result.hard_people:
        own = counts[int(person.of.split("/")[2].removeprefix("person"))]
        assert (person.mated, person.false_non_matches, person.non_mated, person.false_matches) == tuple(own)
    assert result.hard_people[0].false_non_matches == counts[:, 1].max()
    assert max(person.false_matches for person in result.hard_people) == counts[:, 3].max()
    assert len(result.hard_people) <= 2 * LISTED


def pictures(sections):
    text = "".join(section.html for section in sections)
    encoded = re.findall(r"data:image/jpeg;base64,([^\"]+)", text)
    return text, [cv2.imdecode(np.frombuffer(base64.b64decode(one), np.uint8), cv2.IMREAD_COLOR) for one in encoded]


def test_each_pair_is_one_small_picture_of_its_two_images():
    pairs = pair_set()
    _, result = judged(pairs)
    sections = hardest_sections([result], [pairs])
    assert [section.title for section in sections] == ["Worst false matches: a", "Worst false non-matches: a", "Who fails most: a"]
    text, found = pictures(sections)
    assert len(found) == 2 * LISTED
    for picture, pair in zip(found, result.hard_pairs, strict=True):
        assert picture.shape == (SIDE, 2 * SIDE, 3)
        shades = [int(place.rpartition("/")[2].removesuffix(".jpg")) for place in (pair.first, pair.second)]
        assert [picture[:, :SIDE].mean(), picture[:, SIDE:].mean()] == pytest.approx(shades, abs=3)
        assert f"{pair.score:.3f}" in text
    assert len(text) < 200_000


def test_an_image_that_cannot_be_read_is_grey_and_other_sets_have_no_pictures():
    pairs = pair_set()
    _, result = judged(pairs)
    sections = hardest_sections([result], [pair_set(broken=range(PEOPLE * EACH))])
    assert all(abs(int(picture.mean()) - 128) < 2 for picture in pictures(sections)[1])
    assert [section.title for section in hardest_sections([result], [])] == ["Who fails most: a"]


def test_a_search_shows_the_probe_beside_who_it_was_taken_for():
    random = np.random.default_rng(0)
    person = np.repeat(np.arange(PEOPLE), EACH)
    images = faces()
    templates = Templates.of_images(person, [images.locate(row) for row in range(len(images))])
    entries = np.arange(0, PEOPLE * EACH, EACH)
    probes = np.setdiff1d(np.arange(PEOPLE * EACH), entries)
    people = [f"Person {number}" for number in range(PEOPLE)]
    task = SearchSet("search", images, templates, [Gallery("", entries, probes)], people=people)
    vectors = random.normal(size=(PEOPLE, 8))[person] + random.normal(size=(PEOPLE * EACH, 8))
    vectors = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)
    result = Identification(task, replicates=2).judge(TemplateVectors(vectors, {}), {}, "a")
    (section,) = hardest_sections([result], [task])
    text, found = pictures([section])
    assert 0 < len(found) <= LISTED
    for picture, mistake in zip(found, result.mistakes, strict=False):
        probe, entry = int(mistake.probe.rpartition("/")[2].removesuffix(".jpg")), EACH * int(mistake.taken_for.split()[1])
        assert [picture[:, :SIDE].mean(), picture[:, SIDE:].mean()] == pytest.approx([probe, entry], abs=3)
        assert mistake.taken_for in text
