"""The page of pairs of people, in a browser; and what its decisions leave out of a set, or join in it."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from limen.cli import main
from limen.data import FolderSource, open_source
from limen.data.synthetic import SyntheticFaces, save_folder
from limen.decision.enrolment import Enrolment
from limen.tables import read_csv, write_csv

COLUMNS = ["file", "person", "decision", "new_person", "reviewer", "time", "model", "pair_with"]
TABLE = ["person", "other", "score", "same_name", "decision"]


def embedded(folder, directions, path, model="f" * 64):
    """What `limen embed` would write of a folder whose people lie in these directions, by a made-up model."""
    source = FolderSource(folder)
    vectors = np.array([directions[source.class_names[label]] for label in source.labels], np.float32)
    vectors += 0.05 * np.random.default_rng(0).normal(size=vectors.shape).astype(np.float32)
    arrays = {"vectors": vectors / np.linalg.norm(vectors, axis=1, keepdims=True)}
    arrays["files"] = np.array([source.locate(k) for k in range(len(source))])
    Enrolment(arrays, []).save(path, {"model_sha256": model, "network": {"model_sha256": model}})
    return str(path)


@pytest.fixture(scope="module")
def sets(tmp_path_factory):
    """Two sets: Ann is in both, Bo looks like Boris of the other, Cy is like nobody, and another Di is in either."""
    home = tmp_path_factory.mktemp("people")
    names = {"a": ("Ann", "Bo", "Cy", "Di"), "b": ("Anna", "Boris", "Di", "Eve")}
    axes = np.eye(8, dtype=np.float32)
    near = {"Ann": axes[0], "Anna": axes[0], "Bo": axes[1], "Boris": axes[1] + axes[7] / 2, "Cy": axes[2], "Eve": axes[5]}
    found = []
    for number, (one, people) in enumerate(names.items()):
        save_folder(SyntheticFaces(4, 3, first_identity=10 * number), home / one)
        for folder, name in zip(sorted((home / one).glob("synthetic-*")), people, strict=True):
            folder.rename(home / one / name)
        found.append(embedded(home / one, near | {"Di": axes[3 + number]}, home / f"{one}.npz"))
    return home, found


def overlap(sets, out, *words):
    return main(["data", "overlap", *sets[1], "--threshold", ".7", "--out", str(out / "both.csv"), *map(str, words)])


def saved(browser, path):
    browser.keys("s")
    path.write_bytes(browser.downloaded("decisions.csv"))
    return [row for _, row in read_csv(path, COLUMNS)]


def test_what_is_decided_of_two_people_is_what_the_list_leaves_out(browser, sets, tmp_path, capsys):
    assert overlap(sets, tmp_path, "--rest", tmp_path / "rest.csv") == 0
    rows = [row for _, row in read_csv(tmp_path / "both.csv", TABLE)]
    assert [(row["person"], row["other"]) for row in rows] == [("Ann", "Anna"), ("Bo", "Boris"), ("Di", "Di")]
    assert set(open_source("list", tmp_path / "rest.csv").class_names) == {"Cy"}
    page = tmp_path / "page.html"
    assert main(["review", str(tmp_path / "both.csv"), "--data", sets[1][0], "--other", sets[1][1], "--out", str(page)]) == 0
    browser.open(page)
    assert browser.run("document.querySelectorAll('.card img').length") == 6  # three of each
    assert "Ann and Anna?" in browser.run("document.querySelector('.card').innerText")
    browser.keys("r", "m")  # are no keys of this page
    assert "3 undecided" in browser.run("document.body.innerText")
    browser.keys("y", "d", "u")
    decided = saved(browser, tmp_path / "decisions.csv")
    assert [(row["person"], row["decision"], Path(row["pair_with"]).parent.name) for row in decided] == [
        ("Ann", "same", "Anna"),
        ("Bo", "different", "Boris"),
        ("Di", "unsure", "Di"),
    ]
    assert {row["model"] for row in decided} == {"f" * 64}
    assert browser.run("[...document.querySelectorAll('.strip button')].map((mark) => mark.textContent)") == ["=", "≠", "?"]
    before = (tmp_path / "decisions.csv").read_bytes()
    browser.open_anew(page)
    browser.choose_file("#file", tmp_path / "decisions.csv")
    browser.wait("document.body.innerText.includes('3 decisions loaded')")
    saved(browser, tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_bytes() == before

    assert overlap(sets, tmp_path, "--rest", tmp_path / "rest2.csv", "--decisions", tmp_path / "decisions.csv") == 0
    assert set(open_source("list", tmp_path / "rest2.csv").class_names) == {"Bo", "Cy"}  # of Di nothing is sure, so the name decides
    assert [row["decision"] for _, row in read_csv(tmp_path / "both.csv", TABLE)] == ["same", "different", ""]
    assert "2 of 4 people are among the other 4" in capsys.readouterr().out


def test_two_who_are_found_to_be_one_are_joined(sets, tmp_path):
    home, _ = sets
    faces = home / "a"
    files = {name: [str(path) for path in sorted((faces / name).iterdir())] for name in ("Ann", "Bo", "Cy", "Di")}

    def decide(*rows):
        write_csv(tmp_path / "d.csv", COLUMNS, [[one, Path(one).parent.name, word, "", "me", "", "", two] for one, word, two in rows])
        (tmp_path / "new.csv").unlink(missing_ok=True)
        return main(["data", "apply", str(tmp_path / "d.csv"), "--data", str(faces), "--out", str(tmp_path / "new.csv")])

    # Di has lost an image, so the two who are one are Ann; Ann and Bo, and Bo and Cy, are one: so are all three
    gone = (files["Di"][0], "wrong", "")
    for rows, expected in (
        ([gone, (files["Di"][1], "same", files["Ann"][2]), (files["Ann"][0], "different", files["Bo"][0])], {"Ann": 5, "Bo": 3, "Cy": 3}),
        ([(files["Cy"][0], "same", files["Bo"][0]), (files["Bo"][1], "same", files["Ann"][0])], {"Ann": 9, "Di": 3}),
    ):
        assert decide(*rows) == 0
        source = open_source("list", tmp_path / "new.csv")
        assert dict(zip(source.class_names, np.bincount(source.labels).tolist(), strict=True)) == expected


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([("Ann 0", "same", "")], "pair_with has to name an image of the other"),
        ([("Ann 0", "same", "Nobody 0")], "have no image"),
        ([("Ann 0", "same", "Bo 0"), ("Bo 1", "different", "Ann 1")], "decided otherwise in"),
        ([("Ann 0", "same", "Bo 0"), ("Bo 0", "same", "Cy 0"), ("Ann 0", "different", "Cy 0")], "but others join them"),
    ],
)
def test_decisions_on_people_that_cannot_hold_are_said_in_one_line(sets, tmp_path, capsys, rows, said):
    home, _ = sets
    source = FolderSource(home / "a")
    place = {f"{source.class_names[k // 3]} {k % 3}": source.locate(k) for k in range(len(source))}
    cells = [[place[one], one.split()[0], word, "", "me", "", "", place.get(other, other)] for one, word, other in rows]
    write_csv(tmp_path / "d.csv", COLUMNS, cells)
    assert main(["data", "apply", str(tmp_path / "d.csv"), "--data", str(home / "a"), "--out", str(tmp_path / "new.csv")]) == 1
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert said in line
    assert not (tmp_path / "new.csv").exists()


def test_overlap_refuses_vectors_of_two_models_and_what_is_not_embedded(sets, tmp_path, capsys):
    home, (first, _) = sets
    other = embedded(home / "b", dict.fromkeys(("Anna", "Boris", "Di", "Eve"), np.ones(8, np.float32)), tmp_path / "o.npz", "e" * 64)
    for words, said in (([first, other], "another model"), ([first, str(home / "b")], "has to be embedded; add --model")):
        assert main(["data", "overlap", *words, "--threshold", ".7", "--out", str(tmp_path / "both.csv")]) == 1
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert said in line
    write_csv(tmp_path / "t.csv", TABLE, [["Nobody", "Anna", ".8", "0", ""]])
    for words, said in (
        ([], "add --data for the first and --other for the second"),
        (["--data", first, "--other", other], "line 2: the data have no person Nobody"),
    ):
        assert main(["review", str(tmp_path / "t.csv"), "--out", str(tmp_path / "p.html"), *words]) == 1
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert said in line
    assert not (tmp_path / "p.html").exists()


def test_a_page_of_an_audit_needs_no_model_and_its_decisions_apply(browser, sets, tmp_path):
    """An image in another's folder: the audit names it, the page shows it, and the decision puts it back."""
    home, _ = sets
    shutil.copytree(home / "a", tmp_path / "faces")
    strange = tmp_path / "faces" / "Bo" / "strange.png"
    next((tmp_path / "faces" / "Cy").iterdir()).rename(strange)
    axes = dict(zip(("Ann", "Bo", "Cy", "Di"), np.eye(8, dtype=np.float32), strict=False))
    path = Path(embedded(tmp_path / "faces", axes, tmp_path / "g.npz"))
    with np.load(path) as stored:
        arrays = dict(stored)
    arrays["vectors"][arrays["files"].tolist().index(str(strange))] = axes["Cy"]
    np.savez(path, **arrays)
    assert main(["audit", str(path), "--outliers", str(tmp_path / "odd.csv")]) == 0
    assert main(["review", str(tmp_path / "odd.csv"), "--data", str(path), "--out", str(tmp_path / "odd.html")]) == 0
    browser.open(tmp_path / "odd.html")
    assert "is this: Bo?" in browser.run("document.querySelector('.card').innerText")
    browser.keys("m", "Enter")
    assert saved(browser, tmp_path / "d.csv")[0]["new_person"] == "Cy"
    assert main(["data", "apply", str(tmp_path / "d.csv"), "--data", str(tmp_path / "faces"), "--out", str(tmp_path / "new.csv")]) == 0
    source = open_source("list", tmp_path / "new.csv")
    assert np.bincount(source.labels).tolist() == [3, 3, 3, 3]
