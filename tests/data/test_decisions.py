"""Decisions on labels, applied: what moves, what is left out, what stays; and the list and links that training reads."""

import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from limen.cli import main
from limen.data import FolderSource, open_source
from limen.data.decisions import corrected, read_decisions, save_links
from limen.data.joint import open_data
from limen.data.synthetic import SyntheticFaces, save_folder
from limen.errors import LimenError
from limen.models.bundle import load_bundle, save_bundle
from limen.tables import write_csv
from made_up import tiny_model

COLUMNS = ["file", "person", "decision", "new_person", "reviewer", "time", "model", "pair_with"]
ANN, BO, CY = "Ann", os.fsdecode(b"Bo\xe9"), "=Cy"


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    root = tmp_path_factory.mktemp("labels") / "faces"
    save_folder(SyntheticFaces(3, 3), root)
    for person, name in zip(sorted(root.glob("synthetic-*")), (ANN, BO, CY), strict=True):
        person.rename(root / name)
    return root


def table(path, *rows):
    """decisions.csv of (file, person, decision[, new_person[, pair_with]])."""
    cells = [
        [*row[:3], row[3] if len(row) > 3 else "", "me", "2026-01-01T00:00:00Z", "f" * 64, row[4] if len(row) > 4 else ""] for row in rows
    ]
    write_csv(path, COLUMNS, cells)
    return str(path)


def labels_of(source):
    """Real path of each image -> its person."""
    return {os.path.realpath(source.locate(k)): source.class_names[source.labels[k]] for k in range(len(source))}


@pytest.mark.parametrize("out", ["corrected.csv", "corrected"])
def test_what_is_written_equals_the_labels_with_each_decision_applied(faces, tmp_path, out):
    expected, files = labels_of(FolderSource(faces)), {name: sorted((faces / name).iterdir()) for name in (ANN, BO, CY)}
    before = {path: path.read_bytes() for path in faces.rglob("*") if path.is_file()}
    rows = [
        (files[ANN][0], ANN, "move", BO),  # whose name is taken there
        (files[ANN][1], ANN, "right"),
        (files[BO][0], BO, "unsure"),
        *((file, CY, "wrong") for file in files[CY][:2]),
        (files[CY][2], CY, "move", ANN),  # nobody is left of Cy
        (files[BO][1], BO, "wrong", "", files[ANN][1]),  # a pair
    ]
    path = table(tmp_path / "decisions.csv", *([str(cell) for cell in row] for row in rows))
    assert main(["data", "apply", path, "--data", str(faces), "--out", str(tmp_path / out)]) == 0
    for file in files[CY][:2]:
        del expected[str(file.resolve())]
    expected[str(files[ANN][0].resolve())] = BO
    expected[str(files[CY][2].resolve())] = ANN
    source = open_source("list", tmp_path / out) if out.endswith(".csv") else FolderSource(tmp_path / out)
    assert labels_of(source) == expected
    assert Counter(source.labels.tolist()) == {0: 3, 1: 4}
    originals = FolderSource(faces)
    whole = {os.path.realpath(originals.locate(k)): originals.image(k) for k in range(len(originals))}
    assert all(np.array_equal(source.image(k), whole[os.path.realpath(source.locate(k))]) for k in range(len(source)))
    assert {path: path.read_bytes() for path in faces.rglob("*") if path.is_file()} == before
    assert main(["data", "apply", path, "--data", str(faces), "--out", str(tmp_path / out)]) == 1  # never written over


def test_it_says_what_changed(faces, tmp_path, capsys):
    first = sorted((faces / ANN).iterdir())[0]
    path = table(tmp_path / "decisions.csv", (str(first), ANN, "wrong"))
    assert main(["data", "apply", path, "--data", str(faces), "--out", str(tmp_path / "new.csv")]) == 0
    said = capsys.readouterr().out
    assert f"{first}: left out, not {ANN}" in said
    assert "0 moved, 1 left out" in said
    assert "8 images of 3 people" in said


def test_training_reads_the_list(faces, tmp_path):
    path = table(tmp_path / "decisions.csv", (str(sorted((faces / ANN).iterdir())[0]), ANN, "move", CY))
    assert main(["data", "apply", path, "--data", str(faces), "--out", str(tmp_path / "new.csv")]) == 0
    words = ["--data.reader", "list", "--data.path", str(tmp_path / "new.csv"), "--out", str(tmp_path / "run"), "--batch_size", "3"]
    words += ["--epochs", "1", "--data.workers=0", "--device", "cpu", "--backbone.name", "tiny", "--backbone.embedding_size", "8"]
    assert main(["train", *words]) == 0
    assert main(["data", "inspect", str(tmp_path / "new.csv"), "--check"]) == 0


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([("Ann/0001.png", ANN, "maybe")], "line 2: the decision 'maybe' is not known"),
        ([("Ann/0001.png", ANN, "move")], "names a new_person"),
        ([("Ann/0001.png", ANN, "right", BO)], "names a new_person"),
        ([("Ann/0001.png", ANN, "move", "Nobody")], "no person Nobody to move to"),
        ([("Ann/0009.png", ANN, "right")], "have no image .*0009.png"),
        ([("Ann/0001.png", CY, "right")], "is labelled Ann, not =Cy"),
        ([("Ann/0001.png", ANN, "right"), ("Ann/0001.png", ANN, "wrong")], "line 3: .* is decided otherwise in .*line 2"),
    ],
)
def test_what_cannot_be_applied_is_named_by_its_line_and_nothing_is_written(faces, tmp_path, rows, said):
    path = table(tmp_path / "decisions.csv", *((str(faces / row[0]), *row[1:]) for row in rows))
    with pytest.raises(LimenError, match=said):
        corrected(FolderSource(faces), read_decisions([path])[0])
    assert main(["data", "apply", path, "--data", str(faces), "--out", str(tmp_path / "new")]) == 1
    assert not (tmp_path / "new").exists()


def test_equal_decisions_of_two_reviewers_are_one(faces, tmp_path):
    first = str(sorted((faces / ANN).iterdir())[0])
    paths = [table(tmp_path / name, (first, ANN, "wrong")) for name in ("a.csv", "b.csv")]
    assert len(read_decisions(paths)[0]) == 1
    table(tmp_path / "b.csv", (first, ANN, "unsure"))
    with pytest.raises(LimenError, match=r"b.csv: line 2: .*decided otherwise in .*a.csv"):
        read_decisions(paths)


def test_images_that_are_no_files_are_corrected_into_another_form(faces, tmp_path, capsys):
    """Of an Arrow file and a folder in one run, as the model that was trained on both names them."""
    pytest.importorskip("pyarrow")
    assert main(["data", "convert", str(faces), "--out", str(tmp_path / "a.arrow")]) == 0
    joint = {"path": None, "options": {}, "sources": [{"path": str(tmp_path / "a.arrow")}, {"path": str(faces), "name": "own"}]}
    bundle, source = load_bundle(tiny_model(tmp_path)), open_data(joint)
    save_bundle(tmp_path / "model.safetensors", replace(bundle, recipe={"data": joint}))
    rows = [(source.locate(0), f"{CY}@a", "move", f"{ANN}@own"), (source.locate(9), f"{CY}@own", "wrong")]
    words = ["data", "apply", table(tmp_path / "d.csv", *rows), "--data", str(tmp_path / "model.safetensors"), "--out"]
    assert main([*words, str(tmp_path / "new.csv")]) == 1
    assert "is no file of its own" in capsys.readouterr().err
    assert main([*words, str(tmp_path / "new.arrow")]) == 0
    found = open_source("arrow", tmp_path / "new.arrow")
    expected = [f"{ANN}@own", *(source.class_names[label] for label in source.labels[1:9]), f"{CY}@own", f"{CY}@own"]
    assert [found.class_names[label] for label in found.labels[: len(expected)]] == expected
    assert len(found) == len(source) - 1
    for k, of in ((0, 0), (9, 10)):
        assert found.encoded(k) == (source.place(of)[0].encoded(source.place(of)[1]))


def test_links_are_made_whole_or_not_at_all(faces, tmp_path):
    files = [str(path) for path in sorted((faces / ANN).iterdir())]
    with pytest.raises(LimenError, match="is no file of its own"):
        save_links(tmp_path / "new", [*files, "train.rec record 3"], [ANN] * 4)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        ("file,person\na.png,\n", "line 2 has no person"),
        ("file,person\n,Ann\n", "line 2 has no file"),
        ("file,person\na.png,Ann\na.png,Bo\n", "line 3: a.png stands in line 2 too"),
        ("file,person\n", "names no image"),
        ("file,name\n", "lacks the column person"),
    ],
)
def test_a_list_that_is_none_is_refused(tmp_path, lines, said):
    (tmp_path / "list.csv").write_text(lines)
    with pytest.raises(LimenError, match=said):
        open_source("list", tmp_path / "list.csv")


def test_files_of_a_list_are_found_from_its_folder(faces):
    """A list beside its images may name them as it would from there."""
    path = faces / "list.csv"
    write_csv(path, ["file", "person"], [[str(file.relative_to(faces)), file.parent.name] for file in sorted(faces.rglob("*.png"))])
    source, whole = open_source("list", path), FolderSource(faces)
    assert labels_of(source) == labels_of(whole)
    assert np.array_equal(source.image(4), open_source("list", path).image(4))
    Path(path).unlink()
