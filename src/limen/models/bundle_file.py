"""The layout of a bundle's file, and what `limen info` says of a whole one without PyTorch, which takes seconds to import."""

import hashlib
import json
import math
import os
from pathlib import Path
from typing import Any

from limen.errors import LimenError
from limen.files import MIB, file_sha256, open_plain_file, unique_keys

FORMAT = 2  # 2 added the hashes that tell damage; 1 is read without them
HASHES = ("weights_sha256", "description_sha256")
LARGEST_HEADER = 100 * MIB  # as safetensors has it
DTYPES = {"F64": "float64", "F32": "float32", "F16": "float16", "BF16": "bfloat16", "BOOL": "bool", "U8": "uint8"}
DTYPES |= {f"I{bits}": f"int{bits}" for bits in (8, 16, 32, 64)}


def description_sha256(text: str, kinds: dict[str, str]) -> str:
    """Of all that `weights_sha256` does not cover: the description as it stands in the file, and types and shapes of the tensors.

    Args:
        text: the JSON in the file's metadata.
        kinds: type and shape of each tensor, such as "float32 [64, 3]".
    """
    description = {name: value for name, value in json.loads(text).items() if name != "description_sha256"}
    return hashlib.sha256(json.dumps([description, kinds], sort_keys=True).encode()).hexdigest()


def facts_of_file(path: str | Path) -> dict[str, Any] | None:
    """Equals `load_bundle(path).facts` for a bundle of this format whose two hashes are right; None for any other file.

    What such a file holds was checked when it was saved. Of all others `load_bundle` says what is wrong.
    """
    try:
        with open_plain_file(path) as file:
            length = int.from_bytes(file.read(8), "little")
            if not 0 < length <= LARGEST_HEADER:
                return None
            header = json.loads(file.read(length), object_pairs_hook=unique_keys)
            text = header.pop("__metadata__")["limen"]
            description = json.loads(text, object_pairs_hook=unique_keys)
            kinds = {name: f"{DTYPES[tensor['dtype']]} {tensor['shape']}" for name, tensor in header.items()}
            places = sorted(tensor["data_offsets"] for tensor in header.values())
            if [0, *(end for _, end in places)] != [*(begin for begin, _ in places), os.fstat(file.fileno()).st_size - 8 - length]:
                return None  # cut short, or bytes of no tensor
            digest = hashlib.sha256()
            for name, tensor in sorted(header.items()):
                begin, end = tensor["data_offsets"]
                digest.update(name.encode() + b"\0")
                file.seek(8 + length + begin)
                for start in range(begin, end, MIB):
                    digest.update(file.read(min(MIB, end - start)))
        if description["format"] != FORMAT:
            return None
        if [description[name] for name in HASHES] != [digest.hexdigest(), description_sha256(text, kinds)]:
            return None
        return _facts(description, header) | {"sha256": file_sha256(path)}
    except (LimenError, OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None


def _facts(description: dict[str, Any], tensors: dict[str, Any]) -> dict[str, Any]:
    """In the order of `Bundle.facts`."""
    points, calibration = description.get("operating_points", []), description.get("calibration")
    if points:
        from limen.models.operating_point import points_from_json  # here, for most models have none and it imports numpy

        points = [point.summary for point in points_from_json(points)]
    return {
        "sha256": None,
        "weights_sha256": description["weights_sha256"],
        "architecture": description["architecture"],
        "parameters": sum(math.prod(tensor["shape"]) for tensor in tensors.values()),
        "preprocessing": description["preprocessing"],
        "quality_head": any(name.startswith("quality.") for name in tensors),
        "calibration": calibration and {name: value for name, value in calibration.items() if not isinstance(value, list)},
        "operating_points": points,
        **{name: description[name] for name in ("licence", "training", "class_names_sha256")},
        "names_hashed": len(description.get("people_sha256", ())),
        **{name: description[name] for name in ("source_sha256", "created", "recipe")},
    }
