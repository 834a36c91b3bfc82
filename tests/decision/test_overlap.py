"""People in two sets: the blocks equal the whole product, and the command finds those who were put in both."""

import shutil

import numpy as np
import pytest

from limen.cli import main
from limen.data import FolderSource, open_source
from limen.data.synthetic import SyntheticFaces, save_folder
from limen.decision import overlap
from limen.errors import LimenError
from limen.models.model import open_model
from limen.tables import read_csv
from made_up import tiny_model


def directions(count, size, seed):
    vectors = np.random.default_rng(seed).normal(size=(count, size)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.mark.parametrize("block", [1, 7, 4096])
def test_blocks_find_what_the_whole_product_holds(monkeypatch, block):
    monkeypatch.setattr(overlap, "BLOCK", block)
    first, second = directions(23, 4, 0), directions(31, 4, 1)
    first[5] = np.nan
    found = overlap.alike(first, second, 0.6)
    cosine = first @ second.T
    expected = {(int(a), int(b)) for a, b in np.argwhere(cosine >= 0.6)}
    assert set(zip(found.first.tolist(), found.second.tolist(), strict=True)) == expected
    assert len(found.first) == len(expected) > 20
    assert (np.diff(found.score) <= 0).all()
    np.testing.assert_allclose(found.score, cosine[found.first, found.second], rtol=1e-6)


def test_a_threshold_that_all_pass_is_refused(monkeypatch):
    monkeypatch.setattr(overlap, "MOST", 100)
    with pytest.raises(LimenError, match="choose a higher one"):
        overlap.alike(directions(20, 4, 0), directions(20, 4, 1), -1.0)
    with pytest.raises(LimenError, match="one model"):
        overlap.alike(directions(2, 4, 0), directions(2, 5, 1), 0.5)


def test_one_name_of_two_sources_is_one_name_and_what_was_decided_stands_beside_it():
    vectors = np.eye(4, dtype=np.float32)
    found = overlap.in_both((["Ann@a", "Ann@b", "Bo"], ["Ann", "Cy"]), (vectors[:3], vectors[2:]), 0.5, {(1, 0): False, (0, 1): True})
    assert found == [
        overlap.Shared(2, 0, 1.0, False, ""),  # by their faces
        overlap.Shared(0, 0, 0.0, True, ""),  # by name
        overlap.Shared(1, 0, 0.0, True, "different"),
        overlap.Shared(0, 1, 0.0, False, "same"),  # by a person
    ]


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Two sets, a model, and who of the first is who in the second: one under another name, one under the same."""
    home = tmp_path_factory.mktemp("sets")
    save_folder(SyntheticFaces(5, 3), home / "a")
    save_folder(SyntheticFaces(4, 3, first_identity=100), home / "b")
    people = sorted((home / "a").glob("synthetic-*"))
    shutil.copytree(people[1], home / "b" / "Somebody")
    (sorted((home / "b").glob("synthetic-*"))[0]).rename(home / "b" / people[3].name)  # another face, the same name
    return home, tiny_model(home), people


def test_a_persons_vector_is_the_unit_mean_of_the_images_looked_at(sets):
    home, model, _ = sets
    source, embedder = FolderSource(home / "a"), open_model(model)
    found = overlap.person_vectors(embedder, source, images=2)
    for label, vector in enumerate(found.vectors):
        own = np.flatnonzero(source.labels == label)[[0, -1]]
        mean = embedder.embed(np.stack([source.image(int(k)) for k in own])).vectors.mean(0)
        np.testing.assert_allclose(vector, mean / np.linalg.norm(mean), atol=1e-5)


def test_who_was_put_in_both_is_found_and_left_out(sets, tmp_path, capsys):
    home, model, people = sets
    words = ["data", "overlap", str(home / "a"), str(home / "b"), "--model", str(model), "--out", str(tmp_path / "o.csv")]
    assert main([*words, "--threshold", ".99999", "--rest", str(tmp_path / "rest.csv")]) == 0
    rows = [row for _, row in read_csv(tmp_path / "o.csv", ["person", "other", "score", "same_name"])]
    assert [(row["person"], row["other"], row["same_name"]) for row in rows] == [
        (people[1].name, "Somebody", "0"),
        (people[3].name, people[3].name, "1"),
    ]
    assert float(rows[0]["score"]) == pytest.approx(1, abs=1e-4)
    rest = open_source("list", tmp_path / "rest.csv")
    assert set(rest.class_names) == {people[k].name for k in (0, 2, 4)}
    assert len(rest) == 9
    said = capsys.readouterr().out
    assert "2 of 5 people are among the other 5" in said
    assert "(1 by name alone)" in said


def test_without_a_threshold_of_its_own_a_model_needs_one(sets, tmp_path, capsys):
    home, model, _ = sets
    words = ["data", "overlap", str(home / "a"), str(home / "b"), "--model", str(model), "--out", str(tmp_path / "o.csv")]
    assert main(words) == 1
    assert "add --threshold" in capsys.readouterr().err
    assert main([*words, "--threshold", "2"]) == 1
    assert not (tmp_path / "o.csv").exists()
