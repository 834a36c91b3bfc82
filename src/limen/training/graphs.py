"""CUDA graphs: what a step launches is recorded once, and played again by one call, at the addresses of the recording.

What changes from step to step is therefore copied into tensors that stay: images, labels, features, gradients and the learning rate.
Draws stay a function of seed and step: a graph reads torch's seed when it is played.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from limen.errors import LimenError
from limen.heads import ClassSampler, HeadOutput, MarginHead

WARM_UP = 3  # steps that are made as they are, on a stream of their own, in which libraries choose and kernels are compiled


def check_graph(setting: str, device: torch.device, sampler: ClassSampler | None, processes: int, parts: int = 1) -> None:
    """Raises LimenError where a step cannot be recorded."""
    if setting == "none":
        return
    if device.type != "cuda":
        raise LimenError(f"graph: {setting} needs a CUDA device, and the run is on {device.type}; set graph none")
    if sampler is not None and not sampler.capturable:
        name = type(sampler).__name__
        raise LimenError(
            f"graph: {setting} cannot record {name}, whose draws the host seeds in each step; set graph none, or take all classes"
        )
    if parts > 1 and setting == "step":
        raise LimenError(f"graph: step records no batch in {parts} parts, each with a seed of its own; set graph head, or accumulate 1")
    if processes > 1:
        raise LimenError(f"graph: {setting} records no exchange between {processes} processes; set graph none, or train in one process")


def record(work: Callable[[], Any], pool: Any = None) -> tuple[Callable[[], None], Any]:
    """What plays `work`, a recorded function, and the pool of its memory. Recording computes nothing."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, pool=pool):
        work()
    return graph.replay, graph.pool()


def aside(work: Callable[[], Any]) -> Any:
    """`work` on a stream of its own, as recording asks it of the calls before."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        result = work()
    torch.cuda.current_stream().wait_stream(stream)
    return result


def copied(value: Any) -> Any:
    """Tensors in named tuples and mappings, at addresses of their own: the next replay overwrites what it returned."""
    if isinstance(value, Tensor):
        return value.clone()
    if isinstance(value, dict):
        return {name: copied(one) for name, one in value.items()}
    return type(value)(*map(copied, value)) if isinstance(value, tuple) else value


class GraphedStep:
    """`compute(*inputs)`, of tensors to tuples of tensors, recorded after the first calls."""

    def __init__(self, compute: Callable[..., Any]):
        self.compute, self.calls = compute, 0
        self.inputs: list[Tensor] = []
        self.outputs: Any = None
        self.play: Callable[[], None] | None = None

    def __call__(self, *inputs: Tensor) -> Any:
        self.calls += 1
        if self.calls <= WARM_UP:
            return aside(lambda: self.compute(*inputs))
        if self.play is None:
            self.inputs = [value.clone() for value in inputs]
            self.play, _ = record(self._run)
        for own, value in zip(self.inputs, inputs, strict=True):
            own.copy_(value, non_blocking=True)
        self.play()
        return copied(self.outputs)

    def _run(self) -> None:
        self.outputs = self.compute(*self.inputs)


class GraphedHead:
    """`head(features, labels, update)` with two graphs, of its forward and its backward pass; it keeps the `update` that is recorded."""

    def __init__(self, head: MarginHead):
        self.head, self.calls = head, 0
        self.parameters = list(head.margin.parameters())
        self.forward: Callable[[], None] | None = None
        self.backward: Callable[[], None] | None = None

    def __call__(self, features: Tensor, labels: Tensor, update: Any) -> HeadOutput:
        self.calls += 1
        if self.calls <= WARM_UP:
            return aside(lambda: self.head(features, labels, update=update))
        if self.forward is None:
            self.features, self.labels, self.update = features.detach().clone().requires_grad_(), labels.clone(), update
            self.grad = torch.ones((), device=features.device)
            self.forward, pool = record(self._forward)
            self.backward, _ = record(self._backward, pool)
        return HeadOutput(*_Played.apply(self, features, labels, self.head.centers.weight, *self.parameters))

    def _forward(self) -> None:
        with torch.enable_grad():
            self.output = self.head(self.features, self.labels, update=self.update)

    def _backward(self) -> None:
        self.grads = torch.autograd.grad(self.output.loss, [self.features, *self.parameters], self.grad, allow_unused=True)


class _Played(torch.autograd.Function):
    @staticmethod
    def forward(ctx, graphed, features, labels, centers, *parameters):  # the centres, so that a backward pass moves them in any case
        ctx.graphed = graphed
        graphed.features.detach().copy_(features)
        graphed.labels.copy_(labels)
        graphed.forward()
        outputs = tuple(value.detach().clone() for value in graphed.output)
        ctx.mark_non_differentiable(*outputs[1:])  # the loss alone goes on
        return outputs

    @staticmethod
    def backward(ctx, grad, *others):
        graphed = ctx.graphed
        graphed.grad.copy_(grad)
        graphed.backward()
        of_features, *rest = (None if value is None else value.clone() for value in graphed.grads)
        return None, of_features, None, None, *rest
