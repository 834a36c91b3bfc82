"""CPU memory for large intermediate results, used again from step to step.

The operating system hands out fresh memory page by page and clears it first: for the gradient of the class centres that costs as much as
half a matrix product, every step. Accelerators have caching allocators of their own.
"""

import math
import sys
import threading

import numpy as np
import torch
from torch import Tensor

LARGE = 1 << 20  # bytes; what is smaller the allocator keeps by itself
KEPT = 5  # a training step needs three: exponentials, gradient of the centres, and a block of logits

_lock = threading.Lock()
_pool: list[np.ndarray] = []  # newest last


def reusable_empty(shape: tuple[int, ...], like: Tensor) -> Tensor:
    """`like.new_empty(shape)`, float32 or float64, in memory of an earlier one if no tensor refers to that any more."""
    count = math.prod(shape)
    if like.device.type != "cpu" or count * like.element_size() < LARGE:
        return like.new_empty(shape)
    dtype = np.dtype(str(like.dtype).removeprefix("torch."))
    with _lock:
        free = []  # (size, place): the smallest that is large enough leaves the larger ones to larger results
        for k in range(len(_pool)):
            # 2 references are the pool's and the question's own; one more is the view that a living tensor holds.
            if _pool[k].size >= count and _pool[k].dtype == dtype and sys.getrefcount(_pool[k]) == 2:
                free.append((_pool[k].size, k))
        base = _pool.pop(min(free)[1]) if free else np.empty(count, dtype)
        _pool.append(base)
        del _pool[:-KEPT]
        return torch.from_numpy(base[:count].reshape(shape))
