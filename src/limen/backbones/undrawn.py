"""Networks with names and shapes and without numbers: what a file of weights has to fit, before any of it is used."""

from collections.abc import Callable
from typing import Any, TypeVar

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

Module = TypeVar("Module", bound=nn.Module)


class _Undrawn(TorchFunctionMode):
    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        keywords = kwargs or {}
        if function in (torch.Tensor.normal_, nn.init.normal_):
            return args[0] if args else keywords["tensor"]
        return function(*args, **keywords)


def undrawn(build: Callable[[], Module]) -> Module:
    """What `build` makes, with names and shapes but without numbers, on the meta device.

    There a normal distribution is drawn by Python code for which PyTorch loads its compiler, which takes seconds; so it is left out.
    """
    with torch.device("meta"), _Undrawn():
        return build()
