"""The pictures of a report. Every function returns a matplotlib figure; `to_svg` lets it follow the page's light or dark colours."""

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import cycle
from os import PathLike
from typing import Any

import matplotlib
import numpy as np
from cycler import cycler
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from limen.names import visible
from limen.protocols import Result
from limen.report.show import short_labels, shortened

INK, MUTED, LINE = "#1c2127", "#68717d", "#e3e6ea"
SERIES = ["#2b5fd9", "#d9602b", "#16917c", "#8a4fd0", "#b07d12", "#c23a72"]
MATED, NON_MATED = SERIES[0], SERIES[1]
# Drawn in the light colours, so that a PNG needs nothing more; in a page each colour becomes the variable of the same role.
VARIABLES = {INK: "var(--ink)", MUTED: "var(--muted)", LINE: "var(--line)"} | {c: f"var(--series-{i})" for i, c in enumerate(SERIES)}

IN_THE_AXES = 3  # most curves whose legend stands in the axes
WIDE_LABEL = 24  # letters; with a wider one the legend below the axes has one column
LABEL_START = "\u200b"  # before a label that begins with an underscore

STYLE = {
    "font.size": 10,
    "text.color": INK,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": LINE,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.prop_cycle": cycler(color=SERIES),
    "grid.color": LINE,
    "grid.linewidth": 0.8,
    "xtick.color": LINE,
    "ytick.color": LINE,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "xtick.minor.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "lines.linewidth": 1.8,
    "lines.solid_capstyle": "round",
    "svg.fonttype": "none",
    "svg.hashsalt": "limen",
}


def figure_roc(results: Sequence[Result]) -> Figure:
    """ROC of the results that have one, FAR on a log axis from the smallest that any of them resolves, 1/N_impostor."""
    with _canvas(1) as (figure, axes):
        _draw_roc(axes[0], results)
    return figure


def figure_cmc(results: Sequence[Result]) -> Figure:
    """Identification rate within the k best entries, a line for each result and gallery."""
    with _canvas(1) as (figure, axes):
        drawn = _draw_galleries(axes[0], results, "cmc", ("rank", "rate"))
        axes[0].set(xlabel="rank k", ylabel="identification rate", xlim=(1, None))
        _legend(axes[0], "lower right" if drawn <= IN_THE_AXES else None)
    return figure


def figure_det(results: Sequence[Result]) -> Figure:
    """FNIR over FPIR of the open sets on log axes, a line for each result and gallery."""
    with _canvas(1) as (figure, axes):
        drawn = _draw_galleries(axes[0], results, "det", ("fpir", "fnir"))
        axes[0].set(xscale="log", yscale="log", xlabel="false positive identification rate", ylabel="false negative identification rate")
        _legend(axes[0], "lower left" if drawn <= IN_THE_AXES else None)
    return figure


def figure_histogram(result: Result) -> Figure:
    """Share of the mated and of the non-mated pairs by cosine, and the threshold between them."""
    with _canvas(1) as (figure, axes):
        _draw_histogram(axes[0], result)
    return figure


def figure_overview(results: Sequence[Result]) -> Figure:
    """ROC of all results beside the histogram of the first: one picture for a README."""
    with _canvas(2) as (figure, axes):
        _draw_roc(axes[0], results)
        _draw_histogram(axes[1], results[0])
    return figure


def figure_edc(results: Sequence[Result], fmr: float) -> Figure:
    """FNMR at `fmr` over the share of pairs discarded, a line for each quality that `results` of the same pairs judge.

    Orders at random are drawn pale, and so is the curve of an order that discards all errors first. Above the axis stand the mated pairs
    left, where the share discarded is one of mated pairs. A threshold that is found again at every step is named.
    """
    drawn = [result for result in results if result.discarding and result.curve("edc", {"fmr": fmr})]
    per_step = any(result.discarding and result.discarding.threshold == "per_step" for result in drawn)
    with _canvas(1) as (figure, axes):
        _draw_edc(axes[0], drawn, fmr, per_step)
        axes[0].set(ylabel=f"FNMR at FMR {fmr:g}{', threshold per_step' if per_step else ''}")
        _legend(axes[0])
    return figure


def figure_training(logs: Mapping[str, Sequence[Mapping[str, Any]]], value: str = "loss") -> Figure:
    """`value` over steps for every run of `logs`; rows without it (those of evaluations, say) are passed over."""
    with _canvas(1) as (figure, axes):
        for name, rows in logs.items():
            logged = [row for row in rows if row.get(value) is not None]
            axes[0].plot([row["step"] for row in logged], [row[value] for row in logged], label=_label(name))
        axes[0].set(xlabel="step", ylabel=value)
        _legend(axes[0], "upper right")
    return figure


def save_png(figure: Figure, path: str | PathLike[str]) -> None:
    """Writes a figure on white, at 160 dots an inch."""
    figure.savefig(path, format="png", dpi=160, facecolor="white")


def to_svg(figure: Figure) -> Markup:
    """The figure as an `<svg>` element that refers to nothing outside itself and takes its colours and font from the page."""
    drawn = io.StringIO()
    with matplotlib.rc_context(STYLE):
        figure.savefig(drawn, format="svg", transparent=True)
    text = drawn.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>", "", text, flags=re.DOTALL)
    text = re.sub(r' xmlns(:xlink)?="[^"]*"', "", text).replace("xlink:href", "href")
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text))
    for colour, variable in VARIABLES.items():
        text = text.replace(colour, variable)
    return Markup(text)


@contextmanager
def _canvas(columns: int) -> Iterator[tuple[Figure, list[Axes]]]:
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(5.6 * columns, 3.7), layout="constrained")
        yield figure, list(figure.subplots(1, columns, squeeze=False)[0])


def _draw_roc(axes: Axes, results: Sequence[Result]) -> None:
    lowest, floor, styles = 0.1, 1.0, _styles()
    drawn = [(result, curve) for result in results if (curve := result.curve("roc"))]
    for label, (result, curve) in zip(short_labels([result for result, _ in drawn]), drawn, strict=True):
        far, tar = (np.asarray(curve.points[axis], float) for axis in ("far", "tar"))
        resolved = 1 / result.counts["non_mated"] if result.counts.get("non_mated") else far[far > 0].min()
        axes.step(far, tar, where="post", label=_label(label), **next(styles))
        lowest, floor = min(lowest, resolved), min(floor, float(tar[far <= resolved].max(initial=0)))
    axes.set_xscale("log")
    axes.set(xlim=(lowest, 1), ylim=(max(0.0, floor - 0.1 * (1 - floor)), 1 + 0.03 * (1 - floor) + 1e-3))
    axes.set(xlabel="false accept rate", ylabel="true accept rate")
    _legend(axes, "lower right" if len(drawn) <= IN_THE_AXES else None)


def _draw_galleries(axes: Axes, results: Sequence[Result], kind: str, sides: tuple[str, str]) -> int:
    """Draws the curves `kind` of all galleries of the results that have any, and gives their number."""
    drawn = [(result, [curve for curve in result.curves if curve.kind == kind]) for result in results]
    drawn = [(result, curves) for result, curves in drawn if curves]
    styles, count = _styles(), 0
    for label, (_, curves) in zip(short_labels([result for result, _ in drawn]), drawn, strict=True):
        for curve in curves:
            points = (np.asarray(curve.points[side], float) for side in sides)
            axes.plot(*points, label=_label(" ".join(filter(None, (label, curve.of)))), **next(styles))
            count += 1
    return count


def _draw_edc(axes: Axes, results: Sequence[Result], fmr: float, per_step: bool) -> None:
    styles = _styles()
    for label, result in zip(short_labels(results), results, strict=True):
        curve = result.curve("edc", {"fmr": fmr})
        assert curve is not None  # others are not drawn
        assert result.discarding is not None
        discard, fnmr = (np.asarray(curve.points[axis], float) for axis in ("discard", "fnmr"))
        style: dict[str, Any] = {"color": MUTED, "linestyle": (0, (4, 3))} if result.discarding.orders > 1 else next(styles)
        if result.discarding.threshold == "per_step":
            axes.plot(discard, fnmr, label=_label(label), marker="o", markersize=3, **style)
        else:
            axes.step(discard, fnmr, where="post", label=_label(label), **style)
    axes.set(xlim=(0, 1), ylim=(0, None), xlabel=f"share of {'all' if per_step else 'mated'} pairs discarded")
    if results and not per_step:
        best = np.maximum(fnmr[0] - discard, 0) / (1 - discard)
        axes.plot(discard, best, label="best possible", color=MUTED, linewidth=1, linestyle=(0, (1, 2)))
        shares = np.linspace(0, 1, 6)
        top = axes.secondary_xaxis("top")
        top.set_xticks(shares, [f"{left:,.0f}" for left in results[0].counts["mated"] * (1 - shares)])
        top.set_xlabel("mated pairs left")
        top.spines["top"].set_visible(False)


def _draw_histogram(axes: Axes, result: Result) -> None:
    if curve := result.curve("histogram"):
        for name, kind, colour in (("non-mated", "non_mated", NON_MATED), ("mated", "mated", MATED)):
            counts, edges = (np.asarray(curve.points[axis], float) for axis in (kind, "edges"))
            share = counts / max(counts.sum(), 1)
            axes.stairs(share, edges, fill=True, color=colour, alpha=0.28)
            axes.stairs(share, edges, color=colour, linewidth=1.4, label=name)
    if (threshold := result.metric("threshold_cosine")) and threshold.value is not None:
        axes.axvline(threshold.value, color=INK, linewidth=1, linestyle=(0, (4, 3)), label="threshold")
    axes.set(xlabel="cosine", ylabel="share of pairs", ylim=(0, None))
    _legend(axes, "upper left")


def _styles() -> Iterator[dict[str, Any]]:
    """A line style for each curve: six colours, then the same ones dashed and dotted."""
    return ({"color": colour, "linestyle": dash} for dash in cycle(("-", (0, (5, 1.5)), (0, (1, 1)))) for colour in SERIES)


def _label(text: str) -> str:
    """`text` as the label of an artist: matplotlib hides one that begins with an underscore."""
    text = shortened(visible(text))
    return LABEL_START + text if text.startswith("_") else text


def _legend(axes: Axes, place: str | None = None) -> None:
    """A legend in the axes, or below them where no place is named: curves may lie anywhere."""
    handles, labels = axes.get_legend_handles_labels()
    if not labels:
        return
    if place:
        legend = axes.legend(handles, labels, loc=place)
    else:
        columns = 1 if max(map(len, labels)) > WIDE_LABEL else 2
        legend = axes.legend(handles, labels, loc="upper left", bbox_to_anchor=(0, -0.16), borderaxespad=0, ncols=columns)
        figure = axes.get_figure(root=True)
        assert figure is not None
        figure.set_figheight(figure.get_figheight() + 0.2 * -(-len(labels) // columns))
    for text, label in zip(legend.get_texts(), labels, strict=True):
        text.set(text=label.removeprefix(LABEL_START), parse_math=False)  # $ is a letter of a name
