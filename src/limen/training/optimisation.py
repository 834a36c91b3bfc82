"""SGD as the papers run it, AdamW for transformers: which parameters decay, and how the learning rate moves."""

import bisect
import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from limen.heads import MarginHead
from limen.training.recipe import Optimiser

Tensors = tuple[Tensor, ...] | list[Tensor]


def create_optimiser(
    backbone: nn.Module, head: MarginHead, config: Optimiser, quality: nn.Module | None = None, quality_lr: float | None = None
) -> torch.optim.SGD | torch.optim.AdamW:
    """SGD or AdamW over what is not frozen of the backbone, the quality head and what the margin learns: all but the centres, which
    `limen.heads.CenterSGD` moves. Each group keeps its `peak_lr`, which `set_learning_rate` scales.

    Weight decay acts on weights of two or more dimensions (and on the class centres): not on BatchNorm, biases and PReLU slopes, nor on
    what a margin learns. Margin and quality head may have learning rates of their own.
    """
    groups: list[dict[str, Any]] = []
    for network, lr in ((backbone, None), (quality, quality_lr)):
        learnt = [p for p in network.parameters() if p.requires_grad] if network is not None else []
        for decays in (True, False):
            parameters = [p for p in learnt if (p.ndim >= 2) == decays]
            groups.append({"params": parameters, "peak_lr": lr, "weight_decay": config.weight_decay if decays else 0.0})
    groups.append({"params": list(head.margin.parameters()), "peak_lr": config.margin_lr, "weight_decay": 0.0})
    for group in groups:
        group["peak_lr"] = config.lr if group["peak_lr"] is None else group["peak_lr"]
    # fused: the one form that a flag on the device can hold back (`hold`)
    rate: float | Tensor = config.lr
    if any(parameter.is_cuda for parameter in backbone.parameters()):
        rate = torch.tensor(config.lr, device="cuda")  # read on the device: a new rate needs no new kernel in a graph
    if config.name == "AdamW":
        return torch.optim.AdamW(groups, lr=rate, betas=(config.betas[0], config.betas[1]), eps=config.eps, fused=True)
    optimiser = torch.optim.SGD(groups, lr=rate, momentum=config.momentum, fused=True)
    for group in optimiser.param_groups if config.momentum else ():
        for parameter in group["params"]:  # made by a step that is held back it would be of no value
            optimiser.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
    return optimiser


def hold(optimiser: Any, finite: Tensor) -> None:
    """Lets the next step of `optimiser` move weights and momenta only where `finite` () is True, which the host does not ask: as a gradient
    scaler does, whose interface this is."""
    optimiser.found_inf = (~finite).float()


class Average:
    """What AveragedModel does with every two lists of tensors: an exponential moving average, which nothing enters while `finite` () is not
    True."""

    def __init__(self, decay: float):
        self.average, self.finite = get_ema_multi_avg_fn(decay), torch.tensor(True)

    def __call__(self, averaged: Tensors, current: Tensors, count: Tensor | int) -> None:
        self.average(averaged, [torch.where(self.finite, new, old) for new, old in zip(current, averaged, strict=True)], count)


def learning_rate_share(config: Optimiser, step: int, steps_per_epoch: int, total_steps: int) -> float:
    """The share of the peak learning rate at `step` (0-based): linear warm-up, then milestones, a cosine to 0, or constant."""
    warmup = config.warmup_epochs * steps_per_epoch
    if step < warmup:
        return min(1.0, (step + 1) / warmup)
    if config.schedule == "milestones":
        return config.factor ** bisect.bisect_right(sorted(config.milestones), step / steps_per_epoch)
    if config.schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, total_steps - warmup)))
    return 1.0


def learning_rate(config: Optimiser, step: int, steps_per_epoch: int, total_steps: int) -> float:
    """That of the backbone at `step` (0-based)."""
    return config.lr * learning_rate_share(config, step, steps_per_epoch, total_steps)


def set_learning_rate(optimiser: torch.optim.Optimizer, share: float) -> None:
    """Sets every group to `share` of its peak."""
    for group in optimiser.param_groups:
        lr = group["peak_lr"] * share
        if isinstance(group["lr"], Tensor):  # at an address that a recorded step reads
            group["lr"].fill_(lr)
        else:
            group["lr"] = lr
