"""What ranks say to each other in the head. Only (B,)-vectors and the embeddings travel; the centres stay where they are.
Hard Prototype Mining alone sends more: queues, the centres of a few classes, and all centres in blocks when it builds its graph.

Every rank computes the loss of the whole global batch. A value is either the same on all ranks, and then so is its gradient, or one
rank's part of a sum; the functions below lead from one kind to the other, forward and backward.
"""

import torch
import torch.distributed as dist
from torch import Tensor


class Group:
    """The ranks that share the class centres; `process_group` None is all of them."""

    def __init__(self, process_group: dist.ProcessGroup | None = None):
        self.process_group = process_group
        self.rank, self.size = dist.get_rank(process_group), dist.get_world_size(process_group)

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over ranks, on every rank."""
        total = tensor.clone(memory_format=torch.contiguous_format)
        dist.all_reduce(total, group=self.process_group)
        return total

    def gather(self, tensor: Tensor) -> Tensor:
        """(size, *tensor.shape): every rank's tensor, in the order of ranks. The shapes have to be equal."""
        gathered = tensor.new_empty((self.size, *tensor.shape))
        dist.all_gather(list(gathered.unbind()), tensor.contiguous(), group=self.process_group)
        return gathered

    def broadcast(self, tensor: Tensor, source: int) -> Tensor:
        """`tensor` of rank `source`; the others give one of the same shape, which is overwritten."""
        tensor = tensor.contiguous()
        dist.broadcast(tensor, group=self.process_group, group_src=source)
        return tensor

    def scatter_sum(self, tensor: Tensor) -> Tensor:
        """This rank's share of the rows of the sum over ranks."""
        shares = list(tensor.contiguous().chunk(self.size))
        mine = torch.empty_like(shares[0])
        dist.reduce_scatter(mine, shares, group=self.process_group)
        return mine


def default_group() -> Group | None:
    """All ranks, or None where there is one process.

    >>> from limen.heads import default_group
    >>> default_group() is None  # one process
    True
    """
    return Group() if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1 else None


def gather_rows(tensor: Tensor, group: Group, parts: bool) -> Tensor:
    """(size * b, ...) from each rank's (b, ...). Backward takes the rank's own rows of a gradient that is the same on all ranks, or, where
    gradients are `parts`, of their sum."""
    return _GatherRows.apply(tensor, group, parts)


def to_parts(group: Group, *tensors: Tensor) -> tuple[Tensor, ...]:
    """Values that are the same on all ranks, before each makes a part of a sum from them: backward adds up the parts' gradients.

    One backward for all of them: it runs on every rank that uses any, so that no rank waits for another's.
    """
    return _ToParts.apply(group, *tensors)


def add_parts(tensor: Tensor, group: Group) -> Tensor:
    """The sum over ranks; the gradient of each part is the gradient of the sum."""
    return _AddParts.apply(tensor, group)


def logsumexp_over_ranks(tensor: Tensor, group: Group) -> Tensor:
    """log of the sum over ranks of exp(tensor); -inf is a part of nothing."""
    return _LogSumExp.apply(tensor, group)


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx, tensor, group, parts):
        ctx.group, ctx.parts = group, parts
        return group.gather(tensor).flatten(0, 1)

    @staticmethod
    def backward(ctx, gradient):
        mine = ctx.group.scatter_sum(gradient) if ctx.parts else gradient.chunk(ctx.group.size)[ctx.group.rank]
        return mine, None, None


class _ToParts(torch.autograd.Function):
    @staticmethod
    def forward(ctx, group, *tensors):
        ctx.group = group
        return tuple(tensor.view_as(tensor) for tensor in tensors)

    @staticmethod
    def backward(ctx, *gradients):
        return None, *ctx.group.sum(torch.stack(gradients)).unbind()


class _AddParts(torch.autograd.Function):
    @staticmethod
    def forward(ctx, tensor, group):
        return group.sum(tensor)

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None


class _LogSumExp(torch.autograd.Function):
    @staticmethod
    def forward(ctx, tensor, group):
        total = group.gather(tensor).logsumexp(0)
        ctx.save_for_backward(tensor, total)
        return total

    @staticmethod
    def backward(ctx, gradient):
        part, total = ctx.saved_tensors
        return gradient * torch.exp(part - total.nan_to_num(neginf=0.0)), None
