"""What every layout shares: missing files are named with their remedy, folders may be nested, images may be spelt otherwise."""

import json
import warnings

import pytest

import search_trees
import trees
from limen.cli import main
from limen.errors import LimenError, LimenWarning
from limen.protocols.layouts import LAYOUTS, all_layouts, layout_of, open_benchmark
from limen.protocols.layouts.text import number_table, rows_of
from limen.protocols.layouts.tree import Images, entry, places
from made_up import write_face, write_lines


def test_every_layout_says_what_it_needs():
    for name, layout in zip(LAYOUTS, all_layouts(), strict=True):
        assert layout.name == name
        assert layout.title
        assert layout.source
        assert layout.kind in ("one to one", "one to many")
        assert layout.contents


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_folder_of_something_else_is_told_what_is_missing(tmp_path, name):
    """The message names the missing file, what it holds, what was found instead and where people get it, in a line one can read."""
    (tmp_path / "here" / "other").mkdir(parents=True)
    (tmp_path / "here" / "notes.txt").write_text("")
    with pytest.raises(LimenError) as refused:
        open_benchmark(f"{name}:{tmp_path / 'here'}")
    message = str(refused.value)
    assert message.startswith(f"{name}: ")
    assert f"not found in {tmp_path / 'here'}, which holds notes.txt, other/; " in message
    assert f"People get it from {layout_of(name).source}." in message
    assert f"`limen protocols {name}`" in message
    assert "\n" not in message
    assert len(message.replace(str(tmp_path), "")) < 1000
    assert " or " not in message.partition(" not found in ")[0]


def test_what_was_found_instead(tmp_path):
    for place in range(7):
        write_lines(tmp_path / "many" / f"{place}.txt", "")
    (tmp_path / "none").mkdir()
    for name, said in (("many", "holds 0.txt, 1.txt, 2.txt, 3.txt, 4.txt and 2 more"), ("none", "is empty"), ("many/0.txt", "is a file")):
        with pytest.raises(LimenError, match=f"which {said}; "):
            open_benchmark(f"tinyface:{tmp_path / name}")


@pytest.mark.parametrize("tree", [*trees.TREES, *search_trees.TREES])
def test_a_benchmark_beside_the_folder_that_was_named_is_another_one(tmp_path, tree):
    (trees.TREES | search_trees.TREES)[tree](tmp_path)
    for place in [tmp_path, *(child for child in tmp_path.iterdir() if child.is_dir())]:
        write_lines(place / "elsewhere" / "notes.txt", "")
        with pytest.raises(LimenError, match=f"{place / 'elsewhere'}"):
            open_benchmark(f"{tree.split()[0]}:{place / 'elsewhere'}")


def test_names_and_paths_that_are_wrong(tmp_path):
    with pytest.raises(LimenError, match=r"cfp-p: no such benchmark; did you mean 'cfp-fp'|lfv: no such benchmark; did you mean 'lfw'"):
        open_benchmark("lfv:somewhere")
    with pytest.raises(LimenError, match="lfw: name the benchmark and its folder as NAME:PATH"):
        open_benchmark("lfw")
    with pytest.raises(LimenError, match="no such file or folder; LFW: Labeled Faces in the Wild, view 2 is read from"):
        open_benchmark(f"lfw:{tmp_path / 'a:b'}")  # a path may hold colons


def test_the_command_lists_them(capsys):
    assert main(["protocols", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)["protocols"]
    assert [record["name"] for record in listed] == list(LAYOUTS)
    assert main(["protocols", "lfw"]) == 0
    shown = capsys.readouterr().out
    assert "pairs.txt or pairs.csv" in shown
    assert "6,000 pairs, 3,000 mated" in shown
    assert main(["protocols", "lfww"]) == 1
    assert "did you mean 'lfw'" in capsys.readouterr().err


def test_folders_nested_as_unzipping_leaves_them(tmp_path):
    inner = tmp_path / "set" / "set" / "only"
    write_lines(inner / "list.txt", "1")
    for litter in ("set/.DS_Store", "set/__MACOSX/._x", "set/set/Thumbs.db"):
        write_lines(tmp_path / litter, "")
    assert list(places(tmp_path / "set"))[:3] == [tmp_path / "set", tmp_path / "set" / "set", inner]
    assert list(places(inner))[-1] == inner.parent
    assert entry(inner, "a.txt|LIST.TXT") == inner / "list.txt"
    write_lines(inner / "list2.txt", "1")
    with pytest.raises(LimenError, match=r"may be list.txt or list2.txt; leave one of them"):
        entry(inner, "list*.txt")


def test_images_under_another_ending_or_case_are_found_and_said_once(tmp_path):
    write_face(tmp_path / "Ann" / "Ann_1.png", 0, 1)
    write_face(tmp_path / "bo" / "BO_1.JPG", 1, 1)
    write_face(tmp_path / "m.0a.b" / "x.jpg", 1, 2)
    names = ["Ann/Ann_1.jpg", "Bo/bo_1.jpg", "m.0a.b\\x.jpg", "Ann/Ann_1.jpg"]
    with pytest.warns(LimenWarning, match=r"2 images have another ending or letter case .* \(Ann/Ann_1.jpg is Ann_1.png\)") as said:
        files, number = Images(tmp_path).find_all(names, "pairs.txt")
    assert len(said) == 1
    assert [file.relative_to(tmp_path).as_posix() for file in files] == ["Ann/Ann_1.png", "bo/BO_1.JPG", "m.0a.b/x.jpg"]
    assert number.tolist() == [0, 1, 2, 0]
    write_face(tmp_path / "Ann" / "Ann_1.bmp", 0, 1)
    with pytest.raises(LimenError, match=r"Ann_1.jpg: may be Ann_1.bmp or Ann_1.png; leave one of them"):
        Images(tmp_path).find("Ann/Ann_1.jpg")
    with pytest.raises(LimenError, match="leads out of"):
        Images(tmp_path).find("../secret.jpg")


def test_missing_images_are_counted_and_five_are_named(tmp_path):
    write_face(tmp_path / "a.jpg", 0, 1)
    with pytest.raises(LimenError, match=r"7 of the 8 images in pairs.txt are missing \(0.jpg, 1.jpg, 2.jpg, 3.jpg, 4.jpg, \.\.\.\)"):
        Images(tmp_path).find_all(["a.jpg", *(f"{k}.jpg" for k in range(7))], "data/pairs.txt")


def test_lists_of_any_system(tmp_path):
    (tmp_path / "dos.txt").write_bytes(b"\xef\xbb\xbf1 2\r\n\r\n3\t4")
    assert list(rows_of(tmp_path / "dos.txt", 2)) == [(1, ["1", "2"]), (3, ["3", "4"])]
    with pytest.raises(LimenError, match=r"dos.txt: line 1 has 2 fields where 3 or 4 are expected"):
        list(rows_of(tmp_path / "dos.txt", (3, 4)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert number_table(tmp_path / "dos.txt", 2).tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 2 3\n4 5\n", "line 2 has 2 fields where 3 are expected"),
        ("1 2 3\n\n4 x 6\n", "line 3 has 'x' where a whole number is expected"),
        ("1 2\n", "line 1 has 2 fields where 3 are expected"),
        ("\n", "holds no lines of 3 whole numbers"),
    ],
)
def test_a_line_of_another_form_is_named(tmp_path, text, message):
    (tmp_path / "table.txt").write_text(text)
    with pytest.raises(LimenError, match=message):
        number_table(tmp_path / "table.txt", 3)
