"""Verification while training."""

from pathlib import Path

from limen.errors import LimenError
from limen.lookup import did_you_mean
from limen.models.bundle import save_bundle
from limen.models.embedder import Embedder
from limen.protocols import Verification
from limen.training.log import RunLog
from limen.training.recipe import Recipe
from limen.training.run import Run
from limen.training.state import bundle_of

BEST = "best.safetensors"


def open_protocols(recipe: Recipe) -> list[Verification]:
    """Opened, and one image of each read, before training: a wrong path should not show at its end."""
    protocols = [Verification(pairs, recipe.evaluation.images) for pairs in recipe.evaluation.pairs]
    names = [protocol.pair_set.name for protocol in protocols]
    for name in names:
        if names.count(name) > 1:
            raise LimenError(f"evaluation.pairs: two files are called {name}, and their results would be one file; rename one")
    if recipe.evaluation.best is not None and recipe.evaluation.best not in names:
        raise LimenError(
            f"evaluation.best: {recipe.evaluation.best!r} is not the name of a set of evaluation.pairs; "
            f"{did_you_mean(recipe.evaluation.best, names)}"
        )
    for protocol in protocols:
        protocol.pair_set.source.image(int(protocol.pair_set.first[0]))
    return protocols


def evaluation_is_due(run: Run) -> bool:
    """Every so many steps, and after the last."""
    asked, every = run.recipe.evaluation.pairs, run.recipe.evaluation.every
    return bool(asked) and run.step > 0 and run.is_due(run.total_steps if every is None else every)


def evaluate(run: Run, protocols: list[Verification], out: Path, log: RunLog | None) -> None:
    """Each protocol that is not logged for this step, on the model as it stands: written to OUT/evaluation-NAME.json and, in short, to the
    log. The first process makes them, and all wait for it."""
    with run.processes.together():
        for protocol in protocols:
            if log is None or (run.step, protocol.pair_set.name) in log.evaluated:
                continue
            with log.busy(f"evaluating on {protocol.pair_set.name}"):
                model = bundle_of(run)
                result = protocol.run(Embedder(model, run.device))
            result.save(out / f"evaluation-{result.name}.json")
            accuracy = result.value("accuracy")
            if result.name != run.recipe.evaluation.best:
                log.row(run.step, evaluation=result.name, accuracy=accuracy)
                continue
            earlier = (found for (_, name), found in log.evaluated.items() if name == result.name and found is not None)
            best = accuracy is not None and accuracy > max(earlier, default=-1.0)
            if best:  # before the log says so: a run that is killed between the two evaluates again
                save_bundle(out / BEST, model)
                log.note(f"step {run.step}: the best so far on {result.name}, accuracy {accuracy:.4f}, kept as {out / BEST}")
            log.row(run.step, evaluation=result.name, accuracy=accuracy, best=best)
