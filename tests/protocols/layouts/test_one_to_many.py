"""Every one-to-many layout: what its lists say is what is searched, however it is held."""

import shutil
import warnings

import numpy as np
import pytest
from scipy.io import savemat

from limen.cli import main
from limen.errors import LimenError, LimenWarning
from limen.protocols import load_results
from limen.protocols.layouts import layout_of, open_benchmark
from limen.protocols.layouts.ijb import template_subjects
from limen.protocols.layouts.matlab import flat, read_matlab
from limen.protocols.task import task_counts
from made_up import face, pairs_as_named, tiny_model, write_face, write_image, write_lines
from search_trees import TREES, cells, write_lists, write_survface_pairs


@pytest.fixture(scope="module", params=TREES)
def tree(request, tmp_path_factory):
    """(name of the benchmark, its folder, what its lists say)"""
    folder = tmp_path_factory.mktemp(request.param.replace(" ", "_"))
    return request.param.split()[0], folder, TREES[request.param](folder)


def opened(spec):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", LimenWarning)  # the counts are not those of the published sets
        return open_benchmark(spec)


def told(task):
    """For each gallery by name: the entries and the probes, each as (name, the names of its person's images on the other side)."""
    names, person = task.templates.names, task.templates.person
    return {
        found.name: tuple(
            {str(names[row]): {str(names[o]) for o in others if person[o] == person[row] >= 0} for row in rows}
            for rows, others in ((found.gallery, found.probe), (found.probe, found.gallery))
        )
        for found in task.galleries
    }


def meant(said):
    return {
        name: tuple(
            {image: {other for other, who in others.items() if who == person is not None} for image, person in rows.items()}
            for rows, others in ((entries, probes), (probes, entries))
        )
        for name, (entries, probes) in said.items()
    }


def test_the_searches_are_those_of_the_lists(tree):
    name, folder, said = tree
    task = opened(f"{name}:{folder}")
    assert told(task) == meant(said)
    assert task.name == name
    for image, template in zip(task.templates.image, task.templates.template, strict=True) if not name.startswith("ijb") else ():
        assert str(task.templates.names[template]) in task.source.locate(image).replace("\\", "/")
        assert task.source.image(image).shape == (112, 112, 3)


def test_nested_and_with_litter_it_is_the_same(tree, tmp_path):
    name, folder, said = tree
    shutil.copytree(folder, tmp_path / "again" / "again")
    for place in (tmp_path / "again", tmp_path / "again" / "again"):
        (place / "__MACOSX").mkdir()
        (place / "__MACOSX" / "._1.jpg").write_bytes(b"x")
        (place / ".DS_Store").write_bytes(b"x")
    assert told(opened(f"{name}:{tmp_path / 'again'}")) == meant(said)


def test_evaluated_end_to_end(tree, tmp_path, capsys):
    name, folder, said = tree
    words = ["evaluate", str(tiny_model(tmp_path)), "--on", f"{name}:{folder}", "--out", str(tmp_path / "out"), "--replicates", "10"]
    assert main(words) == 0
    (result,) = load_results(tmp_path / "out" / "result.json")
    assert (result.name, result.kind, result.counts["galleries"]) == (name, "identification", len(said))
    probes = {image: person for _, probes in said.values() for image, person in probes.items()}
    enrolled = {person for entries, _ in said.values() for person in entries.values()} - {None}
    assert result.counts["probes"] == len(probes)
    assert result.counts["probes_without_mate"] == sum(person not in enrolled for person in probes.values())
    assert result.counts["templates_without_images"] == name.startswith("ijb")  # template 99
    task = opened(f"{name}:{folder}")
    keys = {metric.key for metric in result.metrics}
    assert {f"identification_rate@rank={rank}" for rank in task.ranks} <= keys
    assert {f"tpir@fpir={rate:g}" for rate in task.fpir} <= keys
    assert (tmp_path / "out" / "report.html").exists()


def test_switches_of_each_benchmark(tmp_path):
    for name, ranks, fpir, rank in (
        ("tinyface", (1, 5, 20), (), 1),
        ("scface", (1,), (), 1),
        ("survface", (1, 20), (0.3, 0.2, 0.1, 0.01), 20),
    ):
        TREES[name](tmp_path / name)
        task = opened(f"{name}:{tmp_path / name}")
        assert (task.ranks, task.fpir, task.open_rank) == (ranks, fpir, rank)
    assert task_counts(opened(f"scface:{tmp_path / 'scface'}"))["infrared images left out"] == 18


def test_counts_that_are_not_the_published_ones_are_said(tmp_path):
    TREES["tinyface"](tmp_path)
    with pytest.warns(LimenWarning, match=r"7 entries \(published: 157,871\), 2 probes \(published: 3,728\), 4 distractors"):
        open_benchmark(f"tinyface:{tmp_path}")


def test_native_images_are_refused_and_the_aligned_ones_beside_them_taken(tmp_path):
    said = TREES["tinyface"](tmp_path, suffix=".png")
    native = tmp_path / "tinyface" / "Testing_Set"
    for folder in ("Gallery_Match", "Gallery_Distractor", "Probe"):
        for image in (tmp_path / "aligned_pad_0.1_pad_high" / folder).iterdir():
            write_image(native / folder / image.with_suffix(".jpg").name, np.zeros((20, 18, 3), np.uint8))
    as_png = {"": tuple({name.replace(".jpg", ".png"): person for name, person in side.items()} for side in said[""])}
    for given in (tmp_path, tmp_path / "tinyface", tmp_path / "aligned_pad_0.1_pad_high"):
        assert told(opened(f"tinyface:{given}")) == meant(as_png)
    shutil.copytree(tmp_path / "aligned_pad_0.1_pad_high", tmp_path / "tinyface_aligned_112")
    with pytest.raises(LimenError, match=r"the images may be those of .*pad_high or .*tinyface_aligned_112; name one of them"):
        opened(f"tinyface:{tmp_path}")
    assert told(opened(f"tinyface:{tmp_path / 'tinyface_aligned_112'}")) == meant(as_png)
    for aligned in ("aligned_pad_0.1_pad_high", "tinyface_aligned_112"):
        shutil.rmtree(tmp_path / aligned)
    with pytest.raises(LimenError, match=r"^tinyface: .* is 18x20, and aligned 112x112 crops are needed.*Align the photos"):
        opened(f"tinyface:{tmp_path}")
    shutil.rmtree(native / "Probe")
    with pytest.raises(LimenError, match=r"^tinyface: Probe/ not found in .* holds the images that are looked for"):
        opened(f"tinyface:{tmp_path}")


LISTS = "tinyface/Testing_Set/"
GALLERY = {"7_1.jpg": 1, "7_2.jpg": 1, "9_1.jpg": 2}
BAD_LISTS = [
    ({"gallery_set": cells(list(GALLERY)), "gallery_ids": np.array([[1], [1]])}, "holds 3 names and 2 ids"),
    ({"names": cells(list(GALLERY)), "gallery_ids": np.array([[1], [1], [2]])}, "lacks gallery_set; it holds names, gallery_ids"),
    ({"gallery_set": np.arange(3.0), "gallery_ids": np.arange(3)}, "gallery_set holds 0.0 where a file name is expected"),
    ({"gallery_set": cells(list(GALLERY)), "gallery_ids": np.array([1, 1, np.nan])}, "has the id nan where a whole number is expected"),
    ({"gallery_set": cells(list(GALLERY)), "gallery_ids": np.array([1, 1, 2.5])}, "has the id 2.5 where a whole number is expected"),
    ({"gallery_set": cells(["7_1.jpg", "7_1.jpg", "9_1.jpg"]), "gallery_ids": np.array([1, 1, 2])}, "lists 7_1.jpg twice"),
    ({"gallery_set": cells(list(GALLERY)), "gallery_ids": np.array([1, 2, 2])}, r"gives 7_2.jpg the id 2, and .* the images 7_\* the id 1"),
    ({"gallery_set": cells(list(GALLERY)), "gallery_ids": np.array([1, 1, 1])}, r"gives 9_1.jpg the id 1, which the images 7_\* have"),
    (
        {"gallery_set": cells(list(GALLERY)), "gallery_ids": np.array([2, 2, 1])},
        r"probe_img.* gives 7_3.jpg the id 1, and gallery_match.* the id 2",
    ),
    ({"gallery_set": cells(["8_1.jpg"]), "gallery_ids": np.array([8])}, r"1 of the 1 images in gallery_match\S* are missing \(8_1.jpg\)"),
]


@pytest.mark.parametrize(("variables", "message"), BAD_LISTS, ids=[message[:40] for _, message in BAD_LISTS])
def test_lists_that_disagree_are_refused(tmp_path, variables, message):
    TREES["tinyface"](tmp_path)
    savemat(tmp_path / LISTS / "gallery_match_img_ID_pairs.mat", variables)
    with pytest.raises(LimenError, match=message) as refused:
        opened(f"tinyface:{tmp_path}")
    assert "\n" not in str(refused.value)


def test_probes_without_a_mate_are_counted(tmp_path):
    TREES["tinyface"](tmp_path)
    write_lists(tmp_path / LISTS / "gallery_match_img_ID_pairs.mat", "gallery_set", "gallery_ids", {"9_1.jpg": 2})
    with pytest.warns(LimenWarning, match=r"tinyface: 1 probes have no mate in the gallery \(1\) and do not count"):
        open_benchmark(f"tinyface:{tmp_path}")


def test_one_image_under_two_endings_is_refused(tmp_path):
    TREES["tinyface"](tmp_path)
    write_face(tmp_path / "aligned_pad_0.1_pad_high" / "Gallery_Distractor" / "2.png", 2, 1)
    with pytest.raises(LimenError, match=r"2.png: is 2.jpg under another ending; leave one of them"):
        opened(f"tinyface:{tmp_path}")


@pytest.mark.parametrize(
    ("file", "message"),
    [
        ("surveillance_cameras_distance_1/cam_2/001_cam3_1.png", "is named as camera 3 at distance 1 and stands in another folder"),
        ("surveillance_cameras_distance_1/cam_2/001_cam2_2.png", "is named as camera 2 at distance 2 and stands in another folder"),
        ("surveillance_cameras_distance_1/cam_2/001_cam2_1.png", "001_cam2_1.png: is the same image as .*001_cam2_1.jpg"),
        ("surveillance_cameras_distance_1/cam_2/Ann.png", "Ann.png: is not named as person, camera and distance"),
        ("mugshot_frontal_cropped_all/Ann.png", "Ann.png: is not named as a mugshot"),
    ],
)
def test_scface_names_that_disagree_with_their_folders_are_refused(tmp_path, file, message):
    TREES["scface"](tmp_path)
    write_face(tmp_path / "SCface_database" / file, 1, 1)
    with pytest.raises(LimenError, match=message):
        opened(f"scface:{tmp_path}")


def test_survface_ids_in_the_other_folder_and_probes_on_the_wrong_side(tmp_path):
    said = TREES["survface"](tmp_path)
    base = tmp_path / "QMUL-SurvFace"
    (base / "Face_Identification_Evaluation").mkdir()
    for listed in (base / "Face_Identification_Test_Set").glob("*.mat"):
        listed.rename(base / "Face_Identification_Evaluation" / listed.name)
    assert told(opened(f"survface:{tmp_path}")) == meant(said)
    write_face(base / "Face_Identification_Test_Set" / "unmated_probe" / "10002_cam9_9.jpg", 1, 1)
    with pytest.warns(LimenWarning, match=r"1 images in unmated_probe are named as people in the gallery \(10002_cam9_9.jpg\)"):
        open_benchmark(f"survface:{tmp_path}")


def test_survface_pairs(tmp_path):
    pairs = write_survface_pairs(tmp_path)
    task = opened(f"survface-pairs:{tmp_path}")
    assert [(a.rsplit("/")[-1], b.rsplit("/")[-1], same) for (a, b), same in pairs_as_named(task)] == pairs
    assert (task.folds, task.far, len(np.unique(task.subject))) == (None, (0.3, 0.1, 0.01, 0.001), 3)
    words = ["evaluate", str(tiny_model(tmp_path)), "--on", f"survface-pairs:{tmp_path}", "--out", str(tmp_path / "out")]
    assert main([*words, "--replicates", "10", "--far", "0.5"]) == 0
    (result,) = load_results(tmp_path / "out" / "result.json")
    assert (result.name, result.counts["pairs"], result.metric("tar@far=0.5").events) == ("survface-pairs", 4, 1)
    write_survface_pairs(tmp_path, [("10002_cam1_1", "10007_cam1_2")])
    with pytest.raises(LimenError, match=r"10002_cam1_1.jpg and 10007_cam1_2.jpg are mated, of two people"):
        opened(f"survface-pairs:{tmp_path}")


def test_templates_of_ijb(tmp_path):
    """Pooled from their crops, with the detector's scores, on the five points; people of no gallery and templates without image stay."""
    TREES["ijbc-search"](tmp_path)
    task = opened(f"ijbc-search:{tmp_path}")
    templates = task.templates
    assert templates.weight[:4].tolist() == [0.95, 0.85, 0.75, 0.65]
    assert templates.media[:4].tolist() == [101, 101, 102, 103]
    assert str(templates.names[task.galleries[0].gallery[1]]) == "template 99"
    assert task.galleries[0].gallery[1] not in templates.template
    assert (task.fpir, task.open_rank, task.counts) == ((0.01, 0.1), 1, {"templates in no table": 1})
    difference = np.abs(task.source.image(0).astype(int) - face(1, 1))
    assert difference.mean() < 6  # the loose crop is that face, twice as large


IJB = "meta/ijbc_1N_"
HEADER = "TEMPLATE_ID,SUBJECT_ID,FILENAME"
BAD_TABLES = [
    ("gallery_G1", [HEADER, "11,31,a", "11,32,b"], "gallery_G1.csv: line 3 gives template 11 the person '32', and an earlier line '31'"),
    ("gallery_G1", [HEADER, "11,31,a", "12,32,b"], "probe_mixed.csv: gives template 12 the person 31, and another table 32"),
    ("gallery_G1", [HEADER, "11,31,a", "12,31,b"], "template 12 is in a gallery and among the probes"),
    ("gallery_G1", [HEADER, "11,31,a", "x,31,b"], "line 3 has 'x' where a whole number is expected"),
    ("gallery_G2", [HEADER], "gallery_G2.csv: holds no templates"),
    ("probe_mixed", [HEADER, "12"], "line 2 has 1 fields where 2 to 63 are expected"),
]


@pytest.mark.parametrize(("table", "rows", "message"), BAD_TABLES, ids=[message[:50] for *_, message in BAD_TABLES])
def test_tables_that_disagree_are_refused(tmp_path, table, rows, message):
    TREES["ijbc-search"](tmp_path)
    write_lines(tmp_path / f"{IJB}{table}.csv", *rows)
    with pytest.raises(LimenError, match=message):
        opened(f"ijbc-search:{tmp_path}")


def test_tables_of_another_system_and_without_a_header_are_the_same(tmp_path):
    said = TREES["ijbc-search"](tmp_path)
    for listed in (tmp_path / "meta").iterdir():
        listed.write_bytes(b"\xef\xbb\xbf" + listed.read_bytes().replace(b"\n", b"\r\n"))
    assert told(opened(f"ijbc-search:{tmp_path}")) == meant(said)
    bare = tmp_path / f"{IJB}gallery_G2.csv"
    write_lines(bare, *bare.read_text("utf-8-sig").splitlines()[1:])
    assert told(opened(f"ijbc-search:{tmp_path}")) == meant(said)


@pytest.mark.realdata
def test_the_published_galleries_of_ijbc(real_data):
    expected = layout_of("ijbc-search").expected
    listed = {name: template_subjects(real_data / f"protocols/ijbc/ijbc_1N_gallery_{name}.csv") for name in ("G1", "G2")}
    assert {name: len(found) for name, found in listed.items()} == {name: expected[f"entries {name}"] for name in listed}
    assert all(len(set(found.values())) == len(found) for found in listed.values())  # one template a person
    assert not set(listed["G1"].values()) & set(listed["G2"].values())


@pytest.mark.realdata
def test_the_published_lists_of_tinyface(real_data):
    """Their counts are those that the record expects, and each probe has a mate."""
    expected = layout_of("tinyface").expected
    lists = {}
    for side, variable in (("gallery_match", "gallery"), ("probe", "probe")):
        file = real_data / f"protocols/tinyface_supersyz_{side}_img_ID_pairs.mat"
        lists[variable] = [flat(value) for value in read_matlab(file, f"{variable}_set", f"{variable}_ids")]
    assert len(lists["gallery"][0]) == len(set(lists["gallery"][0])) == expected["entries"] - expected["distractors"]
    assert len(lists["probe"][0]) == len(set(lists["probe"][0])) == expected["probes"]
    assert set(lists["probe"][1]) <= set(lists["gallery"][1])


@pytest.mark.realdata
def test_the_published_lists_over_made_up_images(real_data, tmp_path):
    """All 8,171 names of TinyFace are found and numbered alike, which its reader checks; the images are one file each, linked."""
    write_face(tmp_path / "face.jpg", 1, 1)
    for side, variable, folder in (("gallery_match", "gallery", "Gallery_Match"), ("probe", "probe", "Probe")):
        file = real_data / f"protocols/tinyface_supersyz_{side}_img_ID_pairs.mat"
        shutil.copy(file, tmp_path / f"{side}_img_ID_pairs.mat")
        (tmp_path / folder).mkdir()
        for name in flat(read_matlab(file, f"{variable}_set")[0]):
            (tmp_path / folder / name).hardlink_to(tmp_path / "face.jpg")
    write_face(tmp_path / "Gallery_Distractor" / "1.jpg", 2, 1)
    counts = task_counts(opened(f"tinyface:{tmp_path}"))
    assert (counts["entries"], counts["probes"], counts["people"]) == (4444, 3728, 2570)
