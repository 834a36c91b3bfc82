"""The sidecar of an ONNX file: the small JSON file beside it that states its preprocessing, which is never guessed.

The sidecar of `model.onnx` is `model.onnx.json`. It holds the fields of `Preprocessing`, a `licence`, and `pixels`: "0..1" where `mean` and
`std` are those of `pixel / 255`, "0..255" where they are those of the pixels as they are. None of them may be left out. `limen calibrate`
adds a `calibration`.
"""

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from limen.errors import LimenError
from limen.files import read_json, write_text
from limen.lookup import did_you_mean
from limen.models.preprocessing import KINDS, Preprocessing
from limen.quality import Calibration

LARGEST = 1 << 20  # bytes: a sidecar with a calibration has about 20,000
SCALES = {"0..1": 1.0, "0..255": 255.0}
TEMPLATE = asdict(Preprocessing()) | {"pixels": "0..1", "licence": "not stated"}
STATED: dict[str, type] = KINDS | {"mean": list, "std": list, "pixels": str, "licence": str}


def sidecar_of(path: Path) -> Path:
    """`model.onnx` -> `model.onnx.json`."""
    return path.with_name(path.name + ".json")


def read_sidecar(path: Path) -> tuple[Preprocessing, str, Calibration | None]:
    """The preprocessing, the licence and the calibration, if there is one, that a sidecar states.

    Raises LimenError that says in its first line what is wrong, and ends in a whole sidecar to paste.
    """
    try:
        stated = read_json(path, LARGEST)
        parts = _parse(stated)
    except LimenError as error:
        needed = "" if path.exists() else "; an ONNX file needs this sidecar, which states its preprocessing"
        reason = str(error).removeprefix(f"{path}: ") + needed
    else:
        return *parts, _calibration(path, stated.get("calibration"))
    raise wrong_sidecar(path, reason)


def add_calibration(path: Path, calibration: Calibration) -> None:
    """Writes the calibration into the sidecar, in place of an earlier one."""
    stated = read_json(path, LARGEST) | {"calibration": asdict(calibration)}
    write_text(path, json.dumps(stated, indent=1))


def _calibration(path: Path, stated: Any) -> Calibration | None:
    try:
        return Calibration.from_json(stated) if stated else None
    except (ValueError, TypeError, AttributeError) as error:
        raise LimenError(f"{path}: its calibration is damaged ({error}); take it out and run `limen calibrate` again") from error


def wrong_sidecar(path: Path, reason: str, **known: Any) -> LimenError:
    """An error that ends in a whole sidecar, in which what is `known` is right already."""
    template = "{\n" + ",\n".join(f"  {json.dumps(name)}: {json.dumps(value)}" for name, value in (TEMPLATE | known).items()) + "\n}"
    return LimenError(f"{path}: {reason}; paste this into it and set it to what the model was trained with\n{template}")


def _parse(stated: Any) -> tuple[Preprocessing, str]:
    if not isinstance(stated, dict):
        raise LimenError(f"it holds a {type(stated).__name__}, not an object")
    for name in stated:
        if name not in (*STATED, "calibration"):
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
