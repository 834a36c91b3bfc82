"""The pictures of a report. Every function returns a matplotlib figure; `limen.report.canvas` says how it looks and how it leaves."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from limen.protocols import Metric, Result
from limen.protocols.result import PROMISED
from limen.report.canvas import IN_THE_AXES, INK, MATED, MUTED, NON_MATED, add_legend, canvas, label_of, styles
from limen.report.show import short_labels, working_point

DASHES = ("-", (0, (6, 2)), (0, (4, 3)), (0, (2, 2)), (0, (1, 1.5)), (0, (6, 2, 1, 2)))  # of thresholds, in the order of their scores


def figure_roc(results: Sequence[Result]) -> Figure:
    """ROC of the results that have one, FAR on a log axis from the smallest that any of them resolves, 1/N_impostor."""
    with canvas(1) as (figure, axes):
        _draw_roc(axes[0], results)
    return figure


def figure_det_of_pairs(results: Sequence[Result]) -> Figure:
    """FNMR over FMR of the results that have a ROC, on log axes: what a ROC shows, spread out where models are good."""
    with canvas(1) as (figure, axes):
        drawn = [(result, curve) for result in results if (curve := result.curve("roc"))]
        looks, lowest, highest = styles(), [0.1, 0.1], 0.0
        for label, (result, curve) in zip(short_labels([result for result, _ in drawn]), drawn, strict=True):
            fmr, fnmr = np.asarray(curve.points["far"], float), 1 - np.asarray(curve.points["tar"], float)
            axes[0].step(fmr, fnmr, where="post", label=label_of(label), **next(looks))
            shares = [1 / result.counts[kind] if result.counts.get(kind) else 1e-4 for kind in ("non_mated", "mated")]
            lowest = [min(pair) for pair in zip(lowest, shares, strict=True)]
            highest = max(highest, float(fnmr[fmr >= lowest[0]].max(initial=0)))
        axes[0].set(xscale="log", yscale="log", xlim=(lowest[0], 1), ylim=(lowest[1], min(1, max(3 * highest, 10 * lowest[1]))))
        axes[0].set(xlabel="false match rate", ylabel="false non-match rate")
        add_legend(axes[0], "upper right" if len(drawn) <= IN_THE_AXES else None)
    return figure


def figure_groups(result: Result, quantity: str, rate: str, value: float) -> Figure:
    """The error rate `quantity` of each group of people with its interval, an arrow where that goes on beyond the axis; the arguments are
    one of `group_points`."""
    own = [metric for metric in result.where(quantity=quantity, at={rate: value}) if len(metric.variant) == 1 and metric.value is not None]
    rows = np.arange(len(own))[::-1]
    end = _readable_end(own)
    with canvas(1) as (figure, (axes,)):
        for row, metric in zip(rows, own, strict=True):
            if metric.interval:
                axes.plot([metric.interval.low, min(metric.interval.high, end)], [row, row], color=MATED, linewidth=4, alpha=0.35)
                if metric.interval.high > end:
                    axes.plot([end], [row], color=MATED, marker=">", markersize=7, alpha=0.6, linestyle="none", clip_on=False)
            axes.plot([float(metric.value or 0)], [row], color=MATED, marker="o", markersize=5, linestyle="none")
        axes.set_yticks(rows, [label_of(metric.variant[0]) for metric in own], parse_math=False)
        axes.set(xlabel="false match rate" if quantity == "fmr" else "false non-match rate", ylim=(-0.6, len(own) - 0.4))
        axes.set_xlim(0, end if np.isfinite(end) else None)
        axes.locator_params(axis="x", nbins=6)
        figure.set_figheight(1.1 + 0.32 * len(own))
    return figure


def _readable_end(metrics: Sequence[Metric]) -> float:
    """Where the axis of rates ends: behind the intervals of all groups that have an error, so that one of few pairs and none does not press
    all others to the left. Infinity where no group has an error."""
    ends = [metric.interval.high if metric.interval else float(metric.value) for metric in metrics if metric.value]
    return min(1.15 * max(ends), 1.02) if ends else np.inf


def group_points(result: Result) -> list[tuple[str, str, float]]:
    """The error rates of groups that the result has, and their working points: ("fmr", "far", 0.001)."""
    told = [m for m in result.metrics if m.quantity in ("fmr", "fnmr") and len(m.variant) == 1 and len(m.at) == 1 and not m.versus]
    return list(dict.fromkeys((metric.quantity, *next(iter(metric.at.items()))) for metric in told))


def figure_cmc(results: Sequence[Result]) -> Figure:
    """Identification rate within the k best entries, a line for each result and gallery."""
    with canvas(1) as (figure, axes):
        drawn = _draw_galleries(axes[0], results, "cmc", ("rank", "rate"))
        axes[0].set(xlabel="rank k", ylabel="identification rate", xlim=(1, None))
        add_legend(axes[0], "lower right" if drawn <= IN_THE_AXES else None)
    return figure


def figure_det(results: Sequence[Result]) -> Figure:
    """FNIR over FPIR of the open sets on log axes, a line for each result and gallery."""
    with canvas(1) as (figure, axes):
        drawn = _draw_galleries(axes[0], results, "det", ("fpir", "fnir"))
        axes[0].set(xscale="log", yscale="log", xlabel="false positive identification rate", ylabel="false negative identification rate")
        add_legend(axes[0], "lower left" if drawn <= IN_THE_AXES else None)
    return figure


def figure_histogram(result: Result) -> Figure:
    """Share of the mated and of the non-mated pairs by cosine, and the thresholds: of the accuracy, and of each rate reported."""
    with canvas(1) as (figure, axes):
        _draw_histogram(axes[0], result)
    return figure


def figure_overview(results: Sequence[Result]) -> Figure:
    """ROC of all results beside the histogram of the first: one picture for a README."""
    with canvas(2) as (figure, axes):
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
    with canvas(1) as (figure, axes):
        _draw_edc(axes[0], drawn, fmr, per_step)
        axes[0].set(ylabel=f"FNMR at FMR {fmr:g}{', threshold per_step' if per_step else ''}")
        add_legend(axes[0])
    return figure


def figure_training(logs: Mapping[str, Sequence[Mapping[str, Any]]], value: str = "loss") -> Figure:
    """`value` over steps for every run of `logs`; rows without it (those of evaluations, say) are passed over."""
    with canvas(1) as (figure, axes):
        for name, rows in logs.items():
            logged = [row for row in rows if row.get(value) is not None]
            axes[0].plot([row["step"] for row in logged], [row[value] for row in logged], label=label_of(name))
        axes[0].set(xlabel="step", ylabel=value)
        add_legend(axes[0], "upper right")
    return figure


def _draw_roc(axes: Axes, results: Sequence[Result]) -> None:
    lowest, floor, looks = 0.1, 1.0, styles()
    drawn = [(result, curve) for result in results if (curve := result.curve("roc"))]
    for label, (result, curve) in zip(short_labels([result for result, _ in drawn]), drawn, strict=True):
        far, tar = (np.asarray(curve.points[axis], float) for axis in ("far", "tar"))
        resolved = 1 / result.counts["non_mated"] if result.counts.get("non_mated") else far[far > 0].min()
        axes.step(far, tar, where="post", label=label_of(label), **next(looks))
        lowest, floor = min(lowest, resolved), min(floor, float(tar[far <= resolved].max(initial=0)))
    axes.set_xscale("log")
    axes.set(xlim=(lowest, 1), ylim=(max(0.0, floor - 0.1 * (1 - floor)), 1 + 0.03 * (1 - floor) + 1e-3))
    axes.set(xlabel="false accept rate", ylabel="true accept rate")
    add_legend(axes, "lower right" if len(drawn) <= IN_THE_AXES else None)


def _draw_galleries(axes: Axes, results: Sequence[Result], kind: str, sides: tuple[str, str]) -> int:
    """Draws the curves `kind` of all galleries of the results that have any, and gives their number."""
    drawn = [(result, [curve for curve in result.curves if curve.kind == kind]) for result in results]
    drawn = [(result, curves) for result, curves in drawn if curves]
    looks, count = styles(), 0
    for label, (_, curves) in zip(short_labels([result for result, _ in drawn]), drawn, strict=True):
        for curve in curves:
            points = (np.asarray(curve.points[side], float) for side in sides)
            axes.plot(*points, label=label_of(" ".join(filter(None, (label, curve.of)))), **next(looks))
            count += 1
    return count


def _draw_edc(axes: Axes, results: Sequence[Result], fmr: float, per_step: bool) -> None:
    looks = styles()
    for label, result in zip(short_labels(results), results, strict=True):
        curve = result.curve("edc", {"fmr": fmr})
        assert curve is not None  # others are not drawn
        assert result.discarding is not None
        discard, fnmr = (np.asarray(curve.points[axis], float) for axis in ("discard", "fnmr"))
        style: dict[str, Any] = {"color": MUTED, "linestyle": (0, (4, 3))} if result.discarding.orders > 1 else next(looks)
        if result.discarding.threshold == "per_step":
            axes.plot(discard, fnmr, label=label_of(label), marker="o", markersize=3, **style)
        else:
            axes.step(discard, fnmr, where="post", label=label_of(label), **style)
    axes.set(xlim=(0, 1), ylim=(0, None), xlabel=f"share of {'all' if per_step else 'mated'} pairs discarded")
    if results and not per_step:
        best = np.maximum(fnmr[0] - discard, 0) / (1 - discard)
        axes.plot(discard, best, label="oracle", color=MUTED, linewidth=1, linestyle=(0, (1, 2)))
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
    for (label, threshold), dash in zip(_thresholds(result), DASHES, strict=False):
        axes.axvline(threshold, color=INK, linewidth=1, linestyle=dash, label=label_of(label))
    axes.set(xlabel="cosine", ylabel="share of pairs", ylim=(0, None))
    add_legend(axes)


def _thresholds(result: Result) -> list[tuple[str, float]]:
    """What to call each threshold of the result, lowest first; those of parts and of searches are left out."""
    accuracy = result.metric("threshold_cosine")
    found = [("best accuracy", float(accuracy.value))] if accuracy and accuracy.value is not None else []
    found += [(f"operating point, {name}", threshold) for name, threshold in result.operating_points.items()]
    for metric in result.metrics:
        told = not metric.at or PROMISED in metric.at  # those stand there as operating points
        if metric.threshold is not None and not told and not metric.variant and working_point(metric) not in dict(found):
            found.append((working_point(metric), metric.threshold))
    return sorted(found, key=lambda one: one[1])
