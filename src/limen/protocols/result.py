"""What a protocol found: numbers with their intervals, the events behind them and the switches they hold for."""

import json
import math
from dataclasses import asdict, dataclass, field
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from limen.errors import LimenError
from limen.files import atomic_write


@dataclass
class Result:
    """One evaluation. Rates are fractions (0 to 1); a number that the data cannot resolve is NaN."""

    name: str
    """What was evaluated on, for people: "lfw"."""
    kind: str
    """The protocol: "verification"."""
    headline: str
    """The metric that stands for the whole, a key of `metrics`."""
    metrics: dict[str, float]
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Metric -> (low, high)."""
    events: dict[str, int] = field(default_factory=dict)
    """Metric -> impostor pairs accepted at its threshold: what the number rests on."""
    counts: dict[str, int] = field(default_factory=dict)
    switches: dict[str, Any] = field(default_factory=dict)
    """How the numbers came about, by name: preprocessing, flip, threshold rules, the model's hash."""
    curves: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    """"roc": far, tar; "histogram": edges (K+1), mated (K), non_mated (K); "edc@fmr=0.01": discard, fnmr, mated_left."""
    failures: list[str] = field(default_factory=list)
    """Images that could not be used: file and reason, one line each."""

    @property
    def label(self) -> str:
        """The name, and the model and the quality where the switches name one."""
        return " · ".join([self.name, *(self.switches[key] for key in ("model", "quality") if key in self.switches)])

    def save(self, path: str | PathLike[str]) -> None:
        """Writes strict JSON, all at once; NaN becomes null. Raises LimenError where the system refuses."""
        save_json(asdict(self), path)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> "Result":
        """The result that `save` wrote. Raises LimenError for a file that is not one."""
        try:
            stored = json.loads(Path(path).read_text(encoding="utf-8"))
            result = cls(**stored)
            result.metrics = {name: _number(value) for name, value in result.metrics.items()}
            result.intervals = {name: (_number(low), _number(high)) for name, (low, high) in result.intervals.items()}
            result.curves = {
                curve: {axis: [_number(value) for value in values] for axis, values in axes.items()}
                for curve, axes in result.curves.items()
            }
        except OSError as error:
            raise LimenError(f"{path}: cannot be read ({error.strerror}); name a result.json of an evaluation") from error
        except (ValueError, TypeError, AttributeError) as error:
            raise LimenError(f"{path}: not a result of an evaluation; name a result.json that `limen evaluate` wrote") from error
        return result


def save_json(value: Any, path: str | PathLike[str]) -> None:
    """Writes strict JSON, all at once; NaN becomes null. Raises LimenError where the system refuses."""
    text = json.dumps(plain(value), indent=2, allow_nan=False) + "\n"

    def write(file: Path) -> None:
        file.write_text(text, encoding="utf-8")

    atomic_write(Path(path), write)


def plain(value: Any) -> Any:
    """`value` in types that strict JSON knows; NaN and infinity become None."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def _number(value: float | None) -> float:
    return math.nan if value is None else value
