"""What is said of a run while it trains, and when it has to end: the only reader of what a step leaves on the device."""

import math
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from limen.training.checkpoint.folder import checkpoints
from limen.training.log import RunLog
from limen.training.optimisation import learning_rate
from limen.training.run import Run
from limen.training.step import Outcome

CHECKED_EVERY, CHECKED_ELSEWHERE = {"cpu": 1}, 20  # steps until a loss that is not finite ends the run
GATHERED, TOGETHER = 0.3, 0.05  # past half of the steps, the nearest other above the first, the own less than the second above it
NOT_APART = "the features are as near to the centre of another as to their own: they gather in a few directions"
COLLAPSED = -0.3  # both mean cosines of a logged step below it: runs that learn never had either below -.1 (docs/results/margins.md)


class Monitor:
    """Watches `run`, whose folder is `out`. Every process has one; the first has the `log`."""

    def __init__(self, run: Run, log: RunLog | None, out: Path):
        self.run, self.log, self.out = run, log, out
        self.first_fault: Tensor | None = None  # (1 + values judged,) float64: number of the step, or 0, and what it found
        self.judged: list[str] = []
        self.told_gathered = False
        self.start_clock()

    def start_clock(self) -> None:
        """Speed is counted from here: an evaluation is no part of it."""
        self.clock, self.logged_step = time.perf_counter(), self.run.step

    def announce(self) -> None:
        """What the parts of the run say before its next step."""
        for part in self.run.parts:
            for line in part.announce(self.run.step, self.run.around):
                if self.log is not None:
                    self.log.note(line)

    def check(self) -> None:
        """Ends the run where a step since the last check had a loss or gradient that is not finite; all processes have the same.

        The first such step is remembered on the device, and the device waited for here, not in every step.
        """
        if self.first_fault is None:
            return
        step, *values = self.first_fault.tolist()
        self.first_fault = None
        for name, value in zip(self.judged, values, strict=True):
            if step and not math.isfinite(value):
                lr = learning_rate(self.run.recipe.optimiser, int(step) - 1, self.run.steps_per_epoch, self.run.total_steps)
                self.run.processes.fail(f"the {name} is {value} at step {int(step)} (lr {lr:g}); {remedy(self.out)}")

    def _remember(self, outcome: Outcome) -> None:
        device = outcome.finite.device
        values = [value.to(device, torch.float64, non_blocking=True) for value in outcome.judged.values()]
        fault = torch.stack([torch.full((), self.run.step, dtype=torch.float64, device=device), *values])
        before = torch.zeros_like(fault) if self.first_fault is None else self.first_fault
        self.judged, self.first_fault = list(outcome.judged), torch.where((before[0] == 0) & ~outcome.finite, fault, before)

    def look(self, outcome: Outcome) -> None:
        """After each step: ends the run that cannot go on, and logs what is due."""
        run, recipe = self.run, self.run.recipe
        self._remember(outcome)
        logged = run.is_due(recipe.log_every) or run.step == 1
        if logged or run.is_due(CHECKED_EVERY.get(run.device.type, CHECKED_ELSEWHERE)):
            self.check()
        self._check_unreadable()
        if self.log is not None:
            self.log.advance(run.step)
        if logged:
            row = self._row(outcome)
            self._write(row)
            self._judge(row["target_cosine"], row["nearest_negative"])
        if run.is_due(recipe.checkpoint_every) and (values := run.order.log_values(run.around)):
            self._write(values)  # before the checkpoint is: a run that is killed between the two logs it again

    def _check_unreadable(self) -> None:
        run, allowed = self.run, self.run.recipe.data.max_unreadable
        if len(run.unreadable) > allowed * len(run.source):
            run.processes.fail(
                f"{len(run.unreadable)} of {len(run.source)} images cannot be read, more than data.max_unreadable "
                f"{allowed:g}; the last: {next(reversed(run.unreadable.values()))}; "
                "`limen data inspect PATH --check` names them all"
            )

    def _row(self, outcome: Outcome) -> dict[str, Any]:
        """What the log says of a step: means over the batches of all processes, which all call it."""
        run, output = self.run, outcome.output
        seconds, done = time.perf_counter() - self.clock, run.step - self.logged_step
        run.seconds += seconds
        self.start_clock()
        means = {
            "target_cosine": output.target_cosine,
            "nearest_negative": output.nearest_negative,
            "feature_norm": outcome.features.norm(dim=1),
        } | ({} if outcome.quality_loss is None else {"quality_loss": outcome.quality_loss.detach()})
        row: dict[str, Any] = {"epoch": round(run.step / run.steps_per_epoch, 4), "loss": output.loss.item()}
        row |= dict(zip(means, run.processes.mean([values.mean().item() for values in means.values()]), strict=True))
        row["regulariser"] = output.regulariser.item()
        if outcome.quality_loss is not None:  # under a class sampler the nearest negative, and so the target, knows no others
            row["quality_target_over"] = "all classes" if run.head.sampler is None else "active classes"
        for part in run.parts:
            if part is not run.order:
                row |= part.log_values(run.around)
        return row | {
            "gradient_norm": outcome.gradient_norm.item(),
            "lr": learning_rate(run.recipe.optimiser, run.step - 1, run.steps_per_epoch, run.total_steps),
            "images_per_second": round(done * run.recipe.batch_size / seconds, 1),
            "seconds_left": round((run.total_steps - run.step) * seconds / done, 1),
            "unreadable": len(run.unreadable),
        }

    def _write(self, row: dict[str, Any]) -> None:
        with self.run.processes.together():
            if self.log is not None:
                self.log.row(self.run.step, **row)

    def _judge(self, target_cosine: float, nearest_negative: float) -> None:
        """Says once that features gather. Ends a run whose network has collapsed, or marks it where the recipe allows that, for good.

        Collapsed are features that have turned away from their own centre and from the nearest of the others too, which few classes in a
        space of few dimensions do not do by chance, and a network that learns never does.
        """
        run = self.run
        cosines = f"to the own centre is {target_cosine:.2f} and to the nearest other {nearest_negative:.2f}"
        found = f"step {run.step}: the mean cosine {cosines}: "
        gathered = nearest_negative > max(GATHERED, target_cosine - TOGETHER) and 2 * run.step > run.total_steps
        if gathered and not self.told_gathered and self.log is not None:
            self.told_gathered = True
            self.log.note(f"{found}{NOT_APART}; if it stays so, start again with {run.margin.remedy()}")
        if max(target_cosine, nearest_negative) >= COLLAPSED or run.collapsed:
            return
        found += "the features have turned away from all centres, and will stay there"
        if not run.recipe.allow_collapse:
            run.processes.fail(f"{found}; start again with {run.margin.remedy()}; allow_collapse: true would train on")
        run.collapsed = True
        if self.log is not None:
            self.log.note(f"{found}; the model will be marked as collapsed")


def remedy(folder: Path) -> str:
    """What to do about a run that diverged."""
    good = checkpoints(folder)
    last = f"the last good checkpoint is {good[-1]}" if good else "there is no checkpoint yet"
    return f"{last}; start again with a lower optimiser.lr, warm-up or optimiser.clip_norm"
