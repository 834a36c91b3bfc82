"""The seam between the pass for GPUs and what computes it: `twins`, in plain torch on any device, or `compiled`, in Triton.

Both have the same functions: `partials` (a tile of logits and what is summed of it), `product`, `update` and `refresh` of the centres.
"""

import warnings
from functools import lru_cache
from importlib import import_module, util
from importlib.metadata import version
from types import ModuleType
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from limen.errors import LimenWarning

TILE = 128  # classes whose sum and maximum are one partial result
SPAN = 1 << 19  # classes of a launch: their partial results are held until they are added up
OLDEST_CARD = (8, 0)  # compute capability: bfloat16 and TF32 on tensor cores
TRITON = ((3, 5), (4, 0))  # from, and below: what goes with the PyTorch that limen needs
DTYPES = {"bf16": torch.bfloat16, "tf32": torch.float32, "float32": torch.float32}  # of the operands


class Operands(NamedTuple):
    """What the products of a pass read."""

    direction: Tensor  # (B, D) features of length one
    centers: Tensor  # (C, D), of the same type
    active: Tensor | None  # (A,) rows of the centres that take part
    inverse_norm: Tensor  # (A,) 1 / |W_j| of those very values, in float32 or better
    position: Tensor  # (B,) each sample's own class among those that take part, or -1
    scale: Tensor  # (B,)
    threshold: Tensor | None  # (B,) and () of the gate
    shift: Tensor | None
    precision: str

    def rows(self, first: int, last: int) -> Tensor:
        """(n, D) the centres at the positions first to last."""
        return self.centers[first:last] if self.active is None else self.centers.index_select(0, self.active[first:last])


class Partials(NamedTuple):
    """Of each tile of classes and each sample, (tiles, B)."""

    sums: Tensor  # of exp(x - offset), x the gated logit; or without an offset the largest x
    peaks: Tensor  # the largest logit before the gate
    places: Tensor  # int32, where in the span that was


class OwnRows(NamedTuple):
    """What the own classes of a batch add to K^T u."""

    owner: Tensor  # (A + 1,) int32: the row of `rows` that a class that takes part gets, or -1
    rows: Tensor  # (B, D)


class CenterState(NamedTuple):
    """The centres as an update moves them."""

    weight: Tensor  # (C, D)
    velocity: Tensor | None  # (C, D)
    shadow: Tensor | None  # (C, D) the weight in the type of the products, where that is another
    inverse_norm: Tensor  # (C,) 1 / |W_j| of what the products read


class SgdStep(Protocol):
    """One step of SGD of the centres."""

    state: CenterState
    momentum: float
    weight_decay: float
    lr: Tensor  # ()
    seed: Tensor  # () int64, of the stochastic rounding

    def __call__(self, rows: slice | Tensor, value: Tensor, gradient: Tensor, finite: Tensor) -> None: ...


@lru_cache
def choose(device: torch.device, precision: str, size: int) -> ModuleType | None:
    """What computes the pass with these products, of embeddings of `size` values; None: the pass in blocks.

    Where the kernels of a CUDA device cannot be used another way is taken, and a warning says why. Raises ValueError for products that the
    device lacks.
    """
    reason = why_not_compiled(device, size) if device.type == "cuda" else f"{device.type} has none"
    lacking = lacks(device, precision, reason)
    if lacking is not None:
        raise ValueError(lacking)
    if reason is None:
        return import_module("limen.functional.margin_softmax.kernels.compiled")
    if device.type == "cuda":
        warnings.warn(LimenWarning(f"the head runs without its GPU kernels, and slower: {reason}"), stacklevel=2)
    elif precision == "bf16":
        warnings.warn(
            LimenWarning("head.precision bf16 is no faster than float32 on a CPU: it only rounds what the products read"), stacklevel=2
        )
    return None if precision == "float32" else import_module("limen.functional.margin_softmax.kernels.twins")


def lacks(device: torch.device, precision: str, reason: str | None) -> str | None:
    """Why these products are not to be had on a device whose kernels cannot be used for this `reason`, with the remedy; else None."""
    if precision not in DTYPES:
        return f"precision {precision!r} is not one of {', '.join(map(repr, DTYPES))}"
    if precision == "tf32" and reason is not None:
        return f"tf32 products of the head need the kernels of a CUDA device ({reason}); take float32"
    old = device.type == "cuda" and torch.cuda.get_device_capability(device) < OLDEST_CARD
    if precision == "bf16" and (old or device.type not in ("cuda", "cpu")):
        return f"bf16 products of the head need a CUDA device of compute capability 8.0 (Ampere) or newer ({reason}); take float32"
    return None


def why_not_compiled(device: torch.device, size: int) -> str | None:
    """Why the kernels are not used on this CUDA device, with the remedy; None where they are."""
    card = torch.cuda.get_device_capability(device)
    if card < OLDEST_CARD:
        return f"{torch.cuda.get_device_name(device)} has compute capability {card[0]}.{card[1]}, they need 8.0 (Ampere) or newer"
    if util.find_spec("triton") is None:
        return "triton is not installed: pip install 'limen[gpu]'"
    found = version("triton")
    low, high = TRITON
    if not low <= tuple(int(part) for part in found.split(".")[:2]) < high:
        return f"triton {found} is not from {low[0]}.{low[1]} to below {high[0]}: pip install 'limen[gpu]'"
    largest = import_module("limen.functional.margin_softmax.kernels.compiled").LARGEST_SIZE
    return f"an embedding of {size} values is larger than the {largest} that they take" if size > largest else None
