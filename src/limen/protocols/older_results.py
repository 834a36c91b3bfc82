"""Files of results that limen 0.1.0 wrote, which have no format number, as the present format. Only here is a key taken apart."""

import re
from typing import Any

KEY = re.compile(
    r"(?P<quantity>.+?)(\((?P<limit>[\d.]+)\))?(@(?P<rate>far|fmr)=(?P<at>[\d.e-]+))?"
    r"(?P<variant>(_(std|with_failures_as_errors|normalised|best))*)(_minus_(?P<versus>.+))?",
    re.DOTALL,
)
MOST_LETTERS = 500  # of a key; what is longer is a quantity of one's own
MATED_LEFT = "mated_left_at_discard_"


def upgraded(stored: Any) -> dict[str, Any]:
    """A file without a format number: {"results": [..]} of `limen evaluate`, or one result alone. May raise what comes of damage."""
    return {"format": 2, "results": [_result(result) for result in stored.get("results", [stored])]}


def _result(stored: dict[str, Any]) -> dict[str, Any]:
    switches = dict(stored.get("switches", {}))
    intervals, events, level = stored.get("intervals", {}), stored.get("events", {}), switches.get("bootstrap level", 0.95)
    metrics = []
    for key, value in stored["metrics"].items():
        ends = intervals.get(key)
        interval = {"low": ends[0], "high": ends[1], "level": level} if ends and None not in ends else None
        metrics.append(_metric(key, value) | {"interval": interval, "events": events.get(key)})
    counts = {}
    for key, count in stored.get("counts", {}).items():
        if key.startswith(MATED_LEFT):
            metrics.append({"quantity": "mated_left", "value": count, "unit": "count", "at": {"discard": float(key[len(MATED_LEFT) :])}})
        elif "@" in key:
            metrics.append(_metric(key, count) | {"unit": "count"})
        else:
            counts[key] = count
    result = {"name": stored["name"], "headline": stored["headline"], "metrics": metrics, "counts": counts, "limen": ""}
    if "quality" in switches:
        threshold = switches.get("edc threshold", "fixed").partition(":")[0]
        result["discarding"] = {"quality": switches.pop("quality"), "threshold": threshold, "orders": switches.get("orders averaged", 1)}
    return result | {
        "kind": stored["kind"].removesuffix(", threshold per_step"),
        "model": switches.pop("model", ""),
        "switches": switches,
        "curves": [_curve(name, points) for name, points in stored.get("curves", {}).items()],
        "failures": stored.get("failures", []),
    }


def _metric(key: str, value: Any) -> dict[str, Any]:
    found = KEY.fullmatch(key) if len(key) <= MOST_LETTERS else None
    if found is None:
        return {"quantity": key, "value": value, "key": key}
    quantity = found["quantity"]
    return {
        "quantity": quantity,
        "value": value,
        "unit": "area" if quantity in ("auc", "pauc") else "similarity" if "threshold" in quantity else "rate",
        "at": {found["rate"]: float(found["at"])} if found["rate"] else {},
        "limit": float(found["limit"]) if found["limit"] else None,
        "variant": [word.replace("_", " ") for word in re.findall("std|with_failures_as_errors|normalised|best", found["variant"])],
        "versus": found["versus"] or "",
        "key": key,
    }


def _curve(name: str, points: Any) -> dict[str, Any]:
    kind, _, fmr = name.partition("@fmr=")
    return {"kind": kind, "points": points, "at": {"fmr": float(fmr)} if fmr else {}}
