"""The state of a run: as named tensors and plain values in a checkpoint, and as a bundle."""

import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from limen.errors import LimenError
from limen.models.bundle import Architecture, Bundle
from limen.models.name_hashes import trained_hashes
from limen.training.checkpoint.folder import damage
from limen.training.checkpoint.load import load_into, read_shapes, read_tensors
from limen.training.checkpoint.save import save_checkpoint
from limen.training.checkpoint.tensors import Shard
from limen.training.compatibility import recipe_values
from limen.training.monitor import remedy
from limen.training.run import Run

# Names in a checkpoint of what an optimiser keeps of each parameter.
KEPT = {"momentum_buffer": "momentum", "exp_avg": "exp_avg", "exp_avg_sq": "exp_avg_sq", "step": "optimiser_step"}


def save(run: Run, folder: Path) -> Path:
    """A checkpoint of finite weights; raises LimenError, and writes nothing, where a weight is not."""
    with run.processes.together():
        for name, tensor in [item for module in _modules(run).values() for item in module.state_dict().items()]:
            if not _is_finite(tensor):
                raise LimenError(f"{name} is no longer finite at step {run.step}; {remedy(folder)}")
    learnt = run.order.state_dict()
    values = {
        "recipe": recipe_values(run.recipe),
        "data_sha256": run.data_sha256,
        "seconds": run.seconds,
        "unreadable": list(run.unreadable.items()),
        "collapsed": run.collapsed,
        "sampling": {name: value for name, value in learnt.items() if not isinstance(value, Tensor)},
    }
    return save_checkpoint(run.processes, folder, run.step, _tensors(run, learnt), values, run.source.class_names)


def restore(run: Run) -> None:
    """Goes on where the checkpoint of `run` stands, if it has one. Raises LimenError where it is damaged."""
    if run.checkpoint is None:
        return
    with run.processes.together():
        saved = read_shapes(run.checkpoint)
        for name, parameter in _stepped(run):
            run.optimiser.state.pop(parameter, None)
            for key, prefix in KEPT.items():
                if f"{prefix}.{name}" in saved:
                    kept = parameter.new_zeros((), dtype=torch.float32) if key == "step" else torch.zeros_like(parameter)
                    run.optimiser.state[parameter][key] = kept
    learnt = read_tensors(run.checkpoint, "sampling.")  # as the checkpoint has it: the order took it over when it was made
    load_into(run.processes, run.checkpoint, _tensors(run, learnt))
    with run.processes.together(), damage(run.checkpoint):
        run.step, run.seconds, run.unreadable = run.saved["step"], run.saved["seconds"], dict(run.saved["unreadable"])
        run.collapsed = run.saved.get("collapsed", False)


def bundle_of(run: Run) -> Bundle:
    """The model as it stands: the moving average of the weights where there is one."""
    weights: Any = run.averaged if run.average is None else run.average.module
    config = run.recipe.backbone
    return Bundle(
        architecture=Architecture(config.name, config.embedding_size, config.options),
        tensors={name: tensor.detach().cpu().clone() for name, tensor in weights.state_dict().items()},
        recipe=recipe_values(run.recipe),
        training={
            "steps": run.step,
            "images": len(run.source),
            "classes": len(run.source.class_names),
            "unreadable_images": len(run.unreadable),
            "hours": round(run.seconds / 3600, 4),
            "device": str(run.device.type),
            "processes": run.processes.world_size,
            "limen": version("limen"),
            "finished": time.strftime("%Y-%m-%d"),
        }
        | ({"collapsed": True} if run.collapsed else {}),
        licence=run.recipe.licence,
        class_names_sha256=run.classes_sha256,
        people_sha256=trained_hashes(run.source.class_names, run.classes_sha256),
    )


def _modules(run: Run) -> dict[str, nn.Module]:
    modules = {"backbone": run.backbone, "quality": run.quality, "head": run.head, "average": run.average}
    return {name: module for name, module in modules.items() if module is not None}


def _tensors(run: Run, learnt: dict[str, Any]) -> dict[str, Tensor | Shard]:
    """Every tensor that decides the steps to come, by name. They are the run's own: to fill them is to restore it. `learnt` is the state of
    the order of images.

    No random state: the draws of a step depend on the seed and the step alone.
    """
    tensors = {f"{part}.{name}": tensor for part, module in _modules(run).items() for name, tensor in module.state_dict().items()}
    for name, parameter in _stepped(run):
        kept = run.optimiser.state.get(parameter, {})
        tensors |= {f"{prefix}.{name}": kept[key] for key, prefix in KEPT.items() if key in kept}
    if run.center_optimiser.velocity is not None:
        tensors["momentum.head.centers.weight"] = run.center_optimiser.velocity
    tensors |= {f"sampling.{name}": value for name, value in learnt.items() if isinstance(value, Tensor)}
    by_class = {f"head.{name}" for name in run.head.sharded_names()}
    classes = len(run.source.class_names)
    return {
        name: run.processes.shard(tensor, classes) if tensor.ndim and _of_parameter(name) in by_class else tensor
        for name, tensor in tensors.items()
    }


def _of_parameter(name: str) -> str:
    """`name` without what an optimiser keeps: "momentum.head.centers.weight" is of "head.centers.weight"."""
    prefix, _, rest = name.partition(".")
    return rest if prefix in KEPT.values() else name


def _stepped(run: Run) -> Iterator[tuple[str, nn.Parameter]]:
    """The parameters that `optimiser` moves: all but the centres."""
    for part, module in _modules(run).items():
        for name, parameter in module.named_parameters() if part != "average" else ():
            if parameter is not run.head.centers.weight:
                yield f"{part}.{name}", parameter


def _is_finite(tensor: Tensor) -> bool:
    """Whether all values are; in blocks, for the centres may be most of the memory."""
    return all(bool(block.isfinite().all()) for block in tensor.split(8192)) if tensor.ndim else bool(tensor.isfinite())
