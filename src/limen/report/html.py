"""One HTML file that holds a whole evaluation and needs nothing beside it."""

import base64
from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from os import PathLike

import cv2
import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
from matplotlib.figure import Figure

from limen.files import write_text
from limen.names import visible
from limen.protocols import Metric, Result
from limen.report.canvas import to_svg
from limen.report.comparison_tables import comparison_tables
from limen.report.figures import (
    figure_cmc,
    figure_det,
    figure_det_of_pairs,
    figure_edc,
    figure_groups,
    figure_histogram,
    figure_roc,
    group_points,
)
from limen.report.number_tables import cell_text
from limen.report.paper_tables import paper_tables
from limen.report.part_tables import gallery_tables, group_tables
from limen.report.show import (
    groups_of_qualities,
    interval_text,
    metric_text,
    metric_title,
    name_of,
    remark_of,
    short_labels,
    threshold_text,
)


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
    labels, of_groups, of_galleries = short_labels(results), group_tables(results), gallery_tables(results)
    environment.filters |= {
        "cell": cell_text,
        "number": metric_text,
        "interval": interval_text,
        "threshold": threshold_text,
        "remark": remark_of,
    }
    page = environment.get_template("report.html.j2").render(
        title=title,
        cards=[_Card(result, label) for result, label in zip(results, labels, strict=True)],
        sets=list(dict.fromkeys(result.name for result in results)),
        tables=[*paper_tables(results), *comparison_tables(results)],
        group_tables=of_groups,
        gallery_tables=of_galleries,
        numbers=_numbers(results, {cell.key for table in (*of_groups, *of_galleries) for cell in table.cells}),
        switches=_switches(results),
        axis=_headline_axis(results),
        searches=_curves(results, ("CMC", "cmc", figure_cmc), ("DET of the open set", "det", figure_det)),
        scores=_curves(results, ("ROC", "roc", figure_roc), ("DET", "roc", figure_det_of_pairs)),
        histograms=[
            (f"{label}: scores", to_svg(figure_histogram(result)))
            for result, label in zip(results, labels, strict=True)
            if result.curve("histogram")
        ],
        groups=_groups(results, labels),
        edc=_edc_figures(results),
        sections=sections,
    )
    write_text(path, "\n".join(map(visible, page.split("\n"))))


def face_grid(images: Sequence[np.ndarray], captions: Sequence[str], jpeg: bool = False) -> Markup:
    """A strip of (H, W, 3) uint8 RGB images, a caption under each. Two faces that belong together go in as one image, side by side.

    They are kept to the bit, or with `jpeg` in a fifth of the size.
    """
    suffix, kind = (".jpg", "jpeg") if jpeg else (".png", "png")
    figures = []
    for image, caption in zip(images, captions, strict=True):
        encoded = cv2.imencode(suffix, cv2.cvtColor(np.asarray(image), cv2.COLOR_RGB2BGR))[1].tobytes()
        address = f"data:image/{kind};base64," + base64.b64encode(encoded).decode()
        size = f'width="{image.shape[1]}" height="{image.shape[0]}"'
        text = f'<figcaption style="max-width: {max(image.shape[1], 96)}px">{escape(caption)}</figcaption>'
        figures.append(f'<figure><img {size} src="{address}" alt="">{text}</figure>')
    return Markup('<div class="faces">' + "".join(figures) + "</div>")


@dataclass(frozen=True)
class _Card:
    """A result and what the page calls it."""

    result: Result
    label: str

    @property
    def headline(self) -> Metric:
        return next(metric for metric in self.result.metrics if metric.key == self.result.headline)

    @property
    def title(self) -> str:
        per_step = self.result.discarding is not None and self.result.discarding.threshold == "per_step"
        return f"{metric_title(self.headline)} · {self.result.kind}{', threshold per_step' if per_step else ''}"


def _numbers(results: Sequence[Result], elsewhere: AbstractSet[str]) -> list[tuple[str, bool, list[Metric | None]]]:
    """(title, whether it is the headline, the metric of each result) of every metric and count of any of them. Parts of a result whose
    keys stand `elsewhere`, in the tables of parts, are left out."""
    rows = []
    told = [metric for result in results for metric in result.metrics if "enrolled" in metric.at or metric.variant]
    left_out = elsewhere & {metric.key for metric in told}
    for key in dict.fromkeys(metric.key for result in results for metric in result.metrics if metric.key not in left_out):
        found = [result.metric(key) for result in results]
        rows.append((metric_title(next(filter(None, found))), key == results[0].headline, found))
    for name in dict.fromkeys(name for result in results for name in result.counts):
        counts = [Metric(name, result.counts[name], "count") if name in result.counts else None for result in results]
        rows.append((name_of(name), False, counts))
    return rows


def _switches(results: Sequence[Result]) -> list[tuple[str, list[str]]]:
    """(name, its values): one where all results agree, else that of each, empty where one has none."""
    rows = []
    for name in dict.fromkeys(name for result in results for name in result.switches):
        values = [str(result.switches.get(name, "")) for result in results]
        rows.append((name, values[:1] if len(set(values)) == 1 else values))
    return rows


def _curves(results: Sequence[Result], *kinds: tuple[str, str, Callable[[Sequence[Result]], Figure]]) -> list[tuple[str, Markup]]:
    """(caption, figure) of each kind (title, curve, how it is drawn) for all results in one, or for each set where there are several models
    and sets: then the lines are named by the models alone."""
    sets = list(dict.fromkeys(result.name for result in results))
    apart = len(sets) > 1 and len({result.model for result in results}) > 1
    parts = [(f" · {name}", [result for result in results if result.name == name]) for name in sets] if apart else [("", [*results])]
    found = []
    for suffix, part in parts:
        for title, kind, drawn in kinds:
            if any(result.curve(kind) for result in part):
                found.append((title + suffix, to_svg(drawn(part))))
    return found


def _groups(results: Sequence[Result], labels: Sequence[str]) -> list[tuple[str, Markup]]:
    """(caption, figure) of each error rate of groups at each working point."""
    return [
        (f"{label} · {name_of(quantity)} at {name_of(rate)}={value:g}", to_svg(figure_groups(result, quantity, rate, value)))
        for result, label in zip(results, labels, strict=True)
        for quantity, rate, value in group_points(result)
    ]


def _edc_figures(results: Sequence[Result]) -> list[tuple[str, Markup]]:
    """(caption, figure) for each FMR of each set of pairs and model, with all their qualities."""
    figures = []
    for group in groups_of_qualities(results):
        for fmr in dict.fromkeys(curve.at["fmr"] for result in group for curve in result.curves if curve.kind == "edc"):
            caption = " · ".join(filter(None, (group[0].name, group[0].model, f"FMR {fmr:g}")))
            figures.append((caption, to_svg(figure_edc(group, fmr))))
    return figures


def _headline_axis(results: Sequence[Result]) -> dict[str, float]:
    """One axis for all headline intervals, so that their marks can be compared by eye."""
    ends = []
    for metric in (result.metric(result.headline) for result in results):
        if metric and metric.value is not None:
            ends += [metric.value, *((metric.interval.low, metric.interval.high) if metric.interval else ())]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    margin = 0.15 * (high - low) or 0.01
    return {"low": low - margin, "span": high - low + 2 * margin}
