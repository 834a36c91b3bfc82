"""What every picture of a report is drawn on: its style, colours, labels and legend, and how it leaves as SVG or PNG."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle
from os import PathLike
from typing import Any

import matplotlib
from cycler import cycler
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from limen.names import visible
from limen.report.show import shortened

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
def canvas(columns: int) -> Iterator[tuple[Figure, list[Axes]]]:
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(5.6 * columns, 3.7), layout="constrained")
        yield figure, list(figure.subplots(1, columns, squeeze=False)[0])


def styles() -> Iterator[dict[str, Any]]:
    """A line style for each curve: six colours, then the same ones dashed and dotted."""
    return ({"color": colour, "linestyle": dash} for dash in cycle(("-", (0, (5, 1.5)), (0, (1, 1)))) for colour in SERIES)


def label_of(text: str) -> str:
    """`text` as the label of an artist: matplotlib hides one that begins with an underscore."""
    text = shortened(visible(text))
    return LABEL_START + text if text.startswith("_") else text


def add_legend(axes: Axes, place: str | None = None) -> None:
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
