"""The report: one file, every number with its interval and events, every text escaped."""

import base64
from html.parser import HTMLParser

import cv2
import numpy as np
import pytest

from limen.errors import LimenError
from limen.protocols import Curve, Discarding, Interval, Metric, Result
from limen.report import Section, face_grid, figure_training, result_lines, write_report

HOSTILE = "<script>alert('x')</script>"


class Page(HTMLParser):
    """The text of a page, its tags and every address it refers to."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.addresses, self.words = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.addresses += [value for name, value in attributes if name in ("src", "href", "xlink:href", "srcset", "action")]

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def result(name="lfw", accuracy=0.9912, **changes):
    fields = {
        "kind": "verification",
        "headline": "accuracy",
        "metrics": [
            Metric("accuracy", accuracy, interval=Interval(accuracy - 0.002, accuracy + 0.003)),
            Metric("tar", 0.9521, at={"far": 1e-3}, interval=Interval(0.93, 0.97), events=3),
            Metric("tar", None, at={"far": 1e-6}),
            Metric("threshold_cosine", 0.234, "similarity"),
        ],
        "counts": {"pairs": 6000, "non_mated": 3000, "failures_to_acquire": 0},
        "model": "adaface",
        "switches": {"flip": True},
        "curves": [
            Curve("roc", {"far": [0.0, 0.001, 1.0], "tar": [0.5, 0.9, 1.0]}),
            Curve("histogram", {"edges": [-1.0, 0.0, 1.0], "mated": [1, 9], "non_mated": [8, 2]}),
        ],
    }
    return Result(name=name, **(fields | changes))


def written(tmp_path, results, title="Report", sections=()):
    write_report(tmp_path / "report.html", title, results, sections)
    return (tmp_path / "report.html").read_text(encoding="utf-8")


def test_the_file_needs_nothing_beside_it(tmp_path):
    face = np.zeros((112, 112, 3), np.uint8)
    sections = [Section("Faces", face_grid([face], ["black"])), Section("Training", figure_training({"a": [{"step": 1, "loss": 2.0}]}))]
    html = written(tmp_path, [result(), result("cfp-fp")], sections=sections)
    page = Page(html)
    assert all(address.startswith(("data:", "#")) for address in page.addresses)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    assert "://" not in html
    assert "@import" not in html
    assert "url(http" not in html


def test_numbers_stand_with_their_intervals_events_and_switches(tmp_path):
    text = Page(written(tmp_path, [result(), result("agedb", 0.9655)])).text
    for expected in ("99.12", "98.92 to 99.42", "96.55", "96.35 to 96.85", "95.21 %", "93.00 to 97.00", "3 impostor events", "0.234"):
        assert expected in text
    assert "95 % interval" in text
    assert "TAR@FAR=1e-06 unresolved" in text
    assert "6,000" in text
    assert "flip True" in text


def test_qualities_of_the_same_pairs_and_model_share_a_figure_for_each_fmr(tmp_path):
    def discarding(quality, model):
        curve = {"discard": [0.0, 0.5], "fnmr": [0.4, 0.1], "mated_left": [20, 10]}
        return result(
            headline="pauc(0.3)@fmr=0.01",
            metrics=[
                Metric("pauc", value, "area", {"fmr": 0.01}, 0.3, versus=than) for value, than in ((0.01234, ""), (0.001, "far sight"))
            ],
            counts={"mated": 20},
            model=model,
            discarding=Discarding(quality),
            curves=[Curve("edc", curve, {"fmr": fmr}) for fmr in (0.01, 0.1)],
        )

    html = written(tmp_path, [discarding(quality, model) for model in ("a", "b") for quality in ("far sight", HOSTILE)])
    text = Page(html).text
    assert [text.count(f"lfw · {model} · FMR {fmr}") for model in "ab" for fmr in ("0.01", "0.1")] == [1, 1, 1, 1]
    assert "pAUC(0.3)@FMR=0.01 0.0123" in text
    assert "pAUC(0.3)@FMR=0.01 minus far sight 0.001" in text
    assert "script" not in Page(html).tags


def test_every_text_is_escaped(tmp_path):
    hostile = result(
        HOSTILE,
        metrics=[Metric("accuracy", 0.9), Metric(HOSTILE, 0.5)],
        counts={HOSTILE: 1},
        model=HOSTILE,
        switches={HOSTILE: HOSTILE},
        failures=[HOSTILE],
    )
    face = np.zeros((8, 8, 3), np.uint8)
    sections = [
        Section(HOSTILE, face_grid([face], [HOSTILE]), HOSTILE),
        Section("Log", figure_training({HOSTILE: [{"step": 1, "loss": 1}]})),
    ]
    page = Page(written(tmp_path, [hostile], title=HOSTILE, sections=sections))
    assert "script" not in page.tags
    assert HOSTILE in page.text


def test_switches_that_agree_are_written_once(tmp_path):
    one = result(switches={"flip": "with mirror", "template": "mean"})
    other = result("cfp-fp", switches={"flip": "with mirror", "template": "sum"})
    text = Page(written(tmp_path, [one, other])).text
    assert text.count("with mirror") == 1
    assert "template mean sum" in text


def test_failures_are_counted_and_listed(tmp_path):
    text = Page(written(tmp_path, [result(failures=["a/b.jpg: is empty", "c/d.jpg: is no image"])])).text
    assert "2 failures to acquire" in text
    assert "a/b.jpg: is empty c/d.jpg: is no image" in text


def test_the_numbers_of_a_collapsed_model_say_so(tmp_path):
    counts = {"mated": 1, "non_mated": 1, "pairs_left_out": 0, "failures_to_acquire": 0}
    marked, sound = (result(counts=counts, switches=switches) for switches in ({"collapsed": True}, {}))
    assert "collapsed" in " ".join(result_lines([marked]))
    assert "collapsed" not in " ".join(result_lines([sound]))
    assert "collapsed True" in Page(written(tmp_path, [marked])).text


def test_a_result_of_another_kind_with_nothing_but_a_number_is_shown(tmp_path):
    text = Page(written(tmp_path, [Result("mine", "own", "answer", [Metric("answer", 0.42)])])).text
    assert "42.00" in text
    assert "ROC" not in text


def test_faces_are_the_pixels_given():
    face = np.random.default_rng(0).integers(0, 256, (12, 10, 3), np.uint8)
    (address,) = Page(face_grid([face], ["noise"])).addresses
    png = np.frombuffer(base64.b64decode(address.partition(",")[2]), np.uint8)
    np.testing.assert_array_equal(cv2.cvtColor(cv2.imdecode(png, cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB), face)


def test_a_folder_that_is_missing_is_named(tmp_path):
    with pytest.raises(LimenError, match=r"report\.html"):
        write_report(tmp_path / "gone" / "report.html", "Report", [result()])
