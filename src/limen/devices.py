"""Where torch computes and on how many threads. What belongs to the whole process is given back when a block is left."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from limen.errors import LimenError


def usable_device(device: str | torch.device) -> torch.device:
    """The device, tried out. Raises LimenError where it is not to be had."""
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:  # AssertionError: a build of PyTorch without that device's support
        raise LimenError(f"device {str(device)!r} cannot be used here ({str(error).splitlines()[0]}); try cpu") from error
    return torch.device(device)


def training_device(setting: str) -> str:
    """What `device` of a recipe means here: "auto" is cuda where there is one, and under torchrun each process has one of its own.

    Raises LimenError for a GPU by number under torchrun.
    """
    kind = ("cuda" if torch.cuda.is_available() else "cpu") if setting == "auto" else setting
    if int(os.environ.get("WORLD_SIZE", "1")) == 1 or not kind.startswith("cuda"):
        return kind
    if kind != "cuda":
        raise LimenError(f"device: {kind} would put all processes on one GPU; give cuda, and each process gets its own")
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}"


def usable_threads(threads: int | None) -> int | None:
    """`threads`; where torchrun started several processes on this machine and none are named, this one's share of the cores. None leaves
    their number to the library. Raises LimenError where it is no number of them."""
    if threads is not None and threads < 1:
        raise LimenError(f"threads: {threads} is not a whole number above 0")
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return threads if threads is not None or processes == 1 else max(1, cores() // processes)


def cores() -> int:
    """The cores that this process may use, which SLURM and containers make fewer than there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def computing_on(threads: int | None) -> Iterator[None]:
    """Until the block is left torch computes on so many CPU threads; None leaves their number. It is one number for the whole process."""
    before = torch.get_num_threads()
    try:
        if threads is not None:
            torch.set_num_threads(threads)
        yield
    finally:
        if threads is not None:
            torch.set_num_threads(before)


class WithoutTF32(TorchFunctionMode):
    """Within the block, and in this thread alone, 2D convolutions on CUDA keep all bits of float32. PyTorch's default for them is TF32,
    which keeps ten of 23, and `torch.backends.cudnn.allow_tf32` is one for the whole process."""

    def __torch_function__(self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return (_conv2d if func is torch.conv2d else func)(*args, **(kwargs or {}))


def _conv2d(
    inputs: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
    groups: int,
) -> Tensor:
    """Equals torch.conv2d, as nn.Conv2d calls it, with `allow_tf32` False."""
    cudnn = torch.backends.cudnn
    flags = {"benchmark": cudnn.benchmark, "deterministic": cudnn.deterministic, "cudnn_enabled": cudnn.enabled, "allow_tf32": False}
    return torch._convolution(
        inputs, weight, bias, stride, padding, dilation, transposed=False, output_padding=(0, 0), groups=groups, **flags
    )
