"""Sets put together, divided and converted: images, people and order survive, nobody is in two parts, nothing is half-written."""

import os

import numpy as np
import pytest

from limen.cli import main
from limen.data import FolderSource, open_source
from limen.data.source import reader_of
from limen.data.splitting import counts_of_shares, split_people
from limen.data.synthetic import SyntheticFaces, save_folder
from limen.data.written import encoded_image
from limen.tables import write_csv

OUTS = {"list": "o.csv", "links": "o", "folder": "o", "tar": "o.tar", "recordio": "o", "arrow": "o.arrow", "parquet": "o.parquet"}


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    root = tmp_path_factory.mktemp("sets") / "faces"
    save_folder(SyntheticFaces(3, 3), root)
    for person, name in zip(sorted(root.glob("synthetic-*")), ("10", "=Bo", "Ünne"), strict=True):
        person.rename(root / name)
    return root


@pytest.fixture
def others(tmp_path):
    root = save_folder(SyntheticFaces(2, 2, first_identity=3), tmp_path / "others")
    next(root.glob("synthetic-*")).rename(root / "10")
    return root


def opened(path):
    return open_source(reader_of(path), path)


def content(source):
    """(person, bytes) of each image, in order."""
    return [(source.class_names[label], encoded_image(source, k)) for k, label in enumerate(source.labels.tolist())]


@pytest.mark.parametrize("form", OUTS)
def test_a_conversion_read_back_has_the_same_images_people_and_order(faces, tmp_path, form):
    if form in ("arrow", "parquet"):
        pytest.importorskip("pyarrow")
    source, out = FolderSource(faces), tmp_path / OUTS[form]
    assert main(["data", "convert", str(faces), "--to", form, "--out", str(out)]) == 0
    again = opened(out)
    assert list(again.class_names) == list(source.class_names)
    assert content(again) == content(source)
    assert all(np.array_equal(again.image(k), source.image(k)) for k in range(len(source)))
    assert main(["data", "convert", str(out), "--to", "folder", "--out", str(tmp_path / "back")]) == 0
    assert content(FolderSource(tmp_path / "back")) == content(source)


def test_a_folder_keeps_the_order_of_a_list_whose_names_would_not(faces, tmp_path):
    files = [path for path in sorted((faces / "10").iterdir(), reverse=True)]
    write_csv(tmp_path / "l.csv", ["file", "person"], [[str(file), "10"] for file in files])
    assert main(["data", "convert", str(tmp_path / "l.csv"), "--out", str(tmp_path / "o")]) == 0
    assert content(opened(tmp_path / "o")) == [("10", file.read_bytes()) for file in files]


@pytest.mark.parametrize("out", ["both.csv", "both", "both.tar"])
def test_merged_people_of_one_name_are_one_or_two_as_said_and_refused_unsaid(faces, others, tmp_path, capsys, out):
    words = ["data", "merge", str(faces), str(others), "--out"]
    assert main([*words, str(tmp_path / out)]) == 1
    assert "--same-name join" in capsys.readouterr().err
    assert not (tmp_path / out).exists()
    assert main([*words, str(tmp_path / out), "--same-name", "join"]) == 0
    expected = content(FolderSource(faces)) + content(FolderSource(others))
    assert sorted(content(opened(tmp_path / out))) == sorted(expected)
    assert main([*words, str(tmp_path / f"apart-{out}"), "--same-name", "apart"]) == 0
    apart = opened(tmp_path / f"apart-{out}")
    assert len(apart.class_names) == 5
    assert {"10@faces", "10@others"} < set(apart.class_names)
    assert sorted(code for _, code in content(apart)) == sorted(code for _, code in expected)


def test_parts_share_nobody_and_hold_everybody(faces, tmp_path):
    outs = [str(tmp_path / name) for name in ("a.csv", "b.csv")]
    assert main(["data", "split", str(faces), "--people", "1", "--out", *outs]) == 0
    first, second = map(opened, outs)
    assert not set(first.class_names) & set(second.class_names)
    assert sorted(content(first) + content(second)) == sorted(content(FolderSource(faces)))


def test_parts_are_exact_alike_in_size_and_those_of_the_seed():
    sizes = np.random.default_rng(0).geometric(0.05, 1000)
    counts = counts_of_shares([0.7, 0.2, 0.1], 1000)
    assert counts == [700, 200, 100]
    parts = split_people(sizes, counts, 5)
    assert np.bincount(parts).tolist() == counts
    ranks = np.argsort(np.argsort(sizes, kind="stable"))
    for part in range(3):  # at random the mean rank of 100 people has a deviation of 27
        assert abs(ranks[parts == part].mean() - 499.5) < 8
    assert np.array_equal(parts, split_people(sizes, counts, 5))
    assert not np.array_equal(parts, split_people(sizes, counts, 6))


def test_unreadable_images_are_refused_or_left_out_and_named(faces, tmp_path, capsys):
    good = str(next((faces / "10").iterdir()))
    for name in ("bad.jpg", "worse.jpg"):
        (tmp_path / name).write_bytes(b"\xff\xd8 no image")
    table = [[good, "A"], [str(tmp_path / "bad.jpg"), "A"], [str(tmp_path / "worse.jpg"), "B"]]
    write_csv(tmp_path / "l.csv", ["file", "person"], table)
    words = ["data", "convert", str(tmp_path / "l.csv"), "--to", "recordio", "--out", str(tmp_path / "o")]
    before = sorted(os.listdir(tmp_path))
    assert main(words) == 1
    assert "bad.jpg" in capsys.readouterr().err
    assert sorted(os.listdir(tmp_path)) == before
    assert main([*words, "--unreadable", "leave-out"]) == 0
    assert "worse.jpg" in (said := capsys.readouterr().out)
    assert "no image is left of B" in said
    assert [person for person, _ in content(opened(tmp_path / "o"))] == ["A"]


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (["merge", "FACES", "FACES", "--out", "NEW.csv"], "with itself"),
        (["merge", "FACES", "--out", "NEW.csv"], "two sets or more"),
        (["merge", "FACES", "LIST", "--same-name", "join", "--out", "NEW.csv"], "two of the sets"),
        (["split", "FACES", "--shares", ".5", ".4", "--out", "NEW.csv", "NEW2.csv"], "sum to 0.9"),
        (["split", "FACES", "--people", "1", "2", "--out", "NEW.csv", "NEW2.csv", "NEW3.csv", "NEW4.csv"], "4 names for 2 parts"),
        (["split", "FACES", "--people", "3", "--out", "NEW.csv", "NEW2.csv"], "one or more"),
        (["split", "FACES", "--shares", ".5", ".5", "--out", "NEW.csv", "NEW.csv"], "each once"),
        (["convert", "FACES", "--out", "LIST"], "is there already"),
        (["convert", "FACES", "--out", "NEW.rec"], "--to recordio"),
        (["convert", "FACES", "--to", "tar", "--out", "NEW.csv"], "ends in .tar"),
        (["convert", "FACES", "--out", "none/NEW.tar"], "no folder"),
        (["convert", "ODD", "--out", "NEW"], "no folder can have this name"),
        (["convert", "ODD", "--to", "links", "--out", "NEW"], "no folder can have this name"),
    ],
)
def test_bad_input_gets_one_line_and_nothing_is_written(faces, tmp_path, capsys, monkeypatch, words, fault):
    monkeypatch.chdir(tmp_path)
    good = str(next((faces / "10").iterdir()))
    write_csv("LIST.csv", ["file", "person"], [[good, "A"]])
    write_csv("ODD.csv", ["file", "person"], [[good, "../A"]])
    names = {"FACES": str(faces), "LIST": "LIST.csv", "ODD": "ODD.csv"}
    assert main(["data", *(names.get(word, word) for word in words)]) == 1
    error = capsys.readouterr().err
    assert fault in error
    assert error.count("\n") == 1
    assert sorted(os.listdir()) == ["LIST.csv", "ODD.csv"]
