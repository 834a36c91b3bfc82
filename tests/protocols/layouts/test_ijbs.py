"""IJB-S rebuilt from its tables: who is searched where in each of the five tests, what has no crops, and what is refused."""

import numpy as np
import pytest

from ijbs_tree import SEEN, write_crops, write_tables
from limen.cli import main
from limen.errors import LimenError, LimenWarning
from limen.protocols import load_results
from limen.protocols.layouts import open_benchmark
from limen.protocols.layouts.ijbs import TESTS
from made_up import tiny_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ijbs") / "IJBS"
    write_tables(folder / "protocols")
    write_crops(folder / "crops")
    return folder


def opened(test, path):
    with pytest.warns(LimenWarning, match="published: 101"):
        return open_benchmark(f"ijbs-{test}:{path}")


def said(task, rows):
    """The crops of each template, without their endings."""
    templates = task.templates
    return [
        sorted("/".join(task.source.locate(int(k)).split("/")[-2:])[:-4] for k in templates.image[templates.template == row])
        for row in rows
    ]


def crops(who, *media):
    return sorted(f"{who}/{medium}{frame}" for medium in media for frame in (("_17", "_5") if medium.startswith("videos") else ("",)))


SINGLE_PROBES = [crops("31", "videos_9001"), crops("32", "videos_9001"), crops("31", "videos_9002"), crops("33", "videos_9002"), []]
WHOLE = {  # test -> probes, entries of g1
    "single": (SINGLE_PROBES, [crops("31", "img_700031"), crops("32", "img_700032")]),
    "booking": (SINGLE_PROBES, [crops("31", "img_700031", "img_800031"), crops("32", "img_700032", "img_800032")]),
    "multiview": (
        [crops("31", "videos_9001", "videos_9002"), crops("32", "videos_9001"), crops("33", "videos_9002")],
        [crops("31", "img_700031", "img_800031"), crops("32", "img_700032", "img_800032")],
    ),
    "surveillance": (SINGLE_PROBES, [crops("31", "videos_9060"), crops("32", "videos_9060")]),
    "uav": (
        [crops("31", "videos_9001"), crops("32", "videos_9001"), crops("34", "videos_9050"), crops("34", "img_900034")],
        [crops("31", "img_700031", "img_800031"), crops("32", "img_700032", "img_800032")],
    ),
}


@pytest.mark.parametrize("test", TESTS)
def test_who_is_searched_where(folder, test):
    task = opened(test, folder)
    probes, entries = WHOLE[test]
    g1, g2 = task.galleries
    assert said(task, g1.probe) == said(task, g2.probe) == probes
    assert said(task, g1.gallery) == entries
    assert task.counts["templates without crops"] == probes.count([])
    assert not set(task.templates.person[g1.gallery]) & set(task.templates.person[g2.gallery])
    assert (task.merged, task.fpir, task.ranks) == (True, (0.01, 0.1), (1, 5, 10))


def test_read_written_and_read_again_it_is_the_same(folder, tmp_path):
    """Tables named as in other copies, Windows line ends, a byte-order mark, no folder of protocols."""
    head = "\ufeffSUBJECT_ID,FILENAME"
    rows = [f"{subject},{medium}" for medium, subjects in SEEN.items() for subject in subjects]
    write_tables(tmp_path, "cs6", "\r\n", metadata=[head, *rows])
    write_crops(tmp_path / "aligned")
    for test in TESTS:
        one, other = opened(test, folder), opened(test, tmp_path)
        every = range(len(one.templates))
        assert said(one, every) == said(other, every)
        np.testing.assert_array_equal(one.templates.person, other.templates.person)


def test_evaluated_end_to_end(folder, tmp_path):
    words = ["evaluate", str(tiny_model(tmp_path)), "--on", *[f"ijbs-{test}:{folder}" for test in TESTS], "--out", str(tmp_path / "r")]
    assert main([*words, "--replicates", "20"]) == 0
    results = load_results(tmp_path / "r" / "result.json")
    assert [result.name for result in results] == [f"ijbs-{test}" for test in TESTS]
    for result in results:
        misses = WHOLE[result.name.removeprefix("ijbs-")][0].count([])
        assert result.counts["templates_without_images"] == result.counts["failed_probes"] == misses
        probes = result.counts["probes"]
        assert result.value("identification_rate@rank=10") == pytest.approx(1 - misses / probes)  # all are found but the misses
        assert [metric.needed for metric in result.where(quantity="tpir", at={"fpir": 0.01}, variant=[])] == [100]
        assert sum(line.endswith("none of its images can be used") for line in result.failures) == misses


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"surveillance_to_single-booking": list(SEEN)[:2]}, "line 1 holds data where a header is expected"),
        ({"surveillance_to_single-booking": ["F", "videos/1.mp4"]}, r"1 of its 1 media are not in .*metadata.csv \(videos_1\)"),
        ({"single_g1": ["T,S,F", "1,31"]}, "g1.csv: line 2 has no videos/... or img/... in column 3"),
        ({"single_g1": ["T,S,F", "1,,img/700031.jpg"]}, "g1.csv: line 2 has .*or no subject"),
        ({"single_g1": ["T,S,F", "1,33,img/700033.jpg"]}, "g2.csv: subject 33 is in both galleries"),
        ({"metadata": ["A,B", "videos/9001.mp4,31"]}, "metadata.csv: line 2 has no videos"),
    ],
)
def test_tables_that_disagree_are_named(folder, tmp_path, changed, message):
    write_tables(tmp_path, **changed)
    (tmp_path / "crops").symlink_to(folder / "crops")
    with pytest.raises(LimenError, match=message):
        open_benchmark(f"ijbs-single:{tmp_path}")


def test_what_is_missing_is_named_and_a_pickle_refused(tmp_path):
    write_tables(tmp_path / "t")
    with pytest.raises(LimenError, match=r"crops/ not found in .*<subject>/videos_<video>_<frame>.jpg"):
        open_benchmark(f"ijbs-uav:{tmp_path / 't'}")
    (tmp_path / "t" / "crops").mkdir()
    with pytest.raises(LimenError, match="holds none of the crops"):
        open_benchmark(f"ijbs-uav:{tmp_path / 't'}")
    other = tmp_path / "p" / "q" / "protocols"
    other.mkdir(parents=True)
    (other / "IJB_S_proto.pkl").write_bytes(b"cos\nsystem\n(S'false'\ntR.")
    for path in (other.parent, other / "IJB_S_proto.pkl"):
        with pytest.raises(
            LimenError, match=r"IJB_S_proto.pkl: a pickle of foreign classes .* is refused; .* put protocols/ijbs_metadata.csv"
        ):
            open_benchmark(f"ijbs-single:{path}")
