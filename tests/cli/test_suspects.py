"""suspects.csv, whatever bytes the names of files and people are: training writes it, and every reader of such lists finds the images."""

import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest

from limen.cli import main
from limen.data import FileSource
from limen.data.synthetic import SyntheticFaces, save_folder
from limen.protocols import read_quality_csv
from limen.quality import FaceSize
from limen.tables import read_csv, write_csv

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="names of bytes are POSIX")
PEOPLE = ["=1+1", os.fsdecode(b"Jos\xe9"), "a,b", "two\nlines", 'quo"ted', "@x\r\ny"]
FILES = ["=SUM(A1).png", os.fsdecode(b"\xff\xfe.png"), ",.png", "\n.png", '".png', "'=1.png", " \t.png", "-1.png"]
SETTINGS = [
    "--epochs",
    "6",
    "--batch_size",
    "12",
    "--data.workers=0",
    "--data.sampling.name",
    "adaptive",
    "--threads",
    "1",
    "--device",
    "cpu",
]
SETTINGS += ["--data.sampling.options", "{period: 2, start_accuracy: 0, noise_level: 1.0}"]  # half of all images are below the median
SETTINGS += ["--backbone.name", "tiny", "--backbone.embedding_size", "8", "--optimiser.lr", ".01"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """The faces of six people under odd names, and the run that was trained on them."""
    home = tmp_path_factory.mktemp("suspects")
    save_folder(SyntheticFaces(len(PEOPLE), len(FILES), difficulty=0.3), home / "faces")
    for person, name in zip(sorted((home / "faces").glob("synthetic-*")), PEOPLE, strict=True):
        for image, file in zip(sorted(person.glob("*.png")), FILES, strict=True):
            image.rename(person / file)
        person.rename(home / "faces" / name)
    assert main(["train", "--data.path", str(home / "faces"), "--out", str(home / "run"), *SETTINGS]) == 0
    return home


@pytest.fixture(scope="module")
def suspects(trained):
    rows = [
        row
        for _, row in read_csv(
            trained / "run" / "suspects.csv", ["index", "file", "person", "score", "weight", "looks", "nearest", "nearest_cosine"]
        )
    ]
    assert len({row["person"] for row in rows} | {os.path.basename(row["file"]) for row in rows}) > 6
    return rows


def test_every_name_is_read_back_as_the_file_it_names(trained, suspects):
    on_disk = {str(path) for path in (trained / "faces").rglob("*.png")}
    assert len(on_disk) == len(PEOPLE) * len(FILES)
    assert {row["file"] for row in suspects} <= on_disk
    assert all(Path(row["file"]).parent.name == row["person"] for row in suspects)
    assert all(
        row["nearest"] in PEOPLE and row["nearest"] != row["person"] and -1 <= float(row["nearest_cosine"]) <= 1.001 for row in suspects
    )


def test_its_scores_are_a_list_of_qualities(trained, suspects, tmp_path):
    """With `score` called `quality`, it says of each image what it says of it."""
    write_csv(tmp_path / "q.csv", ["file", "quality"], [[row["file"], row["score"]] for row in suspects])
    source = FileSource([Path(row["file"]) for row in suspects])
    np.testing.assert_array_equal(read_quality_csv(tmp_path / "q.csv", source), [float(row["score"]) for row in suspects])
    write_csv(tmp_path / "boxes.csv", ["file", "width", "height"], [[row["file"], 9, 4 + k] for k, row in enumerate(suspects)])
    sizes = FaceSize(tmp_path / "boxes.csv").score(np.zeros((len(source), 112, 112, 3), np.uint8), [row["file"] for row in suspects])
    np.testing.assert_allclose(sizes, np.sqrt([9.0 * (4 + k) for k in range(len(suspects))]))


def test_a_page_of_it_holds_every_name_as_it_is(trained, suspects, tmp_path, capfd):
    assert main(["review", str(trained / "run" / "suspects.csv"), "--out", str(tmp_path / "page.html")]) == 0, capfd.readouterr().err
    text = (tmp_path / "page.html").read_text()
    data = json.loads(text.split('<script type="application/json" id="data">')[1].split("</script>")[0])
    assert [(item["file"], item["person"]) for item in data["items"]] == [(row["file"], row["person"]) for row in suspects]
    assert {person["name"] for person in data["people"]} == set(PEOPLE)
    sure = {data["images"][k] for item in data["items"] for group in item["groups"] for k in group["images"]}
    assert not sure & {data["images"][k] for item in data["items"] for k in item["images"]}  # nobody vouches who is under suspicion


def test_its_files_are_what_every_command_takes(trained, suspects, tmp_path, capfd):
    model, files = str(trained / "run" / "model.safetensors"), [row["file"] for row in suspects]
    assert main(["embed", model, *files, "--out", str(tmp_path / "e.npz")]) == 0
    assert np.load(tmp_path / "e.npz")["files"].tolist() == files
    assert main(["quality", model, *files, "--measure", "norm", "--csv", str(tmp_path / "q.csv"), "--sheet", str(tmp_path / "s.html")]) == 0
    assert {row["file"] for _, row in read_csv(tmp_path / "q.csv", ["file"])} == set(files)
    # a list of pairs holds any name but those with the end of a line or a tab
    plain = [row for row in suspects if not set(row["file"]) & set("\t\r\n")]
    mated = [(one, other) for one in plain for other in plain if one["person"] == other["person"] and one["file"] < other["file"]]
    others = [(one, other) for one in plain for other in plain if one["person"] < other["person"]]
    lines = [f"{a['person']}\t{Path(a['file']).name}\t{Path(b['file']).name}" for a, b in mated]
    lines += [f"{a['person']}\t{Path(a['file']).name}\t{b['person']}\t{Path(b['file']).name}" for a, b in others]
    (tmp_path / "pairs.txt").write_text("\n".join([*lines, ""]), encoding="utf-8", errors="surrogateescape")
    write_csv(tmp_path / "subjects.csv", ["file", "subject"], [[row["file"], row["person"]] for row in suspects])
    words = ["evaluate", model, "--pairs", str(tmp_path / "pairs.txt"), "--images", str(trained / "faces"), "--replicates", "10"]
    assert main([*words, "--subjects", str(tmp_path / "subjects.csv"), "--out", str(tmp_path / "ev")]) == 0, capfd.readouterr().err
    assert main([*words, "--quality", str(tmp_path / "q.csv"), "--fmr", ".1", "--out", str(tmp_path / "edc")]) == 0, capfd.readouterr().err
