"""The page of suspected labels, in a browser: every key, what it keeps, saves and loads."""

import os
from pathlib import Path

import numpy as np
import pytest

from limen.data import FolderSource
from limen.data.synthetic import SyntheticFaces, save_folder
from limen.errors import LimenError
from limen.recogniser import Embeddings
from limen.report.review import review_suspects
from limen.report.review.page import IN_PAGE
from limen.tables import read_csv, write_csv

COLUMNS = ["file", "person", "decision", "new_person", "reviewer", "time", "model", "pair_with"]
NAMES = ["=1+1", os.fsdecode(b"Jos\xe9"), 'quo"ted, <b>', "Ünder"]


class Colours:
    """A model whose vectors are mean colours."""

    def __init__(self):
        self.description = {"model_sha256": "f" * 64}

    def embed(self, images, flip=None):
        means = images.reshape(len(images), -1, 3).mean(1) - 128.0
        return Embeddings((means / np.linalg.norm(means, axis=1, keepdims=True)).astype(np.float32), np.ones(len(images), np.float32))


@pytest.fixture(scope="module")
def faces(tmp_path_factory):
    home = tmp_path_factory.mktemp("faces")
    save_folder(SyntheticFaces(len(NAMES), 6), home / "people")
    for person, name in zip(sorted((home / "people").glob("synthetic-*")), NAMES, strict=True):
        person.rename(home / "people" / name)
    return FolderSource(home / "people")


def suspects_of(source, path, numbers):
    names = source.class_names
    columns = ["index", "file", "person", "score", "weight", "looks", "nearest", "nearest_cosine"]
    people = [(names[source.labels[k]], names[(source.labels[k] + 1) % len(names)]) for k in numbers]
    write_csv(
        path, columns, [[k, source.locate(k), one, ".1", ".01", 3, other, ".5"] for k, (one, other) in zip(numbers, people, strict=True)]
    )
    return path


@pytest.fixture(scope="module")
def page(faces, tmp_path_factory):
    home = tmp_path_factory.mktemp("page")
    found = review_suspects(suspects_of(faces, home / "suspects.csv", [0, 7, 14, 21]), faces, Colours(), home / "review.html")
    assert (found["items"], found["gone"]) == (4, [])
    return home / "review.html"


def decisions(browser):
    """What the page saves, read as every command reads a table."""
    browser.keys("s")
    data = browser.downloaded("decisions.csv")
    path = browser.downloads.parent / "saved.csv"
    path.write_bytes(data)
    return [row for _, row in read_csv(path, COLUMNS)]


def test_each_key_decides_and_nothing_is_lost(browser, page, faces, tmp_path):
    files, names = [faces.locate(k) for k in (0, 7, 14, 21)], faces.class_names
    browser.open_anew(page)
    assert browser.run("document.querySelectorAll('main b').length") == 0  # a name is no markup
    assert "1 of 4, 4 undecided" in browser.run("document.body.innerText")
    browser.run("who.value = 'Ann'; who.dispatchEvent(new Event('change'))")
    browser.keys("r", "w", "u")
    browser.keys("m", "Enter")  # to the likely person
    rows = decisions(browser)
    assert [(row["file"], row["person"], row["decision"], row["new_person"]) for row in rows] == [
        (files[0], names[0], "right", ""),
        (files[1], names[1], "wrong", ""),
        (files[2], names[2], "unsure", ""),
        (files[3], names[3], "move", names[0]),
    ]
    assert {(row["reviewer"], row["model"]) for row in rows} == {("Ann", "f" * 64)}
    assert "0 undecided" in browser.run("document.body.innerText")

    browser.open(page)  # reloaded: all is there
    assert "0 undecided" in browser.run("document.body.innerText")
    browser.keys("Home", "z", "ArrowRight", "z", "j", "k", "k", "w", "n", "End", "ArrowLeft")
    assert [row["decision"] for row in decisions(browser)] == ["wrong", "unsure", "move"]
    assert "3 of 4, 1 undecided" in browser.run("document.body.innerText")
    browser.keys("n")
    assert "2 of 4" in browser.run("document.body.innerText")

    # loaded again, where the browser knows nothing; saved again, it is the same
    saved = browser.downloads.parent / "saved.csv"
    before = saved.read_bytes()
    browser.open_anew(page)
    assert "4 undecided" in browser.run("document.body.innerText")
    browser.choose_file("#file", saved)
    browser.wait("document.body.innerText.includes('3 decisions loaded')")
    decisions(browser)
    assert saved.read_bytes() == before

    # refused whole, in one line
    rows = [row for _, row in read_csv(saved, COLUMNS)]
    spoilt = {
        "another model": [rows[0] | {"model": "e" * 64}],
        "two decisions that differ": [rows[0], rows[0] | {"decision": "right"}],
        "not known": [rows[0] | {"decision": "maybe"}],
    }
    for said, bad in spoilt.items():
        write_csv(tmp_path / "bad.csv", COLUMNS, [[row[column] for column in COLUMNS] for row in bad])
        browser.choose_file("#file", tmp_path / "bad.csv")
        browser.wait(f"document.querySelector('[role=status]').textContent.includes('{said}')")
    (tmp_path / "bad.csv").write_text("file,person\n")
    browser.choose_file("#file", tmp_path / "bad.csv")
    browser.wait("document.querySelector('[role=status]').textContent.includes('lacks the column decision')")
    decisions(browser)
    assert saved.read_bytes() == before


def test_a_person_who_is_unknown_is_refused_and_escape_leaves(browser, page):
    browser.open_anew(page)
    browser.keys("m")
    browser.run("target.value = 'Nobody'")
    browser.keys("Enter")
    assert "There is no person Nobody" in browser.run("document.querySelector('[role=status]').textContent")
    browser.keys("Escape", "ArrowRight")
    assert "2 of 4, 4 undecided" in browser.run("document.body.innerText")


def test_colour_is_not_the_only_sign(browser, page):
    browser.open_anew(page)
    browser.keys("r", "w", "u")
    assert browser.run("[...document.querySelectorAll('.strip button')].map((mark) => mark.textContent)") == ["✓", "✕", "?", "·"]
    assert "wrong" in browser.run("document.querySelectorAll('.strip button')[1].getAttribute('aria-label')")


def test_500_suspects_open_in_two_seconds_and_stay_below_15_megabytes(browser, tmp_path):
    """Four pictures each: those that fit in the page, the others beside it, where they are shown too."""
    people = 510
    source = Noise(people)
    table = suspects_of(source, tmp_path / "suspects.csv", range(0, len(source), 5))
    review_suspects(table, source, Colours(), tmp_path / "large.html")
    assert (tmp_path / "large.html").stat().st_size < 15_000_000
    assert 4 * people - IN_PAGE <= len(list((tmp_path / "large-images").glob("*.jpg"))) < 2 * people
    assert min(browser.open(tmp_path / "large.html") for _ in range(3)) < 2  # the least, for other tests run beside
    assert browser.run("document.querySelectorAll('.strip button').length") == people
    browser.keys("End")
    browser.wait("[...document.images].every((image) => image.complete && image.naturalWidth === 112)")
    assert browser.run("[...document.images].filter((image) => image.src.startsWith('file:')).length") > 0


class Noise:
    """Faces whose files of detail are as large as those of photos: people of five images each."""

    def __init__(self, people):
        self.class_names = [f"person {k:04d}" for k in range(people)]
        self.labels = np.repeat(np.arange(people), 5)
        rough = np.random.default_rng(0).normal(128, 60, (16, 28, 28, 3))
        self.faces = np.clip(rough.repeat(4, 1).repeat(4, 2), 0, 255).astype(np.uint8)

    def __len__(self):
        return len(self.labels)

    def image(self, index):
        return self.faces[index % 16]

    def locate(self, index):
        return str(Path("faces") / f"{index}.jpg")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"index": "999"}, "have no image 999"),
        ({"person": "Nobody"}, "have no image 0 of Nobody"),
        ({"file": "other.png"}, "not other.png"),
        ({"nearest": "Nobody"}, "have no person Nobody"),
    ],
)
def test_a_table_of_other_data_is_refused(faces, tmp_path, change, said):
    path = suspects_of(faces, tmp_path / "suspects.csv", [0])
    columns = ["index", "file", "person", "score", "weight", "looks", "nearest", "nearest_cosine"]
    ((_, row),) = read_csv(path, columns)
    write_csv(path, columns, [[(row | change)[column] for column in columns]])
    with pytest.raises(LimenError, match=f"line 2.*{said}.*give --data of that run"):
        review_suspects(path, faces, Colours(), tmp_path / "page.html")
    assert not (tmp_path / "page.html").exists()


def test_an_image_that_is_gone_is_said_and_shown_as_gone(faces, browser, tmp_path):
    for person in NAMES:
        (tmp_path / "people" / person).mkdir(parents=True)
    for k in range(len(faces)):
        (tmp_path / "people" / faces.class_names[faces.labels[k]] / Path(faces.locate(k)).name).write_bytes(
            Path(faces.locate(k)).read_bytes()
        )
    source = FolderSource(tmp_path / "people")
    Path(source.locate(7)).write_bytes(b"no image")
    table = suspects_of(source, tmp_path / "suspects.csv", [7])
    found = review_suspects(table, source, Colours(), tmp_path / "page.html")
    assert len(found["gone"]) == 1
    browser.open(tmp_path / "page.html")
    browser.wait("document.querySelector('.doubt img').alt.includes('this image is gone')")
