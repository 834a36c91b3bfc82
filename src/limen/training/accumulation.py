"""The backbone's part of a step: all images of a batch at once, or in parts one after the other (gradient accumulation)."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from limen.errors import LimenError


class BackbonePass:
    """`forward(images)` gives the raw features (B, D). `backward()` follows the loss's backward pass.

    With `parts` of 1 the graph joins features and images, and `backward` has nothing to do. With more, memory holds the activations of one
    part: `forward` computes all features without a graph, the head takes one step over the whole batch, and `backward` computes each part
    again and sends its rows of the features' gradient through it. Head, margin, class sampler and their statistics see one whole batch.
    The price is a second forward pass (Gao et al., "Scaling Deep Contrastive Learning Batch Size under Memory Limited Setup", 2021).

    Gradients equal those of a whole batch, to rounding, for a network in which no image sees another. BatchNorm is the exception: it takes
    mean and variance over a part, and its running statistics move once for each part.

    Args:
        network: images -> features; may be wrapped by DistributedDataParallel, which then adds up gradients with the last part.
        draw: called with the number of a part before it is computed: seeds torch, so that dropout is the same both times.
        autocast: a context in which the network computes.
    """

    def __init__(self, network: Any, parts: int, draw: Callable[[int], None], autocast: Any = None):
        self.network, self.parts, self.draw = network, parts, draw
        self.autocast = nullcontext() if autocast is None else autocast
        self.images: tuple[Tensor, ...] = ()
        self.features: Tensor | None = None

    def forward(self, images: Tensor) -> Tensor:
        if self.parts == 1:
            return self._compute(0, images)
        self.images = images.chunk(self.parts)
        buffers = [buffer for buffer in self.network.buffers() if buffer is not None]
        before = [buffer.clone() for buffer in buffers]
        with torch.no_grad():
            features = torch.cat([self._compute(part, chunk) for part, chunk in enumerate(self.images)])
            for buffer, old in zip(buffers, before, strict=True):
                buffer.copy_(old)  # the second pass moves the running statistics
        self.features = features.requires_grad_(learns(self.network))
        return self.features

    def backward(self) -> None:
        """Gradients of the network's parameters; the loss's backward pass has left that of the features."""
        if self.features is None:
            return
        if self.features.grad is not None:
            rows = self.features.grad.chunk(self.parts)
            for part, (chunk, gradient) in enumerate(zip(self.images, rows, strict=True)):
                last = part == self.parts - 1
                with nullcontext() if last or not hasattr(self.network, "no_sync") else self.network.no_sync():
                    self._compute(part, chunk).backward(gradient)
        self.images, self.features = (), None

    def _compute(self, part: int, images: Tensor) -> Tensor:
        self.draw(part)
        with self.autocast:
            features = self.network(images)
        return features.float() if features.dtype != torch.float64 else features


def learns(network: nn.Module) -> bool:
    return any(parameter.requires_grad for parameter in network.parameters())


def check_parts(batch_size: int, processes: int, parts: int) -> None:
    """Raises LimenError where `parts` do not divide a process's share of the batch, or leave one image to a part."""
    share = batch_size // processes
    if share % parts or (parts > 1 and share // parts < 2):
        of = "" if processes == 1 else f" of each of {processes} processes"
        raise LimenError(
            f"accumulate: {parts} parts do not divide the {share} images of a step{of} into equal parts of 2 or more; "
            "choose a divisor of batch_size / processes"
        )
