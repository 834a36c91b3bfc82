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

from limen.protocols import Result

INK, MUTED, LINE = "#1c2127", "#68717d", "#e3e6ea"
SERIES = ["#2b5fd9", "#d9602b", "#16917c", "#8a4fd0", "#b07d12", "#c23a72"]
MATED, NON_MATED = SERIES[0], SERIES[1]
# Drawn in the light colours, so that a PNG needs nothing more; in a page each colour becomes the variable of the same role.
VARIABLES = {INK: "var(--ink)", MUTED: "var(--muted)", LINE: "var(--line)"} | {c: f"var(--series-{i})" for i, c in enumerate(SERIES)}

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
    drawn = [result for result in results if f"edc@fmr={fmr:g}" in result.curves]
    with _canvas(1) as (figure, axes):
        _draw_edc(axes[0], drawn, f"edc@fmr={fmr:g}")
        axes[0].set(ylabel=f"FNMR at FMR {fmr:g}{', threshold per_step' if any(map(_per_step, drawn)) else ''}")
    return figure


def figure_training(logs: Mapping[str, Sequence[Mapping[str, Any]]], value: str = "loss") -> Figure:
    """`value` over steps for every run of `logs`; rows without it (those of evaluations, say) are passed over."""
    with _canvas(1) as (figure, axes):
        for name, rows in logs.items():
            logged = [row for row in rows if row.get(value) is not None]
            axes[0].plot([row["step"] for row in logged], [row[value] for row in logged], label=name)
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
    lowest, floor = 0.1, 1.0
    for result in results:
        if "roc" not in result.curves:
            continue
        far, tar = (np.asarray(result.curves["roc"][axis]) for axis in ("far", "tar"))
        resolved = 1 / result.counts["non_mated"] if result.counts.get("non_mated") else far[far > 0].min()
        axes.step(far, tar, where="post", label=result.label)
        lowest, floor = min(lowest, resolved), min(floor, float(tar[far <= resolved].max(initial=0)))
    axes.set_xscale("log")
    axes.set(xlim=(lowest, 1), ylim=(max(0.0, floor - 0.1 * (1 - floor)), 1 + 0.03 * (1 - floor) + 1e-3))
    axes.set(xlabel="false accept rate", ylabel="true accept rate")
    _legend(axes, "lower right")


def _draw_edc(axes: Axes, results: Sequence[Result], curve: str) -> None:
    styles = ({"color": colour, "linestyle": dash} for dash in cycle(("-", (0, (5, 1.5)), (0, (1, 1)))) for colour in SERIES)
    for result in results:
        discard, fnmr = result.curves[curve]["discard"], result.curves[curve]["fnmr"]
        average = result.switches["orders averaged"] > 1
        style: dict[str, Any] = {"color": MUTED, "linestyle": (0, (4, 3))} if average else next(styles)
        label = result.switches["quality"]
        if _per_step(result):
            axes.plot(discard, fnmr, label=label, marker="o", markersize=3, **style)
        else:
            axes.step(discard, fnmr, where="post", label=label, **style)
    axes.set(xlim=(0, 1), ylim=(0, None), xlabel=f"share of {'all' if any(map(_per_step, results)) else 'mated'} pairs discarded")
    if results and not any(map(_per_step, results)):
        gone = np.asarray(results[0].curves[curve]["discard"])
        best = np.maximum(results[0].curves[curve]["fnmr"][0] - gone, 0) / (1 - gone)
        axes.plot(gone, best, label="best possible", color=MUTED, linewidth=1, linestyle=(0, (1, 2)))
        shares = np.linspace(0, 1, 6)
        top = axes.secondary_xaxis("top")
        top.set_xticks(shares, [f"{left:,.0f}" for left in results[0].counts["mated"] * (1 - shares)])
        top.set_xlabel("mated pairs left")
        top.spines["top"].set_visible(False)
    if results:
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))  # beside the axes: the curves may lie anywhere


def _per_step(result: Result) -> bool:
    return str(result.switches["edc threshold"]).startswith("per_step")


def _draw_histogram(axes: Axes, result: Result) -> None:
    if "histogram" in result.curves:
        histogram = result.curves["histogram"]
        for name, counts, colour in (("non-mated", histogram["non_mated"], NON_MATED), ("mated", histogram["mated"], MATED)):
            share = np.asarray(counts, float) / max(sum(counts), 1)
            axes.stairs(share, histogram["edges"], fill=True, color=colour, alpha=0.28)
            axes.stairs(share, histogram["edges"], color=colour, linewidth=1.4, label=name)
    if "threshold_cosine" in result.metrics:
        axes.axvline(result.metrics["threshold_cosine"], color=INK, linewidth=1, linestyle=(0, (4, 3)), label="threshold")
    axes.set(xlabel="cosine", ylabel="share of pairs", ylim=(0, None))
    _legend(axes, "upper left")


def _legend(axes: Axes, place: str) -> None:
    if axes.get_legend_handles_labels()[1]:
        axes.legend(loc=place)
