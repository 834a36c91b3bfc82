"""One training step: forward, backward, update. What it leaves stays on the device; `Monitor` alone reads it."""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from limen.data import Batch, normalise
from limen.data.augmentation.on_device import augment_batch
from limen.heads import HeadOutput
from limen.quality import certainty_ratio, quality_loss
from limen.training.accumulation import BackbonePass
from limen.training.distributed import Processes
from limen.training.graphs import GraphedHead, GraphedStep
from limen.training.optimisation import hold, learning_rate_share, set_learning_rate
from limen.training.run import Run


class Outcome(NamedTuple):
    """What a step leaves, of this process's share of the batch."""

    output: HeadOutput
    features: Tensor  # (B, D) raw
    quality_loss: Tensor | None  # ()
    gradient_norm: Tensor  # (), the backbone's, before it is clipped
    judged: dict[str, Tensor]  # (), by name: where one is not finite, the step moved nothing
    finite: Tensor  # () whether all are


class Step:
    """One step. Where a loss or gradient is not finite it moves no weight, momentum or average: a flag on the device holds the optimiser
    back, and the centres, which move inside the backward pass, see for themselves (`CenterSGD`). It asks the device for no value; `Monitor`
    ends the run."""

    def __init__(self, run: Run):
        self.run = run
        network: Any = run.processes.wrap(run.backbone.train(not run.frozen))
        network = torch.compile(network) if run.recipe.backbone.compile else network
        self.quality = run.processes.wrap(run.quality)
        autocast = torch.autocast(run.device.type, torch.bfloat16, enabled=run.recipe.precision == "bf16")
        self.backbone = BackbonePass(network, run.recipe.accumulate, self._draw, autocast)
        run.head.train()
        self.recorded = run.recipe.graph == "step"  # the seeds within a step are then the one before it
        self.compute: Callable[[Tensor, Tensor], Outcome] = GraphedStep(self._compute) if self.recorded else self._compute
        self.head: Callable[..., HeadOutput] = GraphedHead(run.head) if run.recipe.graph == "head" else run.head

    def __call__(self, batch: Batch) -> Outcome:
        run, recipe = self.run, self.run.recipe
        # (B, 112, 112, 3), this process's share of the batch, on its device
        images = batch.images if batch.changes is None else augment_batch(batch.images, batch.changes)
        share = learning_rate_share(recipe.optimiser, run.step, run.steps_per_epoch, run.total_steps)
        set_learning_rate(run.optimiser, share)
        run.rate.fill_(run.center_lr * share)
        if self.recorded:
            _seed(run, 1 + run.processes.rank)
        with run.memory():
            outcome = self.compute(images, batch.labels)
        if run.average is not None and run.averaging is not None:
            run.averaging.finite = outcome.finite
            run.average.update_parameters(run.averaged)
        return outcome

    def _compute(self, images: Tensor, labels: Tensor) -> Outcome:
        run, recipe, processes = self.run, self.run.recipe, self.run.processes

        # ---- forward; the draws depend on the seed and the step alone, so resuming needs no random state. Each process draws its own in
        # the backbone (dropout), and all draw the same in the head, where each computes the loss of the whole batch.
        features = self.backbone.forward(normalise(images))  # (B, D) raw
        if not self.recorded:
            _seed(run, 0)
        output = self.head(_average_over(processes, features), labels, update=run.center_optimiser.at(run.rate))
        total, of_quality = output.loss, None
        if self.quality is not None:
            ratio = certainty_ratio(output.target_cosine, output.nearest_negative, recipe.quality.ratio)
            of_quality = quality_loss(self.quality(features), ratio)
            # one that is not finite makes the head's gradient NaN too, at which the centres stay where they are
            total = total * torch.where(of_quality.isfinite(), 1.0, torch.nan) + (recipe.quality.weight or 0.0) * of_quality

        # ---- backward, which moves the centres too; update of the rest
        run.optimiser.zero_grad(set_to_none=True)
        total.backward()
        self.backbone.backward()
        gradient_norm = torch.nn.utils.clip_grad_norm_(run.backbone.parameters(), recipe.optimiser.clip_norm or math.inf)
        judged = {"loss": output.loss.detach(), "gradient": gradient_norm}
        if run.quality is not None and of_quality is not None:
            gradients = [p.grad for p in run.quality.parameters() if p.grad is not None]
            judged = {
                "quality loss": of_quality.detach(),
                "gradient of the quality head": torch.nn.utils.get_total_norm(gradients),
            } | judged
        finite = torch.stack([value.to(run.device, torch.float32, non_blocking=True) for value in judged.values()]).isfinite().all()
        hold(run.optimiser, finite)
        run.optimiser.step()
        return Outcome(output, features.detach(), of_quality, gradient_norm, judged, finite)

    def _draw(self, part: int) -> None:
        """Seeds what the backbone draws in a part of the batch: another stream for each process and part."""
        run, processes = self.run, self.run.processes
        if not self.recorded:
            _seed(run, 1 + processes.rank + processes.world_size * part)


def _seed(run: Run, stream: int) -> None:
    number = int(np.random.SeedSequence((run.recipe.seed, run.step, stream)).generate_state(1, np.uint64)[0])
    if run.device.type == "cpu":
        torch.default_generator.manual_seed(number)  # torch.manual_seed would write down the stack for each accelerator that is not there
    else:
        torch.manual_seed(number)


def _average_over(processes: Processes, features: Tensor) -> Tensor:
    """`features` for the head, whose loss is the mean over the batches of all processes. DistributedDataParallel divides the gradients
    behind them by the number of processes once more, which this makes good."""
    features = features.view_as(features)
    if processes.world_size > 1 and features.requires_grad:
        features.register_hook(lambda gradient: gradient * processes.world_size)
    return features
