"""Training from top to bottom."""

import math
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch

from limen.data import AdaptiveDataSampler, normalise
from limen.data.feed.loader import readers_alive
from limen.errors import LimenError
from limen.files import sole_use
from limen.heads import HardPrototypeMining, HeadOutput
from limen.models.bundle import save_bundle
from limen.models.embedder import Embedder
from limen.protocols import Verification
from limen.quality import certainty_ratio, quality_loss
from limen.training.checkpoint.checkpoint import checkpoints, remove_remains
from limen.training.class_margins import margin_statistics, write_class_margins
from limen.training.distributed import Processes, join_processes
from limen.training.log import RunLog
from limen.training.optimisation import learning_rate_share, set_learning_rate
from limen.training.recipe import Recipe
from limen.training.run import Run
from limen.training.settings import check
from limen.training.start import start_from_model

COLLAPSED = -0.3  # mean cosine to the own centre, which begins near 0 and rises where a network learns


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
    with readers_alive(), join_processes(recipe.device) as processes, ExitStack() as held:
        out = Path(recipe.out)
        with processes.together():
            check(recipe)
            if processes.first:
                held.enter_context(sole_use(out))
            start_from = _starting_point(out, resume)
            protocols = _protocols(recipe) if processes.first else []
            run = Run(recipe, processes, start_from)
        run.restore()
        with processes.together():
            if start_from is None and recipe.init is not None:
                started = start_from_model(run, Path(recipe.init))
                if processes.first and not quiet:
                    print(started, file=sys.stderr)
            log = _open_log(run, out, resume, quiet) if processes.first else None

        with log or nullcontext(), _stop_requests() as stop:
            train_steps(run, log, stop, out, protocols)
            if run.step < run.total_steps:
                processes.fail(f"stopped at step {run.step} of {run.total_steps}, saved in {run.save(out)}; go on with --resume auto")
        bundle = out / "model.safetensors"
        write_class_margins(run, out / "class_margins.csv")
        with processes.together():
            if processes.first:
                if isinstance(run.order, AdaptiveDataSampler):
                    run.order.suspects().write(out / "suspects.csv", run.source)
                save_bundle(bundle, run.bundle())
        return bundle


def train_steps(run: Run, log: RunLog | None, stop: list[int], out: Path, protocols: list[Verification]) -> None:
    recipe, device, processes = run.recipe, run.device, run.processes
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=recipe.precision == "bf16")
    network: Any = processes.wrap(run.backbone.train(not run.frozen))
    network = torch.compile(network) if recipe.backbone.compile else network
    quality, quality_weight = processes.wrap(run.quality), recipe.quality.weight or 0.0
    run.head.train()
    started = clock = time.perf_counter()
    logged_step, warned = run.step, False

    for batch in processes.in_step(run.batches, stop):
        images = normalise(batch.images.to(device, non_blocking=True))  # (B, 3, 112, 112), this process's share of the batch
        labels = batch.labels.to(device, non_blocking=True)  # (B,)
        share = learning_rate_share(recipe.optimiser, run.step, run.steps_per_epoch, run.total_steps)
        set_learning_rate(run.optimiser, share)
        run.center_optimiser.lr = lr = recipe.optimiser.lr * share

        sampler = run.head.sampler
        if log is not None and isinstance(sampler, HardPrototypeMining) and run.step % sampler.rebuild_every == 0:
            log.note(f"step {run.step + 1}: building the graph of {len(run.source.class_names):,} classes for Hard Prototype Mining")

        # ---- forward; the draws depend on the seed and the step alone, so resuming needs no random state. Each process draws its own in
        # the backbone (dropout), and all draw the same in the head, where each computes the loss of the whole batch.
        _seed(recipe.seed, run.step, 1 + processes.rank)
        with autocast:
            features = network(images).float()  # (B, D) raw
        _seed(recipe.seed, run.step, 0)
        output = run.head(_average_over(processes, features), labels)
        loss = output.loss.item()  # waits for the device: a loss that is not finite must never reach the weights
        if not math.isfinite(loss):
            processes.fail(f"the loss is {loss} at step {run.step + 1} (lr {lr:g}); {run.remedy(out)}")

        total, of_quality = output.loss, None
        if quality is not None:
            ratio = certainty_ratio(output.target_cosine, output.nearest_negative, recipe.quality.ratio)
            of_quality = quality_loss(quality(features), ratio)
            total = total + quality_weight * of_quality

        # ---- backward, which updates the centres too; update of the rest
        run.optimiser.zero_grad(set_to_none=True)
        total.backward()
        gradient_norm = torch.nn.utils.clip_grad_norm_(run.backbone.parameters(), recipe.optimiser.clip_norm or math.inf)
        of_head = run.quality.parameters() if run.quality is not None else ()
        quality_norm = torch.nn.utils.get_total_norm([p.grad for p in of_head if p.grad is not None])
        for norm in (gradient_norm, quality_norm):  # averaged over the processes: all find the same
            if not math.isfinite(norm):
                processes.fail(f"the gradient is {norm.item()} at step {run.step + 1} (lr {lr:g}); {run.remedy(out)}")
        run.optimiser.step()
        if run.average is not None:
            run.average.update_parameters(run.averaged)
        if isinstance(run.order, AdaptiveDataSampler):
            run.order.observe(batch.indices, output.target_cosine > output.nearest_negative, output.target_cosine)
        run.step += 1

        # ---- count, log, save, evaluate
        run.unreadable.update(batch.unreadable)
        if len(run.unreadable) > recipe.data.max_unreadable * len(run.source):
            processes.fail(
                f"{len(run.unreadable)} of {len(run.source)} images cannot be read, more than data.max_unreadable "
                f"{recipe.data.max_unreadable:g}; the last: {next(reversed(run.unreadable.values()))}; "
                "`limen data inspect PATH --check` names them all"
            )
        last = run.step == run.total_steps
        if log is not None:
            log.advance(run.step)
        if run.step % recipe.log_every == 0 or last or run.step == 1:
            seconds, done = time.perf_counter() - clock, run.step - logged_step
            run.seconds, clock, logged_step = run.seconds + seconds, time.perf_counter(), run.step
            row = _row(run, output, features, of_quality) | margin_statistics(run)
            if sampler is not None:
                row |= sampler.counts
            if isinstance(sampler, HardPrototypeMining):
                row["threshold"] = sampler.current_threshold()
                row["rebuild_share"] = sampler.rebuild_seconds / (time.perf_counter() - started)
            with processes.together():
                if log is not None:
                    log.row(
                        run.step,
                        epoch=round(run.step / run.steps_per_epoch, 4),
                        loss=loss,
                        **row,
                        gradient_norm=gradient_norm.item(),
                        lr=lr,
                        images_per_second=round(done * recipe.batch_size / seconds, 1),
                        seconds_left=round((run.total_steps - run.step) * seconds / done, 1),
                        unreadable=len(run.unreadable),
                    )
            if log is not None and row["target_cosine"] < COLLAPSED and not warned:
                warned = True
                log.note(
                    f"step {run.step}: the mean cosine to the own centre is {row['target_cosine']:.2f}: the features have turned away from "
                    "all centres, where a margin costs least, and will stay there; start again with a lower optimiser.lr or more warm-up"
                )
            if log is not None and run.step == 1 and 0 < row.get("active_classes", 0) <= row.get("own_classes", 0):
                log.note("head.sampler chooses none: the batch's own classes fill its share; raise the share, or lower batch_size")
        if run.step % recipe.checkpoint_every == 0 or last:
            run.save(out)
            with processes.together():
                if log is not None and isinstance(run.order, AdaptiveDataSampler):
                    counts, edges = run.order.weight_histogram()
                    found = {"noise_share": run.order.suspects().noise_share} if run.order.started else {}
                    log.row(run.step, **found, weight_counts=counts.tolist(), weight_edges=edges.tolist())
        if recipe.evaluation.pairs and (last or (recipe.evaluation.every and run.step % recipe.evaluation.every == 0)):
            with processes.together():
                if log is not None:
                    evaluate_run(run, protocols, out, log)
            clock, logged_step = time.perf_counter(), run.step


def _row(run: Run, output: HeadOutput, features: torch.Tensor, of_quality: torch.Tensor | None) -> dict[str, Any]:
    """What the log says of a step: means over the batches of all processes, which all call it."""
    means = {
        "target_cosine": output.target_cosine,
        "nearest_negative": output.nearest_negative,
        "feature_norm": features.detach().norm(dim=1),
    } | ({} if of_quality is None else {"quality_loss": of_quality.detach()})
    row: dict[str, Any] = dict(zip(means, run.processes.mean([values.mean().item() for values in means.values()]), strict=True))
    row["regulariser"] = output.regulariser.item()
    if of_quality is not None:  # under a class sampler the nearest negative, and so the target, knows no others
        row["quality_target_over"] = "all classes" if run.head.sampler is None else "active classes"
    return row


def _seed(seed: int, step: int, stream: int) -> None:
    torch.manual_seed(int(np.random.SeedSequence((seed, step, stream)).generate_state(1, np.uint64)[0]))


def _average_over(processes: Processes, features: torch.Tensor) -> torch.Tensor:
    """`features` for the head, whose loss is the mean over the batches of all processes. DistributedDataParallel divides the gradients
    behind them by the number of processes once more, which this makes good."""
    features = features.view_as(features)
    if processes.world_size > 1 and features.requires_grad:
        features.register_hook(lambda gradient: gradient * processes.world_size)
    return features


def evaluate_run(run: Run, protocols: list[Verification], out: Path, log: RunLog) -> None:
    """Each protocol on the model as it stands, written to OUT/evaluation-NAME.json and, in short, to the log."""
    embedder = Embedder(run.bundle(), run.device)
    for result in [protocol.run(embedder) for protocol in protocols]:
        result.save(out / f"evaluation-{result.name}.json")
        log.row(run.step, evaluation=result.name, accuracy=result.metrics["accuracy"])


def _open_log(run: Run, out: Path, resume: str | Path | None, quiet: bool) -> RunLog:
    remove_remains(out)
    if not quiet and resume is not None:
        print(f"going on at step {run.step} of {run.total_steps}" if run.step else "no checkpoint yet: starting afresh", file=sys.stderr)
    return RunLog(out, run.step, run.total_steps, run.recipe.tensorboard, quiet)


def _protocols(recipe: Recipe) -> list[Verification]:
    """Opened, and one image of each read, before training: a wrong path should not show at its end."""
    protocols = [Verification(pairs, recipe.evaluation.images) for pairs in recipe.evaluation.pairs]
    names = [protocol.pair_set.name for protocol in protocols]
    for name in names:
        if names.count(name) > 1:
            raise LimenError(f"evaluation.pairs: two files are called {name}, and their results would be one file; rename one")
    for protocol in protocols:
        protocol.pair_set.source.image(int(protocol.pair_set.first[0]))
    return protocols


def _starting_point(out: Path, resume: str | Path | None) -> Path | None:
    found, model = checkpoints(out), out / "model.safetensors"
    if resume is None and (found or model.exists()):
        raise LimenError(f"{out} holds a run already; go on with it by --resume auto, or choose another --out")
    if resume == "auto":
        if not found and model.exists():
            raise LimenError(f"{out} holds a finished model and no checkpoint to go on from; choose another --out")
        return found[-1] if found else None
    if resume is None:
        return None
    start = Path(resume)
    if newer := [path for path in found if path.name >= start.name and path.resolve() != start.resolve()]:
        raise LimenError(f"{out} holds {newer[-1].name}, which is newer than {resume}; remove the newer ones, or choose another --out")
    return start


@contextmanager
def _stop_requests() -> Iterator[list[int]]:
    """A list that fills when the process is asked to end (Ctrl-C, SIGTERM): the step in progress is finished and saved first."""
    requests: list[int] = []
    previous = {}
    try:
        for kind in (signal.SIGINT, signal.SIGTERM):
            previous[kind] = signal.signal(kind, lambda number, _: requests.append(number))
    except ValueError:  # not the main thread, which alone may handle signals
        pass
    try:
        yield requests
    finally:
        for kind, handler in previous.items():
            signal.signal(kind, handler)
