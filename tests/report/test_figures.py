"""Figures: they show what they are given, and an SVG asks nothing of the world."""

import re

import numpy as np
import pytest

from limen.protocols import Curve, Discarding, Interval, Metric, Result
from limen.report import figure_edc, figure_histogram, figure_overview, figure_roc, figure_training, save_png, to_svg
from limen.report.figures import figure_det_of_pairs, figure_groups, group_points


def result(name="lfw", **changes):
    fields = {
        "kind": "verification",
        "headline": "accuracy",
        "metrics": [Metric("accuracy", 0.99), Metric("threshold_cosine", 0.25, "similarity")],
        "counts": {"non_mated": 1000},
        "curves": [
            Curve("roc", {"far": [0.0, 0.001, 0.01, 1.0], "tar": [0.5, 0.9, 0.95, 1.0]}),
            Curve("histogram", {"edges": [-1.0, 0.0, 1.0], "mated": [1, 9], "non_mated": [8, 2]}),
        ],
    }
    return Result(name=name, **(fields | changes))


def test_the_roc_has_a_log_axis_that_ends_at_one_impostor():
    axes = figure_roc([result(), result("cfp-fp")]).axes[0]
    assert axes.get_xscale() == "log"
    assert axes.get_xlim() == (1e-3, 1)
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), [0.5, 0.9, 0.95, 1.0])
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["lfw", "cfp-fp"]


def test_the_histogram_shows_shares_of_each_class():
    axes = figure_histogram(result()).axes[0]
    outlines = {patch.get_label(): patch.get_data().values for patch in axes.patches}
    np.testing.assert_allclose(outlines["mated"], [0.1, 0.9])
    np.testing.assert_allclose(outlines["non-mated"], [0.8, 0.2])


def test_the_histogram_marks_every_threshold_of_the_whole():
    metrics = [
        Metric("accuracy", 0.99),
        Metric("threshold_cosine", 0.25, "similarity"),
        Metric("tar", 0.9, at={"far": 0.01}, threshold=0.2),
        Metric("tar", 0.8, at={"far": 0.001}, threshold=0.4),
        Metric("fmr", 0.1, at={"far": 0.001}, variant=["a group"], threshold=0.4),
    ]
    axes = figure_histogram(result(metrics=metrics, operating_points={"FMR=0.0001": 0.5})).axes[0]
    marked = {"FAR=0.01": 0.2, "best accuracy": 0.25, "FAR=0.001": 0.4, "operating point, FMR=0.0001": 0.5}
    assert {line.get_label(): line.get_xdata()[0] for line in axes.lines} == marked


def test_the_det_of_pairs_is_what_the_roc_leaves():
    axes = figure_det_of_pairs([result()]).axes[0]
    np.testing.assert_allclose(axes.lines[0].get_ydata(), [0.5, 0.1, 0.05, 0.0])
    np.testing.assert_allclose(axes.lines[0].get_xdata(), [0.0, 0.001, 0.01, 1.0])
    assert (axes.get_xscale(), axes.get_yscale(), axes.get_xlim()[0]) == ("log", "log", 1e-3)


@pytest.mark.parametrize("figure", [figure_roc, figure_det_of_pairs])
def test_from_four_models_on_the_legend_stands_below_the_curves(figure):
    for count, inside in ((3, True), (4, False), (9, False)):
        drawn = figure([result(model=f"model {number}") for number in range(count)])
        drawn.draw_without_rendering()
        axes = drawn.axes[0]
        legend, curves = axes.get_legend().get_window_extent(), axes.get_window_extent()
        assert legend.overlaps(curves) == inside
        assert drawn.bbox.y0 <= legend.y0
        assert [text.get_text() for text in axes.get_legend().get_texts()] == [f"model {number}" for number in range(count)]


def test_groups_are_points_with_their_intervals():
    found = [
        Metric(quantity, value, at={"far": 0.01}, variant=[group], interval=Interval(value / 2, 2 * value))
        for group, value in (("young", 0.02), ("old", 0.04))
        for quantity in ("fmr", "fnmr")
    ]
    judged = result(metrics=[Metric("accuracy", 0.9), *found])
    assert group_points(judged) == [("fmr", "far", 0.01), ("fnmr", "far", 0.01)]
    for point in group_points(judged):
        axes = figure_groups(judged, *point).axes[0]
        assert [label.get_text() for label in axes.get_yticklabels()] == ["young", "old"]
        assert [tuple(line.get_xdata()) for line in axes.lines] == [(0.01, 0.04), (0.02,), (0.02, 0.08), (0.04,)]


def test_a_group_without_an_error_does_not_press_the_others_to_the_left():
    at = {"far": 0.01}
    found = [
        Metric("fmr", 0.01, at=at, variant=["many pairs"], interval=Interval(0.005, 0.02)),
        Metric("fmr", 0.0, at=at, variant=["few pairs"], interval=Interval(0.0, 0.5, few_events=True)),
    ]
    axes = figure_groups(result(metrics=[Metric("accuracy", 0.9), *found]), "fmr", "far", 0.01).axes[0]
    end = axes.get_xlim()[1]
    assert 0.02 < end < 0.03
    assert [line.get_xdata()[0] for line in axes.lines if line.get_marker() == ">"] == [end]
    without = figure_groups(result(metrics=[Metric("accuracy", 0.9), found[1]]), "fmr", "far", 0.01).axes[0]
    assert without.get_xlim()[1] > 0.5
    every = Metric("fmr", 0.9, at=at, variant=["all"], interval=Interval(0.8, 1.0))
    assert figure_groups(result(metrics=[Metric("accuracy", 0.9), every]), "fmr", "far", 0.01).axes[0].get_xlim()[1] <= 1.02


def discarding(quality, fnmr=(0.4, 0.1), orders=1, threshold="fixed", **changes):
    curves = [Curve("edc", {"discard": [0.0, 0.5], "fnmr": list(fnmr), "mated_left": [200, 100]}, {"fmr": 0.01})]
    fields = {"discarding": Discarding(quality, threshold, orders), "counts": {"mated": 200}, "curves": curves}
    return result(**(fields | changes))


def test_the_edc_has_a_line_for_each_quality_and_the_mated_pairs_left_above():
    axes = figure_edc([discarding("crfiqa"), discarding("random order", (0.4, 0.4), orders=10), discarding("norm", curves=[])], 0.01).axes[
        0
    ]
    found = {line.get_label(): list(line.get_ydata()) for line in axes.lines}
    assert found == {"crfiqa": [0.4, 0.1], "random order": [0.4, 0.4], "oracle": pytest.approx([0.4, 0])}
    assert {line.get_drawstyle() for line in axes.lines if line.get_label() in ("crfiqa", "random order")} == {"steps-post"}
    assert "mated pairs" in axes.get_xlabel()
    assert axes.get_ylabel() == "FNMR at FMR 0.01"
    (above,) = axes.child_axes
    assert [label.get_text() for label in above.get_xticklabels()] == ["200", "160", "120", "80", "40", "0"]


def test_an_edc_of_a_threshold_for_every_step_is_a_trapezoid_over_all_pairs():
    axes = figure_edc([discarding("crfiqa", threshold="per_step")], 0.01).axes[0]
    assert axes.lines[0].get_drawstyle() == "default"
    assert axes.get_xlabel() == "share of all pairs discarded"
    assert axes.get_ylabel() == "FNMR at FMR 0.01, threshold per_step"
    assert not axes.child_axes


def test_training_rows_without_the_value_are_passed_over():
    rows = [{"step": 1, "loss": 3.0}, {"step": 2, "accuracy": 0.9}, {"step": 3, "loss": 2.0}]
    line = figure_training({"run": rows}).axes[0].lines[0]
    assert (list(line.get_xdata()), list(line.get_ydata())) == ([1, 3], [3.0, 2.0])


@pytest.mark.parametrize(
    "figure", [figure_roc([]), figure_edc([], 0.01), figure_roc([result(curves=[])]), figure_training({}), figure_training({"a": []})]
)
def test_nothing_to_draw_is_an_empty_figure(figure):
    assert to_svg(figure).startswith("<svg")


def test_an_svg_refers_to_nothing_outside_and_takes_its_colours_from_the_page():
    svg = to_svg(figure_overview([result("a & <b>")]))
    assert "://" not in svg
    assert not re.search(r'href="(?!#)', svg)
    assert "var(--series-0)" in svg
    assert "var(--ink)" in svg
    assert "a &amp; &lt;b&gt;" in svg


def test_the_same_figure_is_the_same_svg():
    assert to_svg(figure_roc([result()])) == to_svg(figure_roc([result()]))


def test_a_png_is_written(tmp_path):
    save_png(figure_overview([result()]), tmp_path / "overview.png")
    assert (tmp_path / "overview.png").read_bytes().startswith(b"\x89PNG")
