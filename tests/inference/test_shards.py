"""`limen embed --shard i/n`: jobs together give what one process gives, and a kill or a rerun loses and doubles nothing."""

import json
import shutil
import subprocess
import sys
import tarfile

import numpy as np
import pytest

from limen.cli import main
from limen.data.synthetic import SyntheticFaces, save_folder
from limen.inference import shards as of_shards
from limen.models.bundle import Architecture, Bundle, save_bundle

parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """people/ of three with four images each, and model.safetensors with random weights."""
    made = tmp_path_factory.mktemp("shards")
    save_folder(SyntheticFaces(3, 4, difficulty=0.3), made / "people")
    for name in ("model", "other"):
        backbone = Architecture("tiny", 16).build()
        save_bundle(
            made / f"{name}.safetensors",
            Bundle(Architecture("tiny", 16), {f"backbone.{key}": tensor for key, tensor in backbone.state_dict().items()}),
        )
    return made


@pytest.fixture
def home(made, tmp_path, monkeypatch):
    monkeypatch.setattr(of_shards, "IMAGES", 5)
    return shutil.copytree(made, tmp_path / "home")


def embed(capsys, home, job, *words, images="people", model="model", out="out"):
    """The status of a job, what it says as JSON, and its error."""
    status = main(["embed", f"{home}/{model}.safetensors", f"{home}/{images}", "--shard", job, "--out", f"{home}/{out}", "--json", *words])
    said = capsys.readouterr()
    return status, json.loads(said.out or "{}"), said.err


def rows(home, out="out"):
    return [row for file in sorted((home / out).glob("*.parquet")) for row in parquet.read_table(file).to_pylist()]


def pack(home):
    """shards/ of two tar files, a person or two in each."""
    (home / "shards").mkdir()
    for name, people in (("a", ["synthetic-00000", "synthetic-00001"]), ("b", ["synthetic-00002"])):
        with tarfile.open(home / "shards" / f"{name}.tar", "w") as archive:
            for person in people:
                archive.add(home / "people" / person, person)


def test_jobs_together_give_what_one_process_gives(home, capsys):
    assert main(["embed", f"{home}/model.safetensors", f"{home}/people", "--out", f"{home}/whole.npz"]) == 0
    whole = np.load(home / "whole.npz")
    capsys.readouterr()
    reports = [embed(capsys, home, f"{job}/2")[1] for job in (0, 1)]
    assert [report["done"] for report in reports] == [["part-00000", "part-00002"], ["part-00001"]]
    assert [report["complete"] for report in reports] == [2, 3]
    found = rows(home)
    assert [f"{home}/people/{row['id']}" for row in found] == whole["files"].tolist()
    # in batches of another size the network rounds otherwise, and float16 keeps eleven bits
    np.testing.assert_allclose(np.array([row["vector"] for row in found], np.float16), whole["vectors"], rtol=2**-10, atol=1e-6)
    np.testing.assert_allclose([row["norm"] for row in found], whole["norms"], rtol=1e-6)
    assert all(row["error"] is None for row in found)


def test_a_job_that_was_killed_and_run_again_gives_the_same_files(home, capsys, monkeypatch):
    embed(capsys, home, "0/1", out="whole")
    embed_images, calls = of_shards.embed_images, []

    def killed(*arguments, **options):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return embed_images(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(of_shards, "embed_images", killed)
        assert embed(capsys, home, "0/1")[0] == 1
    (home / "out" / f".part-00001.parquet.{'0' * 32}.tmp").write_bytes(b"half")  # what SIGKILL leaves
    first = home / "out" / "part-00000.parquet"
    before = first.stat().st_mtime_ns
    status, report, _ = embed(capsys, home, "0/1")
    assert (status, report["done"], report["earlier"]) == (0, ["part-00001", "part-00002"], ["part-00000"])
    assert first.stat().st_mtime_ns == before
    assert sorted(file.name for file in (home / "out").iterdir()) == [f"part-0000{k}.parquet" for k in range(3)]
    assert rows(home) == rows(home, "whole")


def test_images_that_cannot_be_read_are_rows_without_a_vector(home, capsys):
    bad = sorted((home / "people").rglob("*.*"))[1]
    bad.write_bytes(b"no image")
    _, report, _ = embed(capsys, home, "0/1")
    assert report["images"] == 11
    assert len(report["failures"]) == 1
    found = rows(home)
    assert len(found) == 12
    assert [row["id"] for row in found if row["vector"] is None] == [str(bad.relative_to(home / "people"))]
    assert [row["norm"] is None and bad.name in row["error"] for row in found if row["error"]] == [True]


def test_each_archive_of_a_folder_is_a_shard(home, capsys):
    pack(home)
    status, report, _ = embed(capsys, home, "0/1", "--quality", "norm", images="shards")
    assert (status, report["done"]) == (0, ["a", "b"])
    assert parquet.read_table(home / "out" / "b.parquet").num_rows == 4
    embed(capsys, home, "0/1", out="folder")
    vectors = [np.array([row["vector"] for row in rows(home, out)]) for out in ("out", "folder")]
    np.testing.assert_allclose(*vectors, rtol=2**-10, atol=1e-6)
    assert [row["quality"] for row in rows(home)] == [row["norm"] for row in rows(home)]
    assert rows(home)[0]["id"].startswith("a.tar/synthetic-00000/")


def test_a_shard_of_no_use_leaves_the_others_done(home, capsys):
    pack(home)
    (home / "shards" / "a.tar").write_bytes(b"no archive at all" * 100)
    status, _, error = embed(capsys, home, "0/1", images="shards")
    assert status == 1
    assert "1 of 2 shards" in error
    assert "a.tar" in error
    assert [file.name for file in (home / "out").iterdir()] == ["b.parquet"]


@pytest.mark.parametrize(
    ("spoil", "words", "said"),
    [
        (
            lambda home: (home / "people" / "synthetic-00000" / "extra.jpg").write_bytes(b""),
            {},
            "another list of shards, 3 then and 3 now with other",
        ),
        (lambda home: None, {"model": "other"}, "another model"),
        (lambda home: (home / "out" / "part-00001.parquet").write_bytes(b"PAR1 half"), {}, "part-00001.parquet: is no whole Parquet file"),
        (lambda home: None, {"flip": "--no-flip"}, "with another flip"),
    ],
    ids=["list", "model", "half", "flip"],
)
def test_what_is_there_and_does_not_fit_is_refused_and_left(home, capsys, spoil, words, said):
    embed(capsys, home, "0/1")
    spoil(home)
    before = {file: file.read_bytes() for file in (home / "out").iterdir()}
    flags = [words.pop("flip")] if "flip" in words else []
    status, _, error = embed(capsys, home, "0/1", *flags, **words)
    assert status == 1
    assert said in error
    assert len(error.splitlines()) == 1
    assert {file: file.read_bytes() for file in (home / "out").iterdir()} == before


def test_two_jobs_on_one_shard(home, capsys):
    code = """
import sys
from pathlib import Path
from limen.locks import sole_use
with sole_use(Path(sys.argv[1]), "embedding"):
    print("locked", flush=True)
    input()
"""
    (home / "out").mkdir()
    other = subprocess.Popen(
        [sys.executable, "-c", code, f"{home}/out/.part-00001"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        other.stdout.readline()
        status, _, error = embed(capsys, home, "0/1")
        assert status == 1
        assert "another process is embedding part-00001" in error
        assert len(rows(home)) == 5
    finally:
        other.communicate("\n")
    assert embed(capsys, home, "0/1")[1]["complete"] == 3
    assert len(rows(home)) == 12


@pytest.mark.parametrize("word", ["4/4", "1", "-1/4", "1/0", "a/b"])
def test_words_that_are_no_job(home, word):
    with pytest.raises(SystemExit):
        main(["embed", f"{home}/model.safetensors", f"{home}/people", f"--shard={word}", "--out", f"{home}/out"])
    assert not (home / "out").exists()


@pytest.mark.parametrize(("words", "said"), [(["--templates"], "--templates"), (["--out", "x.npz"], "give --out a folder")])
def test_words_that_do_not_go_together(home, capsys, words, said):
    status, _, error = embed(capsys, home, "0/1", *words)
    assert status == 1
    assert said in error
