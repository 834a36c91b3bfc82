"""One HTML file that holds a whole evaluation and needs nothing beside it."""

import base64
import math
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import cv2
import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from matplotlib.figure import Figure

from limen.files import atomic_write
from limen.protocols import Result
from limen.report.figures import figure_edc, figure_histogram, figure_roc, to_svg


@dataclass(frozen=True)
class Section:
    """A further part of a report: a title, a figure or a `face_grid`, and a sentence about it."""

    title: str
    content: Figure | Markup
    text: str = ""

    @property
    def html(self) -> Markup:
        return to_svg(self.content) if isinstance(self.content, Figure) else self.content


def write_report(path: str | PathLike[str], title: str, results: Sequence[Result], sections: Sequence[Section] = ()) -> None:
    """Writes a self-contained page: headline numbers, the results side by side, figures, switches, failures.

    Every text is escaped. Raises LimenError where the file cannot be written.
    """
    environment = Environment(
        loader=PackageLoader("limen.report", "."), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters |= {"metric_name": metric_name}
    environment.globals |= {"number": metric_text, "interval": interval_text}
    page = environment.get_template("report.html.j2").render(
        title=title,
        results=results,
        metric_names=_union([result.metrics for result in results]),
        count_names=_union([result.counts for result in results]),
        switch_names=_union([result.switches for result in results]),
        axis=_headline_axis(results),
        roc=to_svg(figure_roc(results)) if any("roc" in result.curves for result in results) else None,
        histograms=[(result.label, to_svg(figure_histogram(result))) for result in results if "histogram" in result.curves],
        edc=_edc_figures(results),
        sections=sections,
    )

    def write(file: Path) -> None:
        file.write_text(page, encoding="utf-8")

    atomic_write(Path(path), write)


def face_grid(images: Sequence[np.ndarray], captions: Sequence[str]) -> Markup:
    """A strip of (H, W, 3) uint8 RGB images, a caption under each. Two faces that belong together go in as one image, side by side."""
    figures = []
    for image, caption in zip(images, captions, strict=True):
        png = cv2.imencode(".png", cv2.cvtColor(np.asarray(image), cv2.COLOR_RGB2BGR))[1].tobytes()
        address = "data:image/png;base64," + base64.b64encode(png).decode()
        size = f'width="{image.shape[1]}" height="{image.shape[0]}"'
        text = f'<figcaption style="max-width: {max(image.shape[1], 96)}px">{escape(caption)}</figcaption>'
        figures.append(f'<figure><img {size} src="{address}" alt="">{text}</figure>')
    return Markup('<div class="faces">' + "".join(figures) + "</div>")


def metric_name(name: str) -> str:
    """ "tar@far=0.001_std" -> "TAR@FAR=0.001 std"; the name of a quality stays as it is."""
    name, minus, other = name.partition("_minus_")
    for abbreviation in ("tar", "far", "val", "eer", "auc", "fnmr", "fmr"):
        name = name.replace(abbreviation, abbreviation.upper())
    name = name if name.startswith("pAUC") else name[:1].upper() + name[1:]
    return name.replace("_", " ") + (f" minus {other}" if minus else "")


def metric_text(name: str, value: float, unit: bool = True) -> str:
    """A rate in percent, a threshold and an area as they are, and "unresolved" for what the data cannot tell."""
    if math.isnan(value):
        return "unresolved"
    if name.startswith(("auc", "pauc")):
        return f"{value:.3g}"
    if "threshold" in name:
        return f"{value:.3f}"
    return f"{100 * value:.2f}" + (" %" if unit else "")


def interval_text(result: Result, name: str) -> str:
    """ "98.10 to 98.92", or nothing where there is no interval, or none of a number that is unresolved."""
    low, high = result.intervals.get(name, (math.nan, math.nan))
    if any(map(math.isnan, (low, high, result.metrics[name]))):
        return ""
    return f"{metric_text(name, low, unit=False)} to {metric_text(name, high, unit=False)}"


def _union(tables: Sequence[dict]) -> list[str]:
    return list(dict.fromkeys(name for table in tables for name in table))


def _edc_figures(results: Sequence[Result]) -> list[tuple[str, Markup]]:
    """(caption, figure) for each FMR of each set of pairs and model, with all their qualities."""
    groups: dict[tuple[str, str], list[Result]] = {}
    for result in results:
        if any(curve.startswith("edc@") for curve in result.curves):
            groups.setdefault((result.name, result.switches.get("model", "")), []).append(result)
    figures = []
    for names, group in groups.items():
        for curve in _union([result.curves for result in group]):
            kind, _, fmr = curve.partition("@fmr=")
            if kind == "edc":
                caption = " · ".join([*filter(None, names), f"FMR {fmr}"])
                figures.append((caption, to_svg(figure_edc(group, float(fmr)))))
    return figures


def _headline_axis(results: Sequence[Result]) -> dict[str, float]:
    """One axis for all headline intervals, so that their marks can be compared by eye."""
    ends = [
        end
        for result in results
        for end in (*result.intervals.get(result.headline, ()), result.metrics[result.headline])
        if not math.isnan(end)
    ]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    margin = 0.15 * (high - low) or 0.01
    return {"low": low - margin, "span": high - low + 2 * margin}
