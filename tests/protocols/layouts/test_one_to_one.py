"""Every one-to-one layout: what its lists say is what is read, whatever system wrote them, and `limen evaluate --on` judges it."""

import warnings

import numpy as np
import pytest

import trees
from limen.cli import main
from limen.errors import LimenError, LimenWarning
from limen.models.model import open_model
from limen.protocols import Result, Verification, evaluate, load_results
from limen.protocols.layouts import open_benchmark
from made_up import face, tiny_model, write_face, write_lines


@pytest.fixture(scope="module", params=trees.TREES)
def tree(request, tmp_path_factory):
    """(name of the benchmark, its folder, its pairs)"""
    folder = tmp_path_factory.mktemp(request.param.replace(" ", "_"))
    return request.param.split()[0], folder, trees.TREES[request.param](folder)


def opened(name, folder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LimenWarning)  # the counts are not those of the published sets
        return open_benchmark(f"{name}:{folder}")


def told(task):
    """(image or template, the other, same) of each pair."""

    def name(number):
        return str(task.templates.names[number]) if task.templates else task.source.locate(int(number)).replace("\\", "/")

    return [(name(a), name(b), bool(same)) for a, b, same in zip(task.first, task.second, task.same, strict=True)]


def test_the_pairs_are_those_of_the_lists(tree):
    name, folder, pairs = tree
    task = opened(name, folder)
    assert task.name == name
    found = told(task)
    assert [same for *_, same in found] == [same for *_, same in pairs]
    for (one, other, _), (first, second, _) in zip(found, pairs, strict=True):
        assert one.endswith(first)
        assert other.endswith(second)
    assert len(task.switches["pairs_sha256"]) == 64
    if task.people == "named":
        np.testing.assert_array_equal(task.subject[task.first] == task.subject[task.second], task.same)


def test_written_by_another_system_it_is_the_same(tree, tmp_path, request):
    name, folder, _ = tree
    trees.TREES[request.node.callspec.params["tree"]](tmp_path / "again" / "again", end="\r\n")
    for listed in (tmp_path / "again").rglob("*.txt"):
        listed.write_bytes(b"\xef\xbb\xbf" + listed.read_bytes() + b"\r\n")
    (tmp_path / "again" / ".DS_Store").write_bytes(b"x")
    whole, again = opened(name, folder), opened(name, tmp_path / "again")
    for field in ("first", "second", "same", "subject", "folds"):
        np.testing.assert_array_equal(getattr(again, field), getattr(whole, field), err_msg=field)
    assert again.groups.keys() == whole.groups.keys()
    for grouping, group in whole.groups.items():
        np.testing.assert_array_equal(again.groups[grouping], group, err_msg=grouping)
    if whole.templates:
        for field in ("image", "template", "media", "person", "weight"):
            np.testing.assert_array_equal(getattr(again.templates, field), getattr(whole.templates, field), err_msg=field)
    np.testing.assert_array_equal(again.source.image(0), whole.source.image(0))


def test_evaluated_end_to_end(tree, tmp_path, capsys):
    name, folder, pairs = tree
    words = ["evaluate", str(tiny_model(tmp_path)), "--on", f"{name}:{folder}", "--out", str(tmp_path / "out"), "--replicates", "10"]
    assert main([*words, "--far", "0.3", "1e-6"]) == 0
    result = Result.load(tmp_path / "out" / "result.json")
    assert (result.name, result.counts["pairs"]) == (name, len(pairs))
    assert result.counts["failures_to_acquire"] == 0
    tar = result.metric("tar@far=0.3")
    assert tar.events <= 0.3 * sum(not same for *_, same in pairs)
    assert tar.threshold is not None
    assert (result.metric("accuracy") is None) == (name in ("adience", "ijbb", "ijbc"))
    assert f"{name} · tiny" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["calfw raw", "rfw raw", "ijbb"])
def test_loose_crops_are_moved_onto_the_template(tmp_path, name):
    """The loose crop is the aligned face drawn twice as large: its points bring it back."""
    trees.TREES[name](tmp_path)
    task = opened(name.split()[0], tmp_path)
    place = next(k for k in range(len(task.source)) if task.source.locate(k).endswith(("Bo_Sample_0001.jpg", "m.0as0x_0001.jpg", "/5.jpg")))
    person = {"calfw raw": 1, "rfw raw": 3, "ijbb": 2}[name]
    difference = np.abs(task.source.image(place).astype(int) - face(person, 1))
    assert difference.mean() < 6
    other = np.abs(task.source.image(place).astype(int) - face(person + 1, 1))
    assert other.mean() > 2 * difference.mean()


@pytest.mark.parametrize(
    ("name", "lists", "separator", "first"), [("rfw raw", "*_lmk.txt", "\t", 2), ("ijbc", "*_5pts_score.txt", " ", 1)], ids=["rfw", "ijbc"]
)
def test_landmarks_in_another_order_are_refused(tmp_path, name, lists, separator, first):
    """All faces would be turned and shrunk, and the accuracy low without a word."""
    trees.TREES[name](tmp_path)
    for listed in tmp_path.rglob(lists):
        rows = [line.split(separator) for line in listed.read_text().splitlines()]
        mirrored = [first + place for place in (2, 3, 0, 1, 4, 5, 8, 9, 6, 7)]
        write_lines(listed, *[separator.join([*row[:first], *(row[k] for k in mirrored), *row[first + 10 :]]) for row in rows])
    with pytest.raises(LimenError, match=rf"^{name.split()[0]}: .*its landmarks are mirrored; .*fetch the landmarks again$"):
        opened(name.split()[0], tmp_path)


def test_folds_are_those_of_the_benchmark(tmp_path):
    trees.TREES["cfp-fp"](tmp_path / "cfp")
    assert opened("cfp-fp", tmp_path / "cfp").folds.tolist() == [0] * 4 + [1] * 4
    trees.TREES["calfw"](tmp_path / "calfw")
    assert opened("calfw", tmp_path / "calfw").folds.tolist() == [0, 2, 5, 7] * 2  # of ten; mated and others apart
    trees.TREES["agedb-30"](tmp_path / "agedb")
    assert opened("agedb-30", tmp_path / "agedb").folds.tolist() == [0] * 4 + [1] * 4
    trees.TREES["bfw"](tmp_path / "bfw")
    task = opened("bfw", tmp_path / "bfw")
    assert task.folds.tolist() == [0, 1] * 8
    assert task.groups[""].tolist() == ["AF"] * 8 + ["BM"] * 8


def test_raw_images_without_points_are_refused(tmp_path):
    trees.TREES["calfw raw"](tmp_path)
    for points in tmp_path.rglob("*_5loc_attri.txt"):
        points.unlink()
    with pytest.raises(LimenError, match=r"^calfw: .* is 264x264, and aligned 112x112 crops are needed"):
        opened("calfw", tmp_path)
    trees.TREES["ijbc original"](tmp_path / "ijb")
    (tmp_path / "ijb" / "aligned").rename(tmp_path / "ijb" / "images")
    with pytest.raises(LimenError, match=r"^ijbc: .* holds NIST's tables and no folder aligned/: its photos are raw"):
        opened("ijbc", tmp_path / "ijb")


def test_tables_of_another_copy_beside_it_are_not_taken(tmp_path):
    """The people of IJB-C's templates are those of its own 1:N tables."""
    trees.TREES["ijbc"](tmp_path / "ijbc")
    tables = {"gallery_G1": {11: 1, 21: 2, 99: 2}, "gallery_G2": {31: 3}, "probe_mixed": {12: 1, 22: 2, 32: 3}}

    def write_tables(folder):
        for name, people in tables.items():
            write_lines(folder / f"ijbc_1N_{name}.csv", "TEMPLATE_ID,SUBJECT_ID,FILENAME", *[f"{t},{p},1.jpg" for t, p in people.items()])

    write_tables(tmp_path / "meta")
    write_tables(tmp_path)
    assert opened("ijbc", tmp_path / "ijbc").people == "joined"
    write_tables(tmp_path / "ijbc" / "meta")
    assert opened("ijbc", tmp_path / "ijbc" / "meta").people == "named"


def rewritten(path, change):
    lines = path.read_text().splitlines()
    write_lines(path, *change(lines))


BAD = [
    ("calfw", "pairs_CALFW.txt", lambda rows: [rows[0], rows[1][:-1] + "7", *rows[2:]], "line 2 has the token 7 where the first"),
    ("calfw", "pairs_CALFW.txt", lambda rows: rows[:-1], "holds 15 lines where two are expected for each pair"),
    ("cplfw", "pairs_CPLFW.txt", lambda rows: [rows[0], rows[1] + " 1", *rows[2:]], "line 2 has 3 fields where 2 are expected"),
    ("cfp-fp", "cfp-dataset/Protocol/Split/FP/01/same.txt", lambda rows: ["1,77"], "line 1 names image 77, which is not in the list of 8"),
    ("cfp-fp", "cfp-dataset/Protocol/Split/FP/01/same.txt", lambda rows: ["1,3"], "are mated, of two people"),
    ("cfp-ff", "cfp-dataset/Protocol/Pair_list_F.txt", lambda rows: [rows[0], *rows], "line 2 has the number 1 a second time"),
    ("xqlfw", "xqlfw_pairs.txt", lambda rows: rows[:-1], "holds 7 pairs where 8 should be"),
    ("bfw", "bfw-v0.1.5-datatable.csv", lambda rows: [rows[0], rows[1].replace(",1,0,0,", ",maybe,0,0,")], "line 2 has the label 'maybe'"),
    ("bfw", "bfw-v0.1.5-datatable.csv", lambda rows: [rows[0].replace("fold", "split"), *rows[1:]], "lacks the columns fold"),
    ("rfw raw", "txts/Asian/Asian_lmk.txt", lambda rows: [rows[0].replace(".", "x")], "line 1 has 12 fields or one that is no number"),
    ("adience", "pair_list.txt", lambda rows: [*rows, "p_0_img_0 p_1_img_3 1"], "calls .* one person, and their names say two"),
    ("adience", "pair_list.txt", lambda rows: [*rows, "p_0_img_0 1"], "line 37 is not `image image 0` or `1`"),
    ("ijbb", "meta/ijbb_name_5pts_score.txt", lambda rows: [rows[1], rows[0], *rows[2:]], "line 1 is of 2.jpg where .* has 1.jpg"),
    ("ijbb", "meta/ijbb_name_5pts_score.txt", lambda rows: rows[:-1], "face_tid_mid.txt: has 12 lines and ijbb_name_5pts_score.txt 11"),
    ("ijbb", "meta/ijbb_name_5pts_score.txt", lambda rows: [rows[0].replace("0.95", "nan"), *rows[1:]], "line 1 has a number that is not"),
    ("ijbc", "meta/ijbc_template_pair_label.txt", lambda rows: [*rows, "11 12 2"], "pair 12 has the label 2 where 0 or 1 is expected"),
    ("ijbc", "meta/ijbc_template_pair_label.txt", lambda rows: [*rows, "11 12"], "line 12 has 2 fields where 3 are expected"),
    ("ijbc original", "protocols/ijbc_11_G1_G2_matches.csv", lambda rows: [*rows, "1,777"], "names template 777, which no table has"),
    (
        "ijbc original",
        "protocols/ijbc_1N_probe_mixed.csv",
        lambda rows: [*rows, "501,9,img/1.jpg,,,,,,"],
        "gives template 501 a second person",
    ),
]


@pytest.mark.parametrize(("name", "file", "change", "message"), BAD, ids=[f"{name}: {message}"[:60] for name, _, _, message in BAD])
def test_lists_that_disagree_are_named(tmp_path, name, file, change, message):
    trees.TREES[name](tmp_path)
    rewritten(tmp_path / file, change)
    with pytest.raises(LimenError, match=message) as refused:
        opened(name.split()[0], tmp_path)
    assert "\n" not in str(refused.value)


def test_a_matlab_file_of_something_else_says_what_it_holds(tmp_path):
    from scipy.io import savemat

    trees.TREES["agedb-30"](tmp_path)
    savemat(tmp_path / "04_FINAL_protocol_30_years.mat", {"folds": np.arange(3)})
    with pytest.raises(LimenError, match="lacks splits; it holds folds"):
        opened("agedb-30", tmp_path)
    savemat(tmp_path / "04_FINAL_protocol_30_years.mat", {"splits": np.arange(3)})
    with pytest.raises(LimenError, match="a fold of `splits` does not hold 2 x P `pairs`"):
        opened("agedb-30", tmp_path)
    (tmp_path / "04_FINAL_protocol_30_years.mat").write_bytes(b"MATLAB 5.0 MAT-file" + bytes(200))
    with pytest.raises(LimenError, match=r"is no MATLAB file that can be read|lacks splits"):
        opened("agedb-30", tmp_path)


def test_templates_of_the_suite(tmp_path):
    """Rows, media and detector scores as the tables say; people from the 1:N tables where they are there; template 99 has no image."""
    trees.TREES["ijbc"](tmp_path)
    task = opened("ijbc", tmp_path)
    templates = task.templates
    assert [str(name) for name in templates.names] == [f"template {n}" for n in (11, 12, 21, 22, 31, 32, 99)]
    assert templates.template.tolist() == [0, 0, 0, 1, 2, 2, 2, 3, 4, 4, 4, 5]
    assert templates.media.tolist() == [101, 101, 102, 103, 201, 201, 202, 203, 301, 301, 302, 303]
    assert templates.weight[:4].tolist() == [0.95, 0.85, 0.75, 0.65]
    assert (task.people, task.folds, task.far[0]) == ("joined", None, 1e-6)
    for name, rows in (
        ("gallery_G1", ["11,31", "21,32", "31,33"]),
        ("gallery_G2", ["99,32"]),
        ("probe_mixed", ["12,31", "22,32", "32,33"]),
    ):
        write_lines(tmp_path / f"meta/ijbc_1N_{name}.csv", "TEMPLATE_ID,SUBJECT_ID", *rows)
    named = opened("ijbc", tmp_path)
    assert named.people == "named"
    assert len(np.unique(named.subject)) == 3
    write_lines(tmp_path / "meta/ijbc_1N_gallery_G2.csv", "TEMPLATE_ID,SUBJECT_ID", "99,31")
    with pytest.raises(LimenError, match="the label of template 11 and template 99 is not what the 1:N tables say"):
        opened("ijbc", tmp_path)


def test_missing_crops_of_the_original_tables_are_counted(tmp_path):
    trees.TREES["ijbc original"](tmp_path)
    task = opened("ijbc", tmp_path)
    assert task.switches["crops missing"] == 1
    assert len(task.templates) == 9
    assert task.templates.media[[3, 4]].tolist() == [task.templates.media[3]] * 2  # two frames of one video
    assert 8 not in task.templates.template  # template 506 has no image, and is there


def test_unreadable_images_are_failures_and_no_silent_number(tmp_path):
    trees.TREES["ijbc"](tmp_path)
    for image in (4, 1, 2, 3):
        (tmp_path / f"loose_crop/{image}.jpg").write_bytes(b"not an image")
    words = ["evaluate", str(tiny_model(tmp_path)), "--on", f"ijbc:{tmp_path}", "--out", str(tmp_path / "out"), "--replicates", "10"]
    assert main(words) == 0
    result = Result.load(tmp_path / "out" / "result.json")
    assert result.counts["failures_to_acquire"] == 4
    assert result.counts["templates_without_images"] == 3  # 11, 12 and 99
    assert result.counts["pairs"] == 11
    assert "template 99: none of its images can be used" in result.failures
    assert result.counts["pairs_missed"] == 7


def test_groups_are_printed_and_qualities_judged(tmp_path, capsys):
    """Benchmarks and files of pairs in one call; the groups each in a row; templates have no error versus discard."""
    trees.TREES["rfw"](tmp_path / "rfw")
    trees.pack(tmp_path, "own")
    trees.TREES["ijbc"](tmp_path / "ijbc")
    words = ["evaluate", str(tiny_model(tmp_path)), "--replicates", "10"]
    both = ["--on", f"rfw:{tmp_path / 'rfw'}", "--pairs", str(tmp_path / "own.bin"), "--out", str(tmp_path / "out")]
    assert main([*words, *both, "--fmr", "0.3", "--group-threshold", "per_group"]) == 0
    shown = capsys.readouterr().out
    assert "Threshold per_group" in shown
    for name in (*trees.GROUPS, "mean of groups", "std of groups"):
        assert f"\n  {name} " in shown
    assert [result.name for result in load_results(tmp_path / "out" / "result.json")] == ["rfw", "own"]
    assert main([*words, *both[:-1], str(tmp_path / "edc"), "--quality", "sharpness", "--fmr", "0.3"]) == 0
    assert main([*words, "--on", f"ijbc:{tmp_path / 'ijbc'}", "--out", str(tmp_path / "no"), "--quality", "sharpness"]) == 1
    assert "ijbc: error versus discard needs pairs of single images" in capsys.readouterr().err


def test_a_task_is_a_protocol(tmp_path):
    trees.TREES["adience"](tmp_path)
    task = opened("adience", tmp_path)
    embedder = open_model(tiny_model(tmp_path))
    assert evaluate(embedder, task).metrics == Verification(task).run(embedder).metrics


def test_an_ending_that_differs_is_found(tmp_path):
    trees.TREES["cplfw"](tmp_path)
    (tmp_path / "images/Ann_Example_1.jpg").unlink()
    write_face(tmp_path / "images/Ann_Example_1.png", 0, 1)
    with pytest.warns(LimenWarning, match="1 images have another ending"):
        task = open_benchmark(f"cplfw:{tmp_path}")
    assert task.source.locate(0).endswith("Ann_Example_1.png")
