"""Training from top to bottom."""

import sys
from contextlib import ExitStack, nullcontext
from importlib.metadata import version
from pathlib import Path

import torch

from limen.data.feed.loader import readers_alive
from limen.locks import sole_use
from limen.protocols import Verification
from limen.training.checkpoint.folder import remove_remains
from limen.training.compatibility import node_differences, recipe_values
from limen.training.distributed import join_processes
from limen.training.evaluation import evaluate, evaluation_is_due, open_protocols
from limen.training.init_from_model import init_from_model
from limen.training.log import RunLog
from limen.training.monitor import Monitor
from limen.training.recipe import Recipe
from limen.training.run import Run
from limen.training.run_folder import finish, starting_point
from limen.training.settings import check
from limen.training.state import restore, save
from limen.training.step import Step
from limen.training.threads_and_signals import own_settings, stop_requests


def train(recipe: Recipe, resume: str | Path | None = None, quiet: bool = False) -> Path:
    """Trains `recipe` and returns the path of its bundle, OUT/model.safetensors.

    Beside it stand log.jsonl, checkpoints and, where the recipe names pairs, evaluation-NAME.json; class_margins.csv where each class has a
    margin; suspects.csv, the images believed mislabelled, where the data are sampled adaptively.

    Started by torchrun, the processes share the batches and the class centres; the first of them writes all files, and speaks for all.

    Args:
        resume: "auto" goes on from the newest checkpoint in OUT, or starts where there is none; a path goes on from that one; None starts
            afresh and refuses a folder that holds a run. A run that was killed and resumed gives the weights of one that was not.
        quiet: no progress on the screen.

    Raises LimenError for settings, files and data that cannot be used, and for a loss that is not finite.
    """
    with join_processes(recipe.device) as processes, readers_alive(), own_settings(recipe), ExitStack() as held:
        out = Path(recipe.out)
        start_from, protocols = None, []
        with processes.together():
            check(recipe)
        processes.agree({"limen": version("limen"), "torch": torch.__version__} | recipe_values(recipe), node_differences)
        with processes.together():
            if processes.first:
                held.enter_context(sole_use(out, "training"))
                start_from = starting_point(out, resume)
                protocols = open_protocols(recipe)
        start_from = processes.from_first(start_from)
        with processes.together():
            run = Run(recipe, processes, start_from)
        restore(run)
        with processes.together():
            if start_from is None and recipe.init is not None:
                started = init_from_model(run, Path(recipe.init))
                if processes.first and not quiet:
                    print(started, file=sys.stderr)
            log = _open_log(run, out, resume, quiet) if processes.first else None

        with log or nullcontext(), stop_requests() as stop:
            train_steps(run, log, stop, out, protocols)
            if run.step < run.total_steps:
                processes.fail(f"stopped at step {run.step} of {run.total_steps}, saved in {save(run, out)}; go on with --resume auto")
            return finish(run, out)


def train_steps(run: Run, log: RunLog | None, stop: list[int], out: Path, protocols: list[Verification]) -> None:
    """Every step that is left, until it is done or `stop` has filled."""
    step, monitor = Step(run), Monitor(run, log, out)
    if evaluation_is_due(run):  # a run that was killed between a checkpoint and its evaluation makes it now
        evaluate(run, protocols, out, log)
    for batch in run.processes.in_step(run.batches, stop):
        monitor.announce()
        outcome = step(batch)
        run.record(batch, outcome.output)
        monitor.look(outcome)
        if run.is_due(run.recipe.checkpoint_every):
            monitor.check()
            save(run, out)
        if evaluation_is_due(run):
            monitor.check()
            evaluate(run, protocols, out, log)
            monitor.start_clock()
    monitor.check()


def _open_log(run: Run, out: Path, resume: str | Path | None, quiet: bool) -> RunLog:
    remove_remains(out)
    if not quiet and resume is not None:
        print(f"going on at step {run.step} of {run.total_steps}" if run.step else "no checkpoint yet: starting afresh", file=sys.stderr)
    return RunLog(out, run.step, run.total_steps, run.recipe.tensorboard, quiet)
