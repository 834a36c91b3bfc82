"""Names as keys: two of one name stay two, and any letter of a name is shown as it is."""

from pathlib import Path

import pytest

from limen.names import visible
from limen.protocols import Curve, Discarding, Metric, Result
from limen.report import distinct, figure_edc, figure_roc, figure_training, result_lines, save_png, to_svg, write_report
from limen.report.show import groups_of_qualities, short_labels

ODD = ["_hidden", "$cost_{x}$", "100% & <b>", "a$b", "caf\udce9", "tab\there", "x" * 200]


def result(name="lfw", model="ada", quality=None, **changes):
    fields = {
        "kind": "verification",
        "headline": "accuracy",
        "metrics": [Metric("accuracy", 0.9)],
        "counts": {"mated": 20, "non_mated": 1000, "failures_to_acquire": 0, "pairs_left_out": 0},
        "curves": [Curve("roc", {"far": [0.0, 0.001, 1.0], "tar": [0.5, 0.9, 1.0]})],
    }
    if quality is not None:
        fields["discarding"] = Discarding(quality)
        fields["curves"] = [Curve("edc", {"discard": [0.0, 0.5], "fnmr": [0.4, 0.1], "mated_left": [20, 10]}, {"fmr": 0.01})]
        fields["headline"] = "pauc(0.3)@fmr=0.01"
        fields["metrics"] = [
            Metric("fnmr", 0.4, at={"fmr": 0.01}, events=3),
            Metric("pauc", 0.1, "area", {"fmr": 0.01}, 0.3),
            Metric("pauc", 0.9, "area", {"fmr": 0.01}, 0.3, ["normalised"]),
            Metric("false_non_matches", 8, "count", {"fmr": 0.01}),
        ]
    return Result(name, model=model, **(fields | changes))


def legend_of(figure):
    return [text.get_text() for text in figure.axes[0].get_legend().get_texts()]


def test_files_of_one_name_are_told_apart_by_their_folders_or_numbered():
    paths = [Path("x/run/r50.onnx"), Path("y/run/r50.onnx"), Path("z/ada.onnx"), Path("z/ada.onnx")]
    assert distinct([path.stem for path in paths], paths) == ["x/run/r50.onnx", "y/run/r50.onnx", "ada", "ada (2)"]
    assert distinct(["a", "b"], paths[:2]) == ["a", "b"]
    runs = [Path("x/run/model.safetensors"), Path("y/run/model.safetensors"), Path("y/other/model.safetensors")]
    assert distinct(["run", "run", "other"], runs) == ["x/run", "y/run", "other"]


def test_labels_hold_what_differs_and_no_two_are_equal():
    assert short_labels([result(model="ada"), result(model="arc")]) == ["ada", "arc"]
    assert short_labels([result("lfw"), result("agedb")]) == ["lfw", "agedb"]
    assert short_labels([result("lfw", "ada"), result("agedb", "arc")]) == ["lfw · ada", "agedb · arc"]
    assert short_labels([result(), result()]) == ["ada", "ada (2)"]
    assert short_labels([result()]) == ["ada"]


def test_results_of_one_name_stay_two_in_blocks_curves_and_legends(tmp_path):
    results = [result(quality=quality) for quality in ("norm", "sharpness", "norm", "sharpness")]
    assert groups_of_qualities(results) == [results[:2], results[2:]]
    assert len([line for line in result_lines(results) if line.startswith("lfw · ada: ")]) == 2
    write_report(tmp_path / "report.html", "Report", results)
    page = (tmp_path / "report.html").read_text()
    assert page.count("lfw · ada · FMR 0.01") == 2
    assert "norm (2)" in page
    assert "evaluation · lfw" in page
    assert legend_of(figure_edc(results[:2], 0.01)) == ["norm", "sharpness", "oracle"]
    assert legend_of(figure_roc([result(), result()])) == ["ada", "ada (2)"]


def test_interleaved_models_are_grouped_once():
    results = [result(model=model, quality=quality) for quality in ("norm", "sharpness") for model in ("ada", "arc")]
    assert groups_of_qualities(results) == [results[::2], results[1::2]]
    assert len(result_lines(results)) == len(result_lines(results[::2])) + len(result_lines(results[1::2]))


@pytest.mark.parametrize("name", ODD)
def test_every_letter_of_a_name_reaches_the_legend_the_page_and_the_terminal(name, tmp_path):
    shown = visible(name)
    figures = [
        figure_roc([result(model=name), result(model="other")]),
        figure_edc([result(quality=name), result(quality="b")], 0.01),
        figure_training({name: [{"step": 1, "loss": 1.0}]}),
    ]
    for figure in figures:
        label = legend_of(figure)[0]
        assert label == shown or (label.startswith("xxxxx") and len(label) == 54)
        assert to_svg(figure).startswith("<svg")
        save_png(figure, tmp_path / "figure.png")
    one = result(name, name, name, switches={name: name}, failures=[f"{name}: is empty"])
    write_report(tmp_path / "report.html", name, [one, result(quality="b")])
    (tmp_path / "report.html").read_text(encoding="utf-8")
    assert shown in "\n".join(result_lines([one]))
    "\n".join(result_lines([one])).encode("utf-8")


def test_switches_of_one_model_alone_leave_the_others_empty(tmp_path):
    """A bundle says of its architecture what an ONNX file does not."""
    results = [result(switches={"architecture": "tiny", "flip": True}), result(model="onnx", switches={"flip": True, "sidecar": "s.json"})]
    write_report(tmp_path / "report.html", "Report", results)
    page = " ".join((tmp_path / "report.html").read_text().split())
    assert "<th>architecture</th> <td>tiny</td><td></td>" in page
    assert "<th>sidecar</th> <td></td><td>s.json</td>" in page


def test_the_legend_of_many_curves_stands_below_the_axes():
    names = [f"{'a model of quite a long name ' * (k % 2)}{k}" for k in range(5)]
    for figure in (figure_roc([result(model=name) for name in names]), figure_edc([result(quality=name) for name in names], 0.01)):
        figure.draw_without_rendering()
        legend, axes = figure.axes[0].get_legend().get_window_extent(), figure.axes[0].get_window_extent()
        assert legend.y1 < axes.y0
        assert 0 <= legend.x0 < legend.x1 <= figure.bbox.x1
        assert legend.y0 >= 0
        assert axes.width > 0.75 * figure.bbox.width
