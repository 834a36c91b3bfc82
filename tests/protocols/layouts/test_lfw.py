"""LFW as text, as Kaggle's tables and as packs: the same pairs however they are held, and judged by `limen evaluate --on`."""

import json
import lzma
import pickle

import cv2
import numpy as np
import pytest

from limen.cli import main
from limen.errors import LimenError, LimenWarning
from limen.protocols import load_results
from limen.protocols.layouts import open_benchmark
from made_up import NAMES, face, pairs_as_named, tiny_model, write_face, write_image, write_lines

MATED = [(name, 1, name, 2) for name in NAMES[:5]] + [(name, 2, name, 4) for name in NAMES[:5]]
OTHER = [(NAMES[k], 1, NAMES[k + 1], 2) for k in range(5)] + [(NAMES[k], 3, NAMES[k + 2], 1) for k in range(5)]
PAIRS = [*MATED[:5], *OTHER[:5], *MATED[5:], *OTHER[5:]]  # two folds


def pair_line(pair, separator="\t"):
    name, i, other, j = pair
    return separator.join(map(str, (name, i, j) if name == other else pair))


def write_tree(root, suffix=".jpg", name="{person}_{number:04d}"):
    for person, number in {(p, n) for a, i, b, j in PAIRS for p, n in ((a, i), (b, j))}:
        write_face(root / person / (name.format(person=person, number=number) + suffix), NAMES.index(person), number)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lfw")
    write_lines(folder / "pairs.txt", "2\t5", *map(pair_line, PAIRS))
    write_tree(folder / "lfw" / "lfw")
    return folder


def opened(spec):
    with pytest.warns(LimenWarning, match=r"20 pairs \(published: 6,000\), 10 mated \(published: 3,000\)"):
        return open_benchmark(spec)


def test_the_text_list_over_a_tree(folder):
    task = opened(f"lfw:{folder}")
    assert (task.name, len(task), task.folds, task.people) == ("lfw", 20, 2, "named")
    assert task.same.tolist() == [a == b for a, _, b, _ in PAIRS]
    root = folder / "lfw" / "lfw"
    expected = [(str(root / a / f"{a}_{i:04d}.jpg"), str(root / b / f"{b}_{j:04d}.jpg")) for a, i, b, j in PAIRS]
    assert [places for places, _ in pairs_as_named(task)] == expected
    np.testing.assert_array_equal(task.source.image(int(task.first[0])), cv2.imread(expected[0][0])[..., ::-1])


def test_read_written_and_read_again_it_is_the_same(folder, tmp_path):
    """Written as another system would: Windows line ends, a byte-order mark, spaces, another ending, the list beside the people."""
    lines = [pair_line(pair, " ") for pair in PAIRS]
    write_lines(tmp_path / "lfw" / "pairs.txt", "\ufeff2 5", *lines, "", end="\r\n")
    write_tree(tmp_path / "lfw", ".PNG")
    with pytest.warns(LimenWarning, match="images have another ending"):
        again = open_benchmark(f"lfw:{tmp_path / 'lfw'}")
    whole = opened(f"lfw:{folder}")
    for name in ("first", "second", "same", "subject"):
        np.testing.assert_array_equal(getattr(again, name), getattr(whole, name))
    assert again.folds == whole.folds


def test_kaggle_tables_are_the_same_pairs(folder, tmp_path):
    write_lines(
        tmp_path / "pairs.csv",
        "name,imagenum1,imagenum2,",
        *[",".join(map(str, (a, i, j, "") if a == b else p)) for p in PAIRS for a, i, b, j in [p]],
    )
    write_tree(tmp_path / "lfw-deepfunneled" / "lfw-deepfunneled")
    kaggle, whole = opened(f"lfw:{tmp_path}"), opened(f"lfw:{folder}")
    np.testing.assert_array_equal(kaggle.first, whole.first)
    np.testing.assert_array_equal(kaggle.same, whole.same)


def test_development_pairs_fall_into_folds_of_both_kinds(tmp_path):
    write_tree(tmp_path)
    write_lines(tmp_path / "pairsDevTest.txt", "10", *map(pair_line, [*MATED, *OTHER]))
    with pytest.warns(LimenWarning, match="published: 1,000"):
        task = open_benchmark(f"lfw-dev-test:{tmp_path}")
    assert task.folds.tolist() == [*range(10), *range(10)]
    text = "name,imagenum1,imagenum2"
    write_lines(tmp_path / "k" / "matchpairsDevTest.csv", text, *[f"{a},{i},{j}" for a, i, _, j in MATED])
    write_lines(tmp_path / "k" / "mismatchpairsDevTest.csv", "name,imagenum1,name,imagenum2", *[",".join(map(str, pair)) for pair in OTHER])
    with pytest.warns(LimenWarning, match="published: 1,000"):
        kaggle = open_benchmark(f"lfw-dev-test:{tmp_path / 'k'}")
    np.testing.assert_array_equal(kaggle.first, task.first)


def test_packs_hold_the_same_pairs(folder, tmp_path):
    """As .bin, the same packed as .xz, and an array with issame.txt."""
    images = [cv2.imencode(".png", face(NAMES.index(p), n)[..., ::-1])[1] for a, i, b, j in PAIRS for p, n in ((a, i), (b, j))]
    same = [a == b for a, _, b, _ in PAIRS]
    packed = pickle.dumps(([image.tobytes() for image in images], same))
    (tmp_path / "lfw.bin").write_bytes(packed)
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "lfw.bin.xz").write_bytes(lzma.compress(packed))
    array = np.stack([cv2.imdecode(image, cv2.IMREAD_COLOR_RGB).transpose(2, 0, 1) for image in images])
    (tmp_path / "n" / "lfw").mkdir(parents=True)
    np.save(tmp_path / "n" / "lfw" / "lfw.npy", array)
    write_lines(tmp_path / "n" / "lfw" / "issame.txt", *[str(int(flag)) for flag in same])
    tasks = [opened(f"lfw:{path}") for path in (tmp_path, tmp_path / "lfw.bin", tmp_path / "x", tmp_path / "n", tmp_path / "n" / "lfw")]
    for task in tasks:
        assert (task.folds, task.people) == (10, "joined")
        assert len(task.switches["pairs_sha256"]) == 64
        for name in ("first", "second", "same", "subject"):
            np.testing.assert_array_equal(getattr(task, name), getattr(tasks[0], name))
        for index in range(len(task.source)):
            np.testing.assert_array_equal(task.source.image(index), tasks[0].source.image(index))
    write_lines(tmp_path / "tree" / "pairs.txt", "2\t5", *map(pair_line, PAIRS))
    write_tree(tmp_path / "tree")
    assert opened(f"lfw:{tmp_path / 'tree'}").people == "named"  # and not the pack beside it
    np.save(tmp_path / "n" / "lfw" / "lfw.npy", array[1:])
    with pytest.raises(LimenError, match=r"lfw.npy: holds uint8 \(39, 3, 112, 112\) where issame.txt makes it uint8 \(40, 3, 112, 112\)"):
        open_benchmark(f"lfw:{tmp_path / 'n'}")
    (tmp_path / "x" / "lfw.bin.xz").write_bytes(lzma.compress(packed)[:-50])
    with pytest.raises(LimenError, match="is no pair file that can be trusted"):
        open_benchmark(f"lfw:{tmp_path / 'x'}")


def test_evaluated_end_to_end(folder, tmp_path, capsys):
    model = tiny_model(tmp_path)
    words = [
        "evaluate",
        str(model),
        "--on",
        f"lfw:{folder}",
        "--out",
        str(tmp_path / "report"),
        "--replicates",
        "20",
        "--far",
        "0.1",
        "1e-6",
    ]
    assert main(words) == 0
    shown = capsys.readouterr()
    assert "published: 6,000" in shown.err
    (tar,) = [line for line in shown.out.splitlines() if "FAR=1e-06" in line]
    assert "unresolved" in tar
    assert "needs 1,000,000 non-mated pairs, and there are 10" in tar
    (result,) = load_results(tmp_path / "report" / "result.json")
    assert (result.name, result.counts["pairs"], result.switches["benchmark"]) == ("lfw", 20, "LFW: Labeled Faces in the Wild, view 2")
    tar = result.metric("tar@far=0.1")
    assert tar.events == 1
    assert tar.threshold_interval.low <= tar.threshold <= tar.threshold_interval.high
    assert result.metric("tar@far=1e-06").needed == 10**6
    assert f"threshold {tar.threshold:.4f}" in shown.out
    page = (tmp_path / "report" / "report.html").read_text()
    assert f"threshold {tar.threshold:.4f}" in page
    assert "needs 1,000,000 impostors" in page
    roc = json.loads((tmp_path / "report" / "result.json").read_text())["results"][0]["curves"][1]["points"]
    assert len(roc["threshold"]) == len(roc["false_matches"]) == len(roc["far"])
    assert [round(far * 10) for far in roc["far"]] == roc["false_matches"]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["2\t5", *map(pair_line, PAIRS[:19])], "pairs.txt: holds 19 pairs where 20 should be; fetch it again"),
        (["1\t1", "Ann_Example\t1\t2", "Ann_Example\tone\tBo_Sample\t2"], "pairs.txt: line 3 is neither `name i j` nor"),
        (["1\t1", "Ann_Example\t1\t2", "Ann_Example\t1"], r"pairs.txt: line 3 is neither .* \(it has 2 fields\)"),
        (["1\t1", "Ann_Example\t1\t2", "a\tb\tc\td\te"], r"pairs.txt: line 3 is neither .* \(it has 5 fields\)"),
        (
            ["1\t1", "Ann_Example\t1\t2", "Zoe_Gone\t1\tBo_Sample\t2"],
            r"1 of the 4 images in pairs.txt are missing \(Zoe_Gone/Zoe_Gone_0001.jpg\)",
        ),
        ([], "pairs.txt: holds 0 pairs where some should be"),
        (["1\t1", "a.jpg b.jpg 1", "a.jpg c.jpg 0"], "names a.jpg where a person and the number of an image are expected"),
    ],
)
def test_lists_whose_rows_disagree_are_named(folder, tmp_path, lines, message):
    write_lines(tmp_path / "pairs.txt", *lines)
    write_tree(tmp_path / "lfw")
    with pytest.raises(LimenError, match=message):
        open_benchmark(f"lfw:{tmp_path}")


def test_raw_images_are_refused_with_the_remedy(folder, tmp_path):
    write_lines(tmp_path / "pairs.txt", "1\t1", "Ann_Example\t1\t2", "Ann_Example\t1\tBo_Sample\t1")
    for person, number in (("Ann_Example", 1), ("Ann_Example", 2), ("Bo_Sample", 1)):
        write_image(tmp_path / "lfw" / person / f"{person}_{number:04d}.jpg", np.zeros((250, 250, 3), np.uint8))
    with pytest.raises(LimenError, match=r"^lfw: .* is 250x250, and aligned 112x112 crops are needed.*Align the photos .limen data align"):
        open_benchmark(f"lfw:{tmp_path}")


def test_two_sets_of_images_side_by_side_are_not_guessed_between(folder, tmp_path):
    write_lines(tmp_path / "pairs.txt", "2\t5", *map(pair_line, PAIRS))
    write_tree(tmp_path / "lfw")
    write_tree(tmp_path / "lfw_funneled")
    with pytest.raises(LimenError, match="the images may be those of lfw or lfw_funneled; name one of them"):
        open_benchmark(f"lfw:{tmp_path}")
    assert opened(f"lfw:{tmp_path / 'lfw'}").source.locate(0).startswith(str(tmp_path / "lfw" / "Ann"))
