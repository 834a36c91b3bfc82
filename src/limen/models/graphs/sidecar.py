"""The sidecar of a graph: the small JSON file beside it that states its preprocessing, which is never guessed.

The sidecar of `model.onnx` is `model.onnx.json`. It holds the fields of `Preprocessing`, a `licence`, and `pixels`: "0..1" where `mean` and
`std` are those of `pixel / 255`, "0..255" where they are those of the pixels as they are. None of them may be left out. `limen calibrate`
adds `operating_points` and a `calibration`, and `limen export` says in `exported` what else it knows. A file that limen exported holds the
same text inside, which is used where the sidecar is lost.
"""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Literal

import msgspec

from limen.errors import LimenError
from limen.files import parse_json, read_json, write_text
from limen.lookup import did_you_mean
from limen.models.operating_point import OperatingPoint, points_from_json
from limen.models.preprocessing import KINDS, Preprocessing
from limen.quality import Calibration

LARGEST = 1 << 20  # bytes: a calibration has about 20,000, an operating point of many people 35,000
SCALES = {"0..1": 1.0, "0..255": 255.0}
TEMPLATE = asdict(Preprocessing()) | {"pixels": "0..1", "licence": "not stated"}
STATED: dict[str, type] = KINDS | {"mean": list, "std": list, "pixels": str, "licence": str}


def sidecar_of(path: Path) -> Path:
    """`model.onnx` -> `model.onnx.json`."""
    return path.with_name(path.name + ".json")


@dataclass(frozen=True)
class Exported:
    """What `limen export` says of a graph that it wrote.

    input           "uint8" where the preprocessing is inside: (B, size, size, 3) RGB goes in
    precision       what it is to be computed in
    margin          the name of the margin it was trained with
    weights_sha256  of the bundle that was exported
    """

    input: Literal["float32", "uint8"]
    precision: Literal["float32", "bf16", "int8"]
    weights_sha256: str
    margin: str | None = None


@dataclass(frozen=True)
class Sidecar:
    """What is stated of a graph; `text` is the JSON that says so."""

    preprocessing: Preprocessing
    licence: str
    calibration: Calibration | None = None
    exported: Exported | None = None
    operating_points: tuple[OperatingPoint, ...] = ()

    @property
    def text(self) -> str:
        stated = asdict(self.preprocessing) | {"pixels": "0..1", "licence": self.licence}
        more = {"calibration": self.calibration, "exported": self.exported}
        stated |= {name: asdict(value) for name, value in more.items() if value is not None}
        points = [asdict(point) for point in self.operating_points]
        return json.dumps(stated | ({"operating_points": points} if points else {}), indent=1)


def read_sidecar(path: Path, inside: str | None = None) -> Sidecar:
    """What the sidecar states; where there is none, what the text `inside` the graph states.

    Raises LimenError that says in its first line what is wrong, and ends in a whole sidecar to paste.
    """
    try:
        stated = parse_json(inside, path) if inside is not None and not path.exists() else read_json(path, LARGEST)
        parts = _parse(stated)
    except LimenError as error:
        needed = "" if path.exists() else "; a graph needs this sidecar, which states its preprocessing"
        reason = str(error).removeprefix(f"{path}: ") + needed
    else:
        found = _calibration(path, stated.get("calibration")), _exported(path, stated.get("exported"))
        return Sidecar(*parts, *found, _operating_points(path, stated.get("operating_points", [])))
    raise wrong_sidecar(path, reason)


def write_sidecar(path: Path, sidecar: Sidecar) -> None:
    """Writes the sidecar, in place of an earlier one."""
    write_text(path, sidecar.text)


def _calibration(path: Path, stated: Any) -> Calibration | None:
    try:
        return Calibration.from_json(stated) if stated else None
    except (ValueError, TypeError, AttributeError) as error:
        raise LimenError(f"{path}: its calibration is damaged ({error}); take it out and run `limen calibrate` again") from error


def _operating_points(path: Path, stated: Any) -> tuple[OperatingPoint, ...]:
    try:
        return points_from_json(stated)
    except (ValueError, TypeError, AttributeError) as error:
        raise LimenError(f"{path}: its operating_points are damaged ({error}); take them out and run `limen calibrate` again") from error


def _exported(path: Path, stated: Any) -> Exported | None:
    try:
        return None if stated is None else msgspec.convert(stated, Exported)
    except msgspec.ValidationError as error:
        raise LimenError(f"{path}: what it says of the export is damaged ({error}); export the model again") from error


def wrong_sidecar(path: Path, reason: str, **known: Any) -> LimenError:
    """An error that ends in a whole sidecar, in which what is `known` is right already."""
    template = "{\n" + ",\n".join(f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in (TEMPLATE | known).items()) + "\n}"
    return LimenError(f"{path}: {reason}; paste this into it and set it to what the model was trained with\n{template}")


def _parse(stated: Any) -> tuple[Preprocessing, str]:
    if not isinstance(stated, dict):
        raise LimenError(f"it holds a {type(stated).__name__}, not an object")
    for name in stated:
        if name not in (*STATED, "calibration", "exported", "operating_points"):
            raise LimenError(f"{name!r} is not one of its fields; {did_you_mean(name, STATED)}")
    for name, kind in STATED.items():
        if name not in stated:
            raise LimenError(f"it lacks {name!r}")
        if type(stated[name]) is not kind:  # True is an int to isinstance
            raise LimenError(f"{name}: {stated[name]!r} is not as in the template")
    if stated["pixels"] not in SCALES:
        raise LimenError(f"pixels: {stated['pixels']!r} is not known; it is {' or '.join(SCALES)}")
    if not all(type(value) in (int, float) for value in stated["mean"] + stated["std"]):
        raise LimenError("mean and std: three numbers each are needed")
    scale = SCALES[stated["pixels"]]
    if not all(0 <= mean <= scale for mean in stated["mean"]) or any(std > scale or 0 < std < 1 < scale for std in stated["std"]):
        raise LimenError(f"mean {stated['mean']} and std {stated['std']} are not of pixels from {stated['pixels']}")
    scaled = {name: tuple(value / scale for value in stated[name]) for name in ("mean", "std")}
    return Preprocessing(**{f.name: stated[f.name] for f in fields(Preprocessing)} | scaled), stated["licence"]
