"""MegaFace on disk: lists, folders and noise lists as they circulate, and what is refused."""

import json
import warnings

import numpy as np
import pytest

from limen.cli import main
from limen.errors import LimenError, LimenWarning
from limen.protocols import load_results
from limen.protocols.layouts import open_benchmark
from limen.protocols.layouts.megaface import read_noise
from limen.protocols.task import task_counts
from made_up import tiny_model, write_image, write_lines
from megaface_tree import DISTRACTORS, NOISY_DISTRACTOR, NOISY_PROBE, PROBES, write_images, write_tree


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("megaface")
    write_tree(folder)
    return folder


def opened(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LimenWarning)  # the counts are not those of the published set
        return open_benchmark(f"megaface:{path}")


def told(task):
    """(path, person, noisy) of each probe, and (path, noisy) of each distractor."""

    def path(number):
        return "/".join(task.source.locate(int(number)).replace("\\", "/").split("/")[-3:]).removeprefix("facescrub_images/")

    nothing = (np.zeros(len(task.probe), bool), np.zeros(len(task.distractor), bool))
    noise = nothing if task.noisy_probe is None else (task.noisy_probe, task.noisy_distractor)
    probes = [(path(n), int(p), bool(x)) for n, p, x in zip(task.probe, task.person, noise[0], strict=True)]
    return probes, [(path(n), bool(x)) for n, x in zip(task.distractor, noise[1], strict=True)]


def test_it_is_what_the_lists_say(folder):
    with pytest.warns(LimenWarning, match=r"3 people \(published: 80\)"):
        task = open_benchmark(f"megaface:{folder}")
    probes, distractors = told(task)
    assert probes == [(path, person, NOISY_PROBE in path) for path, person in PROBES.items()]
    assert distractors == [(path, path == NOISY_DISTRACTOR) for path in DISTRACTORS]
    assert task_counts(task) == {"images": 17, "people": 3, "probes": 9, "distractors": 8}
    assert task.source.image(int(task.distractor[0])).shape == (112, 112, 3)


def test_read_written_and_read_again_it_is_the_same(folder, tmp_path):
    """Windows line ends, a byte-order mark, a nested copy, other endings of images, no last line end."""
    again = tmp_path / "pack" / "pack"
    write_tree(again, end="\r\n", suffix=".jpg")
    for name in ("facescrub_lst", "megaface_lst", "facescrub_noises.txt"):
        (again / name).write_bytes(b"\xef\xbb\xbf" + (again / name).read_bytes().rstrip() + b"\r\n" * (name == "megaface_lst"))
    with pytest.warns(LimenWarning, match="9 images have another ending"):
        task = open_benchmark(f"megaface:{tmp_path / 'pack'}")
    (probes, distractors), (as_before, others) = told(task), told(opened(folder))
    assert [(path.replace(".jpg", ".png"), *rest) for path, *rest in probes] == as_before
    assert distractors == others


def test_the_devkit_lists_are_the_same_set(folder, tmp_path):
    lists = tmp_path / "devkit" / "templatelists"
    lists.mkdir(parents=True)
    people = [path.split("/")[0] for path in PROBES]
    (lists / "facescrub_features_list.json").write_text(json.dumps({"path": [*PROBES], "id": people}))
    (lists / "megaface_features_list.json_1000000_1").write_text(json.dumps({"path": DISTRACTORS}))
    write_images(tmp_path / "facescrub_images", tmp_path / "MegaFace" / "FlickrFinal2")
    task = opened(tmp_path)
    probes, distractors = told(task)
    assert [row[:2] for row in probes] == [row[:2] for row in told(opened(folder))[0]]
    assert [path for path, _ in distractors] == DISTRACTORS
    assert task.noisy_probe is None
    (lists / "facescrub_features_list.json").write_text(json.dumps({"path": [*PROBES], "id": people[1:]}))
    with pytest.raises(LimenError, match="holds 9 paths and another number of ids"):
        opened(tmp_path)
    (lists / "facescrub_features_list.json").write_text(json.dumps([*PROBES]))
    with pytest.raises(LimenError, match="holds no list `path` of names"):
        opened(tmp_path)


def test_noise_is_told_by_the_name_whatever_its_spelling(tmp_path):
    write_lines(tmp_path / "noise.txt", "# 3 names", "1\tAnn Example/Ann Example_103.jpg", "C.J._Made-Up_Jr._55.PNG", "a\\b_1.jpg")
    assert read_noise(tmp_path / "noise.txt") == {"ann_example/ann_example_103", "c.j._made-up_jr._55", "a/b_1"}


def test_numbered_noise_and_empty_lists(folder, tmp_path):
    write_tree(tmp_path, noise=False)
    write_lines(tmp_path / "facescrub_noises.txt", "#comment", "1\tAnn Example_103.jpg")
    write_lines(tmp_path / "megaface_noises.txt", "#comment", f"1\t{NOISY_DISTRACTOR}")
    assert told(opened(tmp_path)) == told(opened(folder))
    for name in ("facescrub_noises.txt", "megaface_noises.txt"):
        write_lines(tmp_path / name, "#empty")
    task = opened(tmp_path)
    assert not task.noisy_probe.any()
    assert not task.noisy_distractor.any()
    write_lines(tmp_path / "megaface_noises.txt", "#comment", "9/9/9_9.jpg")
    with pytest.warns(LimenWarning, match="megaface_noises.txt: names 1 images, and none of those listed"):
        open_benchmark(f"megaface:{tmp_path}")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda root: (root / "megaface_lst").unlink(), r"^megaface: megaface_lst not found in .*insightface's test pack"),
        (lambda root: (root / "megaface_noises.txt").unlink(), "holds facescrub_noises.txt and not megaface_noises.txt"),
        (lambda root: (root / "facescrub_noises.txt").unlink(), "holds megaface_noises.txt and not facescrub_noises.txt"),
        (lambda root: write_lines(root / "megaface_lst", *DISTRACTORS, "alone.jpg"), "line 9 names no folder where folder/image is"),
        (
            lambda root: write_lines(root / "megaface_lst", *DISTRACTORS, "0/1/2.jpg"),
            r"1 of the 9 images in megaface_lst are missing \(0/1/2.jpg\)",
        ),
        (lambda root: write_lines(root / "facescrub_lst"), "facescrub_lst: names no images"),
        (
            lambda root: write_lines(root / "facescrub_lst", *PROBES, next(iter(PROBES)).replace(".png", ".jpg")),
            "1 of its paths lead to an image",
        ),
        (lambda root: write_lines(root / "megaface_lst", "../x/y.jpg"), "leads out of"),
        (
            lambda root: write_image(root / "megaface_images" / DISTRACTORS[0], np.zeros((300, 200, 3), np.uint8)),
            "is 200x300, and aligned 112x112 crops are needed",
        ),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path, change, message):
    write_tree(tmp_path)
    change(tmp_path)
    with pytest.raises(LimenError, match=message) as refused:
        opened(tmp_path)
    assert "\n" not in str(refused.value)


def test_a_path_that_stands_twice_counts_once_and_is_said(folder, tmp_path):
    write_tree(tmp_path)
    write_lines(tmp_path / "megaface_lst", *DISTRACTORS, DISTRACTORS[0])
    with pytest.warns(LimenWarning, match="megaface_lst: 1 paths stand there a second time and count once"):
        task = open_benchmark(f"megaface:{tmp_path}")
    assert told(task) == told(opened(folder))
    assert task.switches["paths that stood twice, counted once"] == 1


def test_evaluated_end_to_end(folder, tmp_path, capsys):
    words = ["evaluate", str(tiny_model(tmp_path)), "--on", f"megaface:{folder}", "--replicates", "10"]
    assert main([*words, "--out", str(tmp_path / "out"), "--far", "0.1", "1e-6"]) == 0
    results = load_results(tmp_path / "out" / "result.json")
    assert [result.name for result in results] == ["megaface", "megaface refined"]
    raw, refined = results
    assert (raw.counts["probes"], raw.counts["mated"], raw.counts["gallery_entries"], raw.counts["non_mated"]) == (9, 18, 8, 72)
    assert (refined.counts["probes"], refined.counts["mated"], refined.counts["gallery_entries"]) == (8, 14, 7)
    assert raw.metric("tar@far=1e-06").needed == 10**6
    assert raw.metric("tar@far=0.1").events == 7
    shown = capsys.readouterr().out
    assert "non-mated pairs; 7 gallery entries, 8 probes" in shown
    assert "CMC" in (tmp_path / "out" / "report.html").read_text()
    assert main([*words, "--out", str(tmp_path / "out"), "--far", "0.1"]) == 0  # the same again replaces the report
    assert main([*words, "--out", str(tmp_path / "peers"), "--noise", "replaced"]) == 0
    results = load_results(tmp_path / "peers" / "result.json")
    assert [result.name for result in results] == ["megaface", "megaface refined (replaced)"]
    assert results[1].switches["noise"].startswith("replaced")
    assert results[1].counts["probes"] == 9
