"""What a quality score means: its place among stated images, and the recognition error to expect at a stated threshold."""

from dataclasses import dataclass, fields
from typing import Any, get_origin

import numpy as np

QUANTILES = 1001


@dataclass(frozen=True)
class Calibration:
    """What `fit_calibration` found.

    measure               the measure that was calibrated: "quality" is the model's own head
    reference, images     name and number of the images whose scores `quantiles` (1001,) are, from the lowest to the highest
    fmr, threshold        false match rate, and the cosine at which the non-mated pairs have it: accepted from there on
    mated, non_mated      number of pairs
    false_non_matches     mated pairs below the threshold; false_matches: non-mated ones not below it
    knots, fnmr           (K,) pair quality, rising, and expected false non-match rate, falling; straight lines between
    fnmr_low, fnmr_high   (K,) ends of its 95 % interval, falling too; of the mean over the qualities that were taken together
    """

    measure: str
    reference: str
    images: int
    quantiles: tuple[float, ...]
    fmr: float
    threshold: float
    mated: int
    non_mated: int
    false_non_matches: int
    false_matches: int
    knots: tuple[float, ...]
    fnmr: tuple[float, ...]
    fnmr_low: tuple[float, ...]
    fnmr_high: tuple[float, ...]

    def __post_init__(self) -> None:
        for known in fields(self):
            kind: Any = get_origin(known.type) or known.type
            value = getattr(self, known.name)
            if isinstance(value, bool) or not isinstance(value, (int, float) if kind is float else kind):
                raise TypeError(f"{known.name} is {value!r}")
        # ValueError where they are not as long as each other
        curve = np.array([self.knots, self.fnmr, self.fnmr_low, self.fnmr_high], float)
        numbers = np.r_[self.quantiles, curve.ravel(), self.fmr, self.threshold]
        if len(self.quantiles) != QUANTILES or not curve.size or not np.isfinite(numbers).all():
            raise ValueError(f"{QUANTILES} quantiles and a curve are needed, all of finite numbers")
        if np.any(np.diff(self.quantiles) < 0) or np.any(np.diff(curve[0]) < 0) or np.any(np.diff(curve[1:]) > 0):
            raise ValueError("quantiles and knots must rise, fnmr and its interval must fall")

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Calibration":
        """The calibration whose `asdict` went through JSON. Raises ValueError or TypeError for other values."""
        fields: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        return cls(**fields)

    @property
    def summary(self) -> dict[str, Any]:
        """All but the two tables."""
        return {name: value for name, value in vars(self).items() if not isinstance(value, tuple)}

    @property
    def may_be_constant(self) -> bool:
        """Whether one false non-match rate for all qualities lies within the interval: then quality was not shown to matter."""
        return self.fnmr_low[0] <= self.fnmr_high[-1]

    def percentile(self, quality: np.ndarray) -> np.ndarray:
        """Share of the reference images with lower scores, 0 to 100, to a tenth and one image; of equal ones, half."""
        scores = np.array(self.quantiles, np.float32)  # all are kept to the digits of float32: equal scores are equal again
        below, within = (np.searchsorted(scores, np.float32(quality), side) for side in ("left", "right"))
        return np.where(np.isnan(quality), np.nan, np.round(100 * (below + within) / (2 * QUANTILES), 1))

    def expected_fnmr(self, quality: np.ndarray) -> np.ndarray:
        """Share of the mated pairs whose worse image has this quality that `threshold` rejects; beyond the knots, that of the last."""
        return np.interp(quality, self.knots, self.fnmr)

    def fnmr_interval(self, quality: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Low and high end of the interval of `expected_fnmr`. Of images worse than all of the reference no high end is known: it is 1;
        of better ones no low end: it is 0."""
        low, high = np.interp(quality, self.knots, self.fnmr_low), np.interp(quality, self.knots, self.fnmr_high)
        worst, best = np.float32(self.quantiles[0]), np.float32(self.quantiles[-1])
        return np.where(np.float32(quality) > best, 0.0, low), np.where(np.float32(quality) < worst, 1.0, high)
