"""The weights behind tests/golden/out_*.npz: drawn anew from each tensor's name, so that no weights lie in the repository."""

import json
import math
import zlib
from pathlib import Path

import numpy as np
import torch

GOLDEN = Path(__file__).parent / "golden"


def golden_weights(name: str) -> dict[str, torch.Tensor]:
    """The state dict of release `name` in the release's own names, every tensor drawn from PCG64(crc32(its name))."""
    keys = json.loads((GOLDEN / f"keys_{name}.json").read_text())
    return {key: torch.from_numpy(_draw(key, shape, keys)).to(getattr(torch, dtype)) for key, (shape, dtype) in keys.items()}


def _draw(key: str, shape: list[int], keys: dict[str, list]) -> np.ndarray:
    random = np.random.default_rng(zlib.crc32(key.encode()))
    module, _, kind = key.rpartition(".")
    if kind == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    if kind == "running_var":
        return 0.5 + random.random(shape)
    if kind in ("running_mean", "bias"):
        return 0.1 * random.standard_normal(shape)
    if len(shape) >= 2:
        return random.standard_normal(shape) / math.sqrt(np.prod(shape[1:]))
    if f"{module}.bias" not in keys:  # a PReLU
        return 0.25 + 0.05 * random.standard_normal(shape)
    return 1 + 0.1 * random.standard_normal(shape)
