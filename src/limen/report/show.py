"""How a number, its interval and its name are shown, in text and on a page."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from limen.names import visible
from limen.protocols import Metric, Result
from limen.protocols.differences import UNPAIRED
from limen.protocols.result import PROMISED

NAMES = {
    "tar": "TAR",
    "far": "FAR",
    "val": "VAL",
    "eer": "EER",
    "auc": "AUC",
    "pauc": "pAUC",
    "fnmr": "FNMR",
    "fmr": "FMR",
    "fmr_ratio": "FMR ratio",
    "fnmr_ratio": "FNMR ratio",
    "mated": "mated pairs",
    "non_mated": "non-mated pairs",
    "tpir": "TPIR",
    "fpir": "FPIR",
    "fnir": "FNIR",
    "map": "mAP",
    "vr": "VR (mean of the trials)",
    "vr_less_std": "VR (mean - std of the trials)",
    "dir": "DIR (mean of the trials)",
    "dir_less_std": "DIR (mean - std of the trials)",
    "threshold_cosine": "Threshold of the accuracy",
    PROMISED: "promised FMR",
}
FORMATS = {"threshold": ".4f", "rank": ".2f", "fmr_ratio": ".3g", "fnmr_ratio": ".3g", "error_ratio": ".3g"}
PROMISES = {
    "below": "below the interval, more false matches than promised",
    "inside": "inside the interval",
    "above": "above the interval, fewer false matches than promised",
}
NOT_TO_DEPLOY = "best for these pairs alone, not one to deploy; see limen calibrate"


def metric_title(metric: Metric) -> str:
    """ "TAR@FAR=0.001", "pAUC(0.3)@FMR=0.01 normalised minus sharpness"."""
    limit = "" if metric.limit is None else f"({metric.limit:g})"
    at = f"@{working_point(metric)}" if metric.at else ""
    minus = f" minus {metric.versus}" if metric.versus else ""
    return " ".join([name_of(metric.quantity) + limit + at, *metric.variant]) + minus


def working_point(metric: Metric) -> str:
    """ "FAR=0.001"."""
    return ", ".join(f"{NAMES.get(name, name)}={value:g}" for name, value in metric.at.items())


def name_of(quantity: str) -> str:
    """ "false_non_matches" -> "False non matches"."""
    return NAMES.get(quantity) or visible(quantity[:1].upper() + quantity[1:].replace("_", " "))


def metric_text(metric: Metric, value: float | int | None = None, unit: bool = True) -> str:
    """The metric's value, or another one of its unit: a rate in percent. "unresolved" for what the data cannot tell."""
    value = metric.value if value is None else value
    if value is None:
        return "unresolved"
    if metric.unit == "rate":
        digits = f"{100 * value:.2f}"
        if metric.quantity == "fmr" and 0 < value < 1e-3:
            digits = np.format_float_positional(100 * value, precision=2, fractional=False, trim="-")
        return digits + (" %" if unit else "")
    if metric.quantity in FORMATS:
        return f"{value:{FORMATS[metric.quantity]}}"
    return f"{value:{ {'similarity': '.3f', 'area': '.3g', 'count': ',.0f', 'number': 'g'}[metric.unit] }}"


def interval_text(metric: Metric, few: bool = True) -> str:
    """ "98.10 to 98.92", or nothing where there is no interval; with "few events" where it rests on too few to be sure of and `few`, with
    "unpaired" where it is that of a difference between models that were judged on other pairs or people."""
    if metric.interval is None:
        return ""
    ends = f"{metric_text(metric, metric.interval.low, unit=False)} to {metric_text(metric, metric.interval.high, unit=False)}"
    return ends + ", few events" * (few and metric.interval.few_events) + ", unpaired" * (metric.interval.method == UNPAIRED)


def threshold_text(metric: Metric) -> str:
    """ "threshold 0.312 [0.301 to 0.325]", or nothing where there is none."""
    if metric.threshold is None:
        return ""
    ends = metric.threshold_interval
    return f"threshold {metric.threshold:.4f}" + (f" [{ends.low:.4f} to {ends.high:.4f}]" if ends else "")


def remark_of(metric: Metric) -> str:
    """What has to be said beside the number: whether a promised FMR is kept, and that the best threshold is none to deploy."""
    if metric.promised:
        return f"promised {metric_text(metric, metric.at[PROMISED])}: {PROMISES[metric.promised]}"
    return NOT_TO_DEPLOY if metric.quantity == "threshold_cosine" and not metric.versus else ""


def short_labels(results: Sequence[Result]) -> list[str]:
    """What tells results apart, each label once: of set, model and quality those that are not the same for all."""
    parts = [(r.name, r.model, r.discarding.quality if r.discarding else "") for r in results]
    differing = [len(set(column)) > 1 for column in zip(*parts, strict=True)]
    if not any(differing):  # one result, or several alike
        return distinct([part[2] or part[1] or part[0] for part in parts])
    return distinct([" · ".join(text for text, differs in zip(part, differing, strict=True) if differs and text) for part in parts])


def distinct(names: Sequence[str], paths: Sequence[Path] = ()) -> list[str]:
    """`names` without two that are equal: such a one becomes the end of its path that tells it from the others, or is numbered.

    The path ends with the folder that gave the name, if one did: runs/ada, not runs/ada/model.safetensors.
    """
    found = list(names)
    for number, path in enumerate(paths):
        same = [other for other, name in enumerate(names) if name == names[number]]
        ends = [paths[other].resolve().parts for other in same]
        own = path.resolve().parts
        if len(set(ends)) > 1:
            length = next(k for k in range(1, len(own) + 1) if sum(end[-k:] == own[-k:] for end in set(ends)) == 1)
            told = own[-length:]
            found[number] = "/".join(told[: told.index(names[number]) + 1] if names[number] in told[:-1] else told)
    seen: dict[str, int] = {}
    for number, name in enumerate(found):
        seen[name] = seen.get(name, 0) + 1
        if seen[name] > 1:
            found[number] = f"{name} ({seen[name]})"
    return found


def groups_of_qualities(results: Iterable[Result]) -> list[list[Result]]:
    """Those that judge a quality: one group for each set of pairs and model, in which each quality stands once."""
    groups: list[list[Result]] = []
    for result in results:
        if result.discarding is None:
            continue
        for group in groups:
            taken = {other.discarding.quality for other in group if other.discarding}
            if (group[0].name, group[0].model) == (result.name, result.model) and result.discarding.quality not in taken:
                group.append(result)
                break
        else:
            groups.append([result])
    return groups


def shortened(text: str, letters: int = 54) -> str:
    """`text`, its middle left out where it is longer."""
    return text if len(text) <= letters else f"{text[: letters // 2 - 1]}…{text[-(letters // 2) :]}"
