import codecs
import functools
import itertools
import os
import pickle
import subprocess
import sys
import unicodedata
import zipfile

import cv2
import numpy as np
import pytest

from limen.data import FolderSource, make_pairs, open_pairs, pairs_of
from limen.data.pairs import save_pairs
from limen.errors import LimenError, LimenWarning, UnreadableImage

PNG = [cv2.imencode(".png", np.full((112, 112, 3), level, np.uint8))[1] for level in range(8)]
# Pairs of the images 0 1 2 | 3 | 4 5 | 6 | 7: subject by subject.
ENTRIES = [PNG[k].tobytes() for k in (0, 1, 1, 2, 3, 4, 4, 5, 6, 7)]
SAME = [True, True, False, True, False]


def write_bin(path, content, protocol=4):
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


class AsPython2Wrote(pickle._Pickler):
    """Writes bytes as Python 2's `str`: opcode BINSTRING."""

    def save(self, value, save_persistent_id=True):
        if isinstance(value, bytes):
            self.write(pickle.BINSTRING + len(value).to_bytes(4, "little") + value)
        else:
            super().save(value, save_persistent_id)


# ---- .bin ----


@pytest.mark.parametrize(
    ("content", "protocol"),
    [
        ((ENTRIES, SAME), 4),
        ((ENTRIES, SAME), 2),
        ([ENTRIES, np.array(SAME)], 5),
        (([np.frombuffer(entry, np.uint8) for entry in ENTRIES], list(np.array(SAME))), 5),
        (([np.frombuffer(entry, np.uint8) for entry in ENTRIES], list(np.array(SAME))), 2),
        ((np.array([np.frombuffer(entry, np.uint8) for entry in ENTRIES], dtype=object), np.array(SAME, dtype=int)), 3),
    ],
)
def test_every_way_of_writing_a_bin_gives_the_same_pairs(tmp_path, content, protocol):
    pairs = open_pairs(write_bin(tmp_path / "own.bin", content, protocol))
    assert pairs.name == "own"
    assert pairs.folds == 10
    assert pairs.first.tolist() == [0, 1, 3, 4, 6]
    assert pairs.second.tolist() == [1, 2, 4, 5, 7]
    assert pairs.same.tolist() == SAME
    assert [int(pairs.source.image(k)[0, 0, 0]) for k in range(len(pairs.source))] == list(range(8))


def test_a_bin_of_python_2(tmp_path):
    with open(tmp_path / "own.bin", "wb") as file:
        AsPython2Wrote(file, protocol=2).dump((ENTRIES, SAME))
    pairs = open_pairs(tmp_path / "own.bin")
    assert pairs.second.tolist() == [1, 2, 4, 5, 7]
    assert pairs.source.image(7)[0, 0, 0] == 7


def test_subjects_are_the_groups_joined_by_mated_pairs(tmp_path):
    subject = open_pairs(write_bin(tmp_path / "own.bin", (ENTRIES, SAME))).subject
    groups = [{0, 1, 2}, {3}, {4, 5}, {6}, {7}]
    for one, other in itertools.product(range(8), repeat=2):
        assert (subject[one] == subject[other]) == any({one, other} <= group for group in groups)


def test_an_undecodable_entry_is_unreadable_when_asked_for(tmp_path):
    entries = [*ENTRIES[:5], b"", *ENTRIES[6:]]
    pairs = open_pairs(write_bin(tmp_path / "own.bin", (entries, SAME)))
    with pytest.raises(UnreadableImage, match=r"own\.bin image 5: is empty"):
        pairs.source.image(int(pairs.second[2]))


class Hostile:
    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    "hostile",
    [
        Hostile(exec, ("raise SystemExit",)),
        Hostile(getattr, (b"", "join")),
        Hostile(np.load, ("x.npy",)),
        Hostile(np.dtype, ("V8",)),
        Hostile(__import__("_codecs").encode, ("x", "zip")),
        {"a": "dictionary"},
    ],
    ids=["exec", "getattr", "load", "dtype", "codec", "dict"],
)
@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_hostile_pickle_is_refused(tmp_path, hostile, protocol):
    path = write_bin(tmp_path / "own.bin", ([hostile, b""], [True]), protocol)
    with pytest.raises(LimenError, match=r"own\.bin: is no pair file that can be trusted \(it "):
        open_pairs(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ((ENTRIES[:9], SAME), "9 images for 5 pairs"),
        ((ENTRIES, SAME[:4]), "10 images for 4 pairs"),
        (([], []), "0 images for 0 pairs|not a list of true"),
        ((ENTRIES, [1, 2, 0, 1, 0]), "not a list of true and false"),
        ((ENTRIES, ["yes"] * 5), "not a list of true and false"),
        ((ENTRIES, 5), "not a list of true and false"),
        ((ENTRIES,), "no pair file"),
        (5, "no pair file"),
        ((["text"] * 10, SAME), "holds a str where the bytes"),
    ],
)
def test_a_bin_of_other_content_is_refused(tmp_path, content, message):
    with pytest.raises(LimenError, match=message):
        open_pairs(write_bin(tmp_path / "own.bin", content))


@pytest.mark.parametrize("length", [0, 1, 100, 900])
def test_a_bin_cut_short_is_refused(tmp_path, length):
    path = write_bin(tmp_path / "own.bin", (ENTRIES, SAME))
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(LimenError, match="no pair file"):
        open_pairs(path)


# ---- pairs.txt ----


@pytest.fixture
def faces(tmp_path):
    for k, file in enumerate(["Ann/Ann_0001.jpg", "Ann/Ann_2.png", "Ann/Ann_0003.jpg", "Bo Li/Bo Li_0001.png", "Cy/Cy_0010.jpg"]):
        path = tmp_path / "faces" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), np.full((112, 112, 3), 10 * k, np.uint8))
    return tmp_path / "faces"


def write_list(folder, text):
    (folder / "pairs.txt").write_text(text)
    return folder / "pairs.txt"


@pytest.mark.parametrize(("header", "folds"), [("2\t1\n", 2), ("2\n", 10), ("", 10)])
def test_a_list_names_its_images_and_people(tmp_path, faces, header, folds):
    text = header + "Ann\t1\t2\nAnn\t1\tBo Li\t1\n\nAnn\t2\t3\nBo Li\t1\tCy\t10\n"
    pairs = open_pairs(write_list(tmp_path, text), faces)
    assert pairs.folds == folds
    assert pairs.same.tolist() == [True, False, True, False]
    levels = np.array([int(pairs.source.image(k)[0, 0, 0]) for k in range(len(pairs.source))])
    assert levels[pairs.first].tolist() == [0, 0, 10, 30]
    assert levels[pairs.second].tolist() == [10, 30, 20, 40]
    people = {0: "Ann", 10: "Ann", 20: "Ann", 30: "Bo", 40: "Cy"}
    for one, other in itertools.product(range(5), repeat=2):
        assert (pairs.subject[one] == pairs.subject[other]) == (people[levels[one]] == people[levels[other]])


def test_fields_may_be_apart_by_spaces(tmp_path, faces):
    assert open_pairs(write_list(tmp_path, "Ann 1 3\r\nAnn 2  Cy 10\r\n"), faces).same.tolist() == [True, False]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Ann 1 4\nAnn 5 6\nDora 1 Eve 7\n", r"5 of the 6 images in pairs\.txt are missing \(.*, \.\.\.\)"),
        ("Ann 1 2\nAnn 1 Dora 1\n", r"1 of the 3 images in pairs\.txt are missing \(Dora 1\)"),
        ("Ann 1 2\nAnn 1 Bo.jpg\n", r"1 of the 3 images in pairs\.txt are missing \(Ann Bo\.jpg\); looked for Ann/Bo\.jpg;"),
        ("Ann 1 2\nAnn 1\n", "line 2 is neither"),
        ("Ann 1 2\nAnn 1 2.\n", "line 2 is neither"),
        ("Ann 1 2 Bo 3\n", "line 1 is neither"),
        ("Ann\n", "line 1 is neither"),
        ("2 1\nAnn 1 2\n", "holds 1 pairs where 4 should be"),
        ("", "holds 0 pairs"),
    ],
)
def test_a_list_with_a_fault_is_refused_with_the_place(tmp_path, faces, text, message):
    with pytest.raises(LimenError, match=message):
        open_pairs(write_list(tmp_path, text), faces)


def test_other_files_are_refused_with_a_remedy(tmp_path):
    with pytest.raises(LimenError, match="no such file"):
        open_pairs(tmp_path / "lfw.bin")
    with pytest.raises(LimenError, match="--images DIR"):
        open_pairs(write_list(tmp_path, "Ann 1 2\n"))
    (tmp_path / "lfw.csv").write_text("")
    with pytest.raises(LimenError, match=r"neither \.bin nor \.txt"):
        open_pairs(tmp_path / "lfw.csv")


# ---- names are bytes ----


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_accents_are_found_however_they_are_composed(tmp_path, form):
    name = "Zo\u00eb \u00c7elik"
    folder = tmp_path / "faces" / unicodedata.normalize(form, name)
    folder.mkdir(parents=True)
    for number in (1, 2):
        cv2.imwrite(str(folder / unicodedata.normalize(form, f"{name}_000{number}.jpg")), np.zeros((112, 112, 3), np.uint8))
    other = "NFD" if form == "NFC" else "NFC"
    (tmp_path / "pairs.txt").write_text(f"{unicodedata.normalize(other, name)}\t1\t2\n", encoding="utf-8")
    with pytest.warns(LimenWarning, match="3 names are spelt otherwise"):
        pairs = open_pairs(tmp_path / "pairs.txt", tmp_path / "faces")
    assert len(pairs.source) == 2


def test_numbers_find_the_images_that_training_reads(tmp_path):
    for file in ("ann/0001.PNG", "ann/ANN_0002.JPG", "BO/Bo_3.jpeg"):
        (tmp_path / "faces" / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "faces" / file).write_bytes(PNG[0].tobytes())
    assert len(FolderSource(tmp_path / "faces")) == 3
    with pytest.warns(LimenWarning, match="names are spelt otherwise"):
        pairs = open_pairs(write_list(tmp_path, "ann 1 2\nAnn 1 bo 3\nann 2 bo 3\n"), tmp_path / "faces")
    assert pairs.same.tolist() == [True, False, False]
    assert len(pairs.source) == 3  # two ways to name one image are one image


def test_a_name_that_may_be_two_people_is_refused(tmp_path):
    for person in ("ANN", "ann"):
        (tmp_path / "faces" / person).mkdir(parents=True)
    with pytest.raises(LimenError, match="Ann: may be ANN or ann"):
        open_pairs(write_list(tmp_path, "Ann 1 2\n"), tmp_path / "faces")


def test_a_list_of_paths_with_a_flag(tmp_path, faces):
    text = "Ann/Ann_0001.jpg Ann/Ann_2.png 1\nAnn/Ann_0001.jpg Cy/Cy_0010.jpg 0\n"
    pairs = open_pairs(write_list(tmp_path, text), faces)
    assert pairs.same.tolist() == [True, False]
    assert [pairs.source.locate(k) for k in pairs.second] == [str(faces / "Ann" / "Ann_2.png"), str(faces / "Cy" / "Cy_0010.jpg")]
    assert pairs.people == "joined"
    windows = open_pairs(write_list(tmp_path, text.replace("/", "\\").replace(" ", "\t").replace("\n", "\r\n")), faces)
    assert [windows.source.locate(k) for k in windows.second] == [pairs.source.locate(k) for k in pairs.second]
    with pytest.raises(LimenError, match=r"1 of the 2 images in pairs\.txt are missing \(Ann/9\.jpg\)"):
        open_pairs(write_list(tmp_path, "Ann/Ann_0001.jpg Ann/9.jpg 1\n"), faces)
    with pytest.raises(LimenError, match="line 2 has another form"):
        open_pairs(write_list(tmp_path, "Ann/Ann_0001.jpg Ann/Ann_2.png 1\nAnn 1 2\n"), faces)


@pytest.mark.parametrize("name", ["x" * 5000, "a\0b", "../" * 2000 + "x", "\ud800"])
@pytest.mark.parametrize("line", ["{}.png Ann/Ann_2.png 1", "{} 1 2", "Ann 1 {} 2", "Ann {}.png 2.png"])
def test_a_name_that_no_file_can_have_is_missing(tmp_path, faces, name, line):
    (tmp_path / "pairs.txt").write_bytes(line.format(name).encode("utf-8", "surrogatepass"))
    with pytest.raises(LimenError, match=r"images in pairs\.txt are missing"):
        open_pairs(tmp_path / "pairs.txt", faces)


@pytest.mark.skipif(sys.platform == "win32", reason="names of bytes are POSIX")
def test_a_saved_list_of_names_that_are_not_utf8_reads_back(tmp_path):
    for person in (os.fsdecode(b"Jos\xe9"), "a\u2028b", " x", "=1+1"):
        (tmp_path / "faces" / person).mkdir(parents=True)
        for number in (1, 2):
            (tmp_path / "faces" / person / os.fsdecode(b"\xff%d.png" % number)).write_bytes(PNG[number].tobytes())
    source = FolderSource(tmp_path / "faces")
    save_pairs(tmp_path / "pairs.txt", source, 8, seed=0)
    pairs = open_pairs(tmp_path / "pairs.txt", tmp_path / "faces")
    first, _, same = make_pairs(source.labels, 8, seed=0)
    assert [pairs.source.locate(k) for k in pairs.first] == [source.locate(k) for k in first]
    assert np.array_equal(pairs.same, same)
    (tmp_path / "faces" / "tab\there").mkdir()
    (tmp_path / "faces" / "tab\there" / "1.png").write_bytes(PNG[0].tobytes())
    source = FolderSource(tmp_path / "faces")
    with pytest.raises(LimenError, match="holds a tab"):
        save_pairs(tmp_path / "pairs.txt", source, 8, seed=0)


# ---- drawn pairs ----


def all_pairs(labels, same):
    return {(i, j) for i, j in itertools.combinations(range(len(labels)), 2) if (labels[i] == labels[j]) == same}


def test_all_pairs_that_exist_can_be_drawn_and_each_once():
    labels = np.array([1, 0, 1, 2, 0, 1, 5])
    first, second, same = make_pairs(labels, 8, seed=3)
    assert {tuple(sorted(pair)) for pair in zip(first[same], second[same], strict=True)} == all_pairs(labels, same=True)
    drawn = {tuple(sorted(pair)) for pair in zip(first[~same], second[~same], strict=True)}
    assert len(drawn) == 4
    assert drawn <= all_pairs(labels, same=False)
    with pytest.raises(LimenError, match="only 4 mated pairs for the 5"):
        make_pairs(labels, 10, seed=3)


def test_every_pair_is_equally_likely():
    labels = np.array([0, 0, 0, 1, 1])
    counts = {True: {}, False: {}}
    for seed in range(1500):
        for i, j, same in zip(*make_pairs(labels, 2, seed), strict=True):
            pair = tuple(sorted((i, j)))
            counts[bool(same)][pair] = counts[bool(same)].get(pair, 0) + 1
    for same, tally in counts.items():
        expected = 1500 / len(all_pairs(labels, same))
        assert set(tally) == all_pairs(labels, same)
        assert max(abs(count - expected) for count in tally.values()) < 5 * expected**0.5


def test_folds_of_drawn_pairs_are_half_mated_and_the_seed_decides():
    labels = np.repeat(np.arange(50_000), 20)
    first, second, same = make_pairs(labels, 6000, seed=1)
    assert (same.reshape(10, 600).sum(axis=1) == 300).all()
    assert np.array_equal(labels[first] == labels[second], same)
    assert (first != second).all()
    assert np.array_equal(first, make_pairs(labels, 6000, seed=1)[0])
    assert not np.array_equal(first, make_pairs(labels, 6000, seed=2)[0])


def test_a_saved_list_reads_back_as_the_pairs_drawn(tmp_path, faces):
    cv2.imwrite(str(faces / "Ann" / "in the garden.png"), np.zeros((112, 112, 3), np.uint8))
    source = FolderSource(faces)
    save_pairs(tmp_path / "pairs.txt", source, 12, seed=3)
    pairs = open_pairs(tmp_path / "pairs.txt", faces)
    first, second, same = make_pairs(source.labels, 12, seed=3)
    assert [pairs.source.locate(k) for k in pairs.first] == [source.locate(k) for k in first]
    assert [pairs.source.locate(k) for k in pairs.second] == [source.locate(k) for k in second]
    assert np.array_equal(pairs.same, same)


def test_pairs_of_a_source_hold_only_the_images_drawn(faces):
    source = FolderSource(faces)
    pairs = pairs_of(source, 4, seed=0)
    assert set(pairs.first) | set(pairs.second) == set(range(len(pairs.source)))
    for number in range(len(pairs.source)):
        name = source.class_names[pairs.subject[number]]
        assert f"/{name}/" in pairs.source.locate(number)
    assert np.array_equal(pairs.subject[pairs.first] == pairs.subject[pairs.second], pairs.same)
    with pytest.raises(LimenError, match="even number"):
        pairs_of(source, 3, seed=0)


# ---- real files ----


@pytest.mark.realdata
@pytest.mark.parametrize(
    ("name", "count", "mated"), [("lfw_fold1", 600, 300), ("lfw_fold1_python2", 200, 200), ("mkm/validation", 749, 749)]
)
def test_genuine_bins(real_data, name, count, mated):
    pairs = open_pairs(real_data / "recordio" / f"{name}.bin", on_other_size="resize")
    assert len(pairs) == count
    assert pairs.same.sum() == mated
    assert pairs.source.image(int(pairs.second[-1])).shape == (112, 112, 3)
    assert (pairs.subject[pairs.first] == pairs.subject[pairs.second]).sum() >= mated


@pytest.mark.realdata
def test_the_hostile_bin_is_refused(real_data, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(LimenError, match=r"hostile\.bin: .*posix\.system"):
        open_pairs(real_data / "recordio" / "hostile.bin")
    assert not list(tmp_path.iterdir())


@pytest.mark.realdata
def test_lfws_own_lists(real_data, tmp_path):
    with zipfile.ZipFile(real_data / "lfw112.zip") as archive:
        archive.extractall(tmp_path)
    (images,) = {path.parent.parent for path in tmp_path.rglob("A*_0001.jpg")}
    for name, count in (("lfw_pairs", 6000), ("lfw_pairsDevTest", 1000), ("lfw_pairsDevTrain", 2200)):
        pairs = open_pairs(real_data / "protocols" / f"{name}.txt", images)
        assert len(pairs) == count
        assert pairs.same.sum() == count // 2
        assert np.array_equal(pairs.subject[pairs.first] == pairs.subject[pairs.second], pairs.same)
    with pytest.raises(LimenError, match="line 1 is neither"):
        open_pairs(real_data / "protocols" / "pairs_CPLFW.txt", images)


class _Reduced:
    def __init__(self, *call):
        self.call = call

    def __reduce__(self):
        return self.call


HOSTILE = {
    "ndarray": _Reduced(np.ndarray, ((2,), "O", b"A" * 16)),  # an array over raw memory
    "bytes": _Reduced(bytes, (10**12,)),  # all the memory there is
    "scalar": _Reduced(np.float64().__reduce__()[0], (np.dtype("O"), b"A" * 8)),  # an object at any address
    "codec": _Reduced(codecs.encode, ("abc", "rot13")),
}


def bomb(body):
    return pickle.PROTO + b"\x04" + body + b"."


BOMBS = {  # a few bytes that ask for gigabytes
    "memo": bomb(b"]" + pickle.LONG_BINPUT + (1 << 29).to_bytes(4, "little")),
    "memo as text": bomb(b"]" + pickle.PUT + b"999999999\n"),
    "string": bomb(pickle.BINBYTES8 + (6 << 30).to_bytes(8, "little")),
    "bytearray": bomb(pickle.BYTEARRAY8 + (6 << 30).to_bytes(8, "little")),
    "frame": bomb(pickle.FRAME + (6 << 30).to_bytes(8, "little")),
    "array": pickle.dumps(_Reduced(np.empty(0).__reduce__()[0], (np.ndarray, (0,), b"b"), (1, (1 << 30,), np.dtype("O"), False, []))),
    "entry": pickle.dumps(([np.zeros(1 << 20, np.uint8)] * 8000, [True] * 4000)),
    "flags": pickle.dumps(([b"x"] * 2, functools.reduce(lambda inner, _: [inner, inner], range(30), [1]))),
    "flags of arrays": pickle.dumps(([b"x"] * 2, [np.zeros(1 << 20, np.uint8)] * 8000)),
}


PEAK = """
import sys
from limen.data import open_pairs
from limen.errors import LimenError
def peak():
    if sys.platform == "win32": return 0
    import resource
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
first = peak()
for path in sys.argv[1:]:
    try: open_pairs(path)
    except LimenError: print("refused", peak() - first, flush=True)
    else: print("opened", peak() - first, flush=True)
"""


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """Whether each file was refused, and the kB by which memory has grown since the first; all in one process, which may crash."""
    folder = tmp_path_factory.mktemp("hostile")
    files = {kind: pickle.dumps((entries, [True])) for kind, entries in HOSTILE.items()} | BOMBS
    for number, content in enumerate(files.values()):
        (folder / f"{number}.bin").write_bytes(content)
    paths = [folder / f"{number}.bin" for number in range(len(files))]
    said = subprocess.run([sys.executable, "-c", PEAK, *paths], capture_output=True, text=True, timeout=120).stdout
    return {kind: (word, int(grown)) for kind, (word, grown) in zip(files, map(str.split, said.splitlines()), strict=False)}


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_pickle_that_reaches_for_memory_is_refused(opened, kind):
    assert opened[kind][0] == "refused"


@pytest.mark.skipif(sys.platform == "win32", reason="memory is limited by POSIX means")
@pytest.mark.parametrize("kind", BOMBS)
def test_a_small_pickle_does_not_unfold_to_gigabytes(opened, kind):
    assert opened[kind][1] < 100_000  # kB
