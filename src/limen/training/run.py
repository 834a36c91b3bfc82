"""The parts of one training run, made from its recipe, and their state as named tensors and plain values."""

import dataclasses
import hashlib
import inspect
import json
import time
from collections.abc import Iterator
from functools import cached_property, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from limen.backbones import create_backbone
from limen.data import AdaptiveDataSampler, BatchOrder, FaceSource, create_augmentation, make_loader, open_source
from limen.errors import LimenError
from limen.heads import SAMPLERS, CenterSGD, ClassSampler, MarginHead, create_sampler, default_group
from limen.lookup import call, find
from limen.margins import create_margin, training_options
from limen.models.bundle import Architecture, Bundle, class_names_sha256
from limen.models.embedder import usable_device
from limen.quality import QualityHead
from limen.training.checkpoint.checkpoint import checkpoints, load_into, read_shapes, read_tensors, read_values, save_checkpoint, verify
from limen.training.distributed import Processes, training_device
from limen.training.optimisation import create_optimiser
from limen.training.recipe import Recipe

CENTER_DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16}

# What may differ between a run and its continuation: it changes no weight beyond rounding (device and threads) or not at all.
FREE_KEYS = {"out", "epochs", "device", "threads", "log_every", "checkpoint_every", "tensorboard", "licence", "evaluation"}
FREE_DATA_KEYS = {"data.workers", "data.max_unreadable", "data.path"}  # people and labels are compared, wherever they lie


class Run:
    """Source, network, head and optimisers of a recipe, as this one of `processes` has them; `step` counts the steps that are done.

    `checkpoint` is where it goes on from, with `restore`; what it has to say of the order of images is read at once.
    """

    def __init__(self, recipe: Recipe, processes: Processes, checkpoint: Path | None = None):
        recipe = _with_training_margin(recipe, checkpoint)
        self.recipe, self.processes = recipe, processes
        self.device = usable_device(training_device(recipe.device))
        if recipe.threads is not None:
            torch.set_num_threads(recipe.threads)
        torch.manual_seed(recipe.seed)
        self.source: FaceSource = open_source(recipe.data.reader, recipe.data.path, **recipe.data.options)
        _check_labels(self.source)
        self.classes_sha256 = class_names_sha256(self.source.class_names)
        labels_sha256 = hashlib.sha256(np.ascontiguousarray(self.source.labels).data).hexdigest()
        self.data_sha256 = class_names_sha256([self.classes_sha256, labels_sha256])
        self.steps_per_epoch = len(self.source) // recipe.batch_size
        self.total_steps = round(recipe.epochs * self.steps_per_epoch)
        self.order = _create_order(self)
        if not self.total_steps:
            raise LimenError(f"epochs: {recipe.epochs} of {self.steps_per_epoch} steps each is no step at all; raise it")
        self.checkpoint = checkpoint
        if checkpoint is not None:
            self._restore_order(checkpoint)
        augment = create_augmentation(recipe.data.augment)
        loader = make_loader(self.source, self.order, augment, recipe.seed, recipe.data.workers, self.device.type == "cuda")
        self.batches = iter(loader)  # before there are centres: a reading process would hold a copy of each page that an update changes

        network = recipe.backbone
        backbone = create_backbone(network.name, network.embedding_size, **network.options)
        self.backbone = backbone.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.frozen = "backbone" in recipe.freeze
        self.backbone.requires_grad_(not self.frozen)
        classes = len(self.source.class_names)
        self.margin = create_margin(recipe.margin.name, classes, **recipe.margin.options)
        self.head = MarginHead(
            classes,
            network.embedding_size,
            self.margin,
            recipe.head.scale,
            sampler_of(recipe, self.total_steps),
            recipe.head.implementation,
            default_group(),
            CENTER_DTYPES[recipe.head.dtype],
        ).to(self.device)
        # drawn last, so that all else begins as it would without
        self.quality = QualityHead(network.embedding_size).to(self.device) if recipe.quality.weight is not None else None

        self.optimiser = create_optimiser(self.backbone, self.head, recipe.optimiser, self.quality, recipe.quality.lr)
        self.center_optimiser = CenterSGD(self.head.centers, 0.0, recipe.optimiser.momentum, recipe.optimiser.weight_decay)
        self.head.update = self.center_optimiser
        # of what the bundle holds: a quality head fits the features of the network it was trained on
        self.averaged = nn.ModuleDict({"backbone": self.backbone} | ({"quality": self.quality} if self.quality is not None else {}))
        decay = recipe.optimiser.ema
        self.average = (
            AveragedModel(self.averaged, multi_avg_fn=get_ema_multi_avg_fn(decay), use_buffers=True) if decay is not None else None
        )
        self.step = 0
        self.unreadable: dict[int, str] = {}
        self.seconds = 0.0  # of training, over all resumptions

    @cached_property
    def class_sizes(self) -> np.ndarray:
        """(C,) the number of images of each person."""
        return np.bincount(self.source.labels, minlength=len(self.source.class_names))

    @property
    def modules(self) -> dict[str, nn.Module]:
        modules = {"backbone": self.backbone, "quality": self.quality, "head": self.head, "average": self.average}
        return {name: module for name, module in modules.items() if module is not None}

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor that decides the steps to come, by name. They are the run's own: to fill them is to restore it.

        No random state: the draws of a step depend on the seed and the step alone.
        """
        tensors = {f"{part}.{name}": tensor for part, module in self.modules.items() for name, tensor in module.state_dict().items()}
        for name, parameter in self._stepped():
            if "momentum_buffer" in self.optimiser.state[parameter]:
                tensors[f"momentum.{name}"] = self.optimiser.state[parameter]["momentum_buffer"]
        if self.center_optimiser.velocity is not None:
            tensors["momentum.head.centers.weight"] = self.center_optimiser.velocity
        tensors |= {f"sampling.{name}": value for name, value in self._sampling().items() if isinstance(value, Tensor)}
        by_class = {f"head.{name}" for name in self.head.sharded_names()}
        classes = len(self.source.class_names)
        return {
            name: self.processes.shard(tensor, classes) if name.removeprefix("momentum.") in by_class else tensor
            for name, tensor in tensors.items()
        }

    def _sampling(self) -> dict[str, Any]:
        """What the choice of images has learnt; every process calls it."""
        return self.order.state_dict() if isinstance(self.order, AdaptiveDataSampler) else {}

    def _stepped(self) -> Iterator[tuple[str, nn.Parameter]]:
        """The parameters that `optimiser` moves: all but the centres."""
        for part, module in self.modules.items():
            for name, parameter in module.named_parameters() if part != "average" else ():
                if parameter is not self.head.centers.weight:
                    yield f"{part}.{name}", parameter

    def save(self, folder: Path) -> Path:
        """A checkpoint of finite weights; raises LimenError, and writes nothing, where a weight is not."""
        with self.processes.together():
            for name, tensor in [item for module in self.modules.values() for item in module.state_dict().items()]:
                if not _is_finite(tensor):
                    raise LimenError(f"{name} is no longer finite at step {self.step}; {self.remedy(folder)}")
        values = {
            "recipe": _plain(self.recipe),
            "data_sha256": self.data_sha256,
            "seconds": self.seconds,
            "unreadable": list(self.unreadable.items()),
            "sampling": {name: value for name, value in self._sampling().items() if not isinstance(value, Tensor)},
        }
        return save_checkpoint(self.processes, folder, self.step, self.tensors(), values, self.source.class_names)

    def _restore_order(self, path: Path) -> None:
        """The order of images after the checkpoint's steps. Raises LimenError where the checkpoint belongs to another run."""
        verify(self.processes, path)
        self._saved = values = read_values(path)
        differing = _differences(values["recipe"], _plain(self.recipe))
        if differing:
            raise LimenError(f"{path}: the run had {', '.join(differing)}; use its settings, or start afresh in another --out")
        if values["data_sha256"] != self.data_sha256:
            raise LimenError(
                f"{path}: the run had other people or images in {self.recipe.data.path}; use its data, or start afresh in another --out"
            )
        self.order.start_step = values["step"]
        if isinstance(self.order, AdaptiveDataSampler):
            self.order.load_state_dict(values["sampling"] | read_tensors(path, "sampling."))

    def restore(self) -> None:
        """Goes on where the checkpoint stands, if there is one. Raises LimenError where it is damaged."""
        if self.checkpoint is None:
            return
        with self.processes.together():
            saved = read_shapes(self.checkpoint)
            for name, parameter in self._stepped():
                if f"momentum.{name}" in saved:
                    self.optimiser.state[parameter]["momentum_buffer"] = torch.zeros_like(parameter)
        load_into(self.processes, self.checkpoint, self.tensors())
        values = self._saved
        self.step, self.seconds, self.unreadable = values["step"], values["seconds"], dict(values["unreadable"])

    def remedy(self, folder: Path) -> str:
        """What to do about a run that diverged."""
        good = checkpoints(folder)
        last = f"the last good checkpoint is {good[-1]}" if good else "there is no checkpoint yet"
        return f"{last}; start again with a lower optimiser.lr, warm-up or optimiser.clip_norm"

    def bundle(self) -> Bundle:
        """The model as it stands: the moving average of the weights where there is one."""
        weights: Any = self.averaged if self.average is None else self.average.module
        config = self.recipe.backbone
        return Bundle(
            architecture=Architecture(config.name, config.embedding_size, config.options),
            tensors={name: tensor.detach().cpu().clone() for name, tensor in weights.state_dict().items()},
            recipe=_plain(self.recipe),
            training={
                "steps": self.step,
                "images": len(self.source),
                "classes": len(self.source.class_names),
                "unreadable_images": len(self.unreadable),
                "hours": round(self.seconds / 3600, 4),
                "device": str(self.device.type),
                "processes": self.processes.world_size,
                "limen": version("limen"),
                "finished": time.strftime("%Y-%m-%d"),
            },
            licence=self.recipe.licence,
            class_names_sha256=self.classes_sha256,
        )


def _with_training_margin(recipe: Recipe, checkpoint: Path | None) -> Recipe:
    """`recipe` with all options of its margin that training chooses; what it chooses today is not what an older run began with."""
    options = training_options(recipe.margin.name, recipe.margin.options)
    if checkpoint is not None:
        began_with = read_values(checkpoint)["recipe"]["margin"]["options"]
        options = {key: value for key, value in options.items() if key in began_with or key in recipe.margin.options}
    return dataclasses.replace(recipe, margin=dataclasses.replace(recipe.margin, options=options))


def _create_order(run: Run) -> BatchOrder:
    recipe, processes = run.recipe, run.processes
    given = (len(run.source), recipe.batch_size, recipe.seed, run.total_steps, 0, processes.rank, processes.world_size)
    if recipe.data.sampling.name == "shuffled":
        return BatchOrder(*given)
    group = default_group()
    build = partial(AdaptiveDataSampler, *given, None if group is None else group.gather)
    return call("data.sampling adaptive", build, recipe.data.sampling.options)


def sampler_of(recipe: Recipe, total_steps: int) -> ClassSampler | None:
    """The class sampler of a recipe, told the seed and the length of the run where it asks for them; None for all classes."""
    sampler = recipe.head.sampler
    if sampler.name == "all":
        return None
    takes = inspect.signature(find("head.sampler.name", sampler.name, SAMPLERS, ClassSampler)).parameters
    own = {"seed": recipe.seed, "total_steps": total_steps}
    return create_sampler(sampler.name, **{name: value for name, value in own.items() if name in takes} | sampler.options)


def _is_finite(tensor: Tensor) -> bool:
    """Whether all values are; in blocks, for the centres may be most of the memory."""
    return all(bool(block.isfinite().all()) for block in tensor.split(8192)) if tensor.ndim else bool(tensor.isfinite())


def _check_labels(source: FaceSource) -> None:
    """Raises LimenError for a label without a class, which an accelerator would answer by ending the process, and for a single class."""
    classes = len(source.class_names)
    if classes < 2:
        raise LimenError(f"{source.locate(0)}: there are no two people to tell apart; data.path has to hold a folder for each")
    outside = np.flatnonzero((source.labels < 0) | (source.labels >= classes))
    if len(outside):
        where, label = source.locate(int(outside[0])), source.labels[outside[0]]
        raise LimenError(f"{where}: label {label} is outside [0, {classes}), as are {len(outside) - 1} others; number the people from 0")


def _plain(recipe: Recipe) -> dict[str, Any]:
    """The recipe as JSON reads it back."""
    return json.loads(json.dumps(dataclasses.asdict(recipe)))


def _differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """The settings that decide the weights and are not the same, each as "key old, not new"; one that is not there has its default."""
    defaults = _settings(dataclasses.asdict(Recipe()))
    mined = isinstance(new["head"]["sampler"]["options"].get("threshold"), list)
    whole = new["optimiser"]["schedule"] == "cosine" or mined  # a schedule that ends with the last epoch
    free = FREE_KEYS - {"epochs"} if whole else FREE_KEYS
    had, have = (
        {
            key: json.dumps(value)
            for key, value in (defaults | _settings(recipe)).items()
            if key.split(".")[0] not in free and key not in FREE_DATA_KEYS
        }
        for recipe in (old, new)
    )
    return [
        f"{key} {had.get(key, 'unset')}, not {have.get(key, 'unset')}"
        for key in sorted(had.keys() | have.keys())
        if had.get(key) != have.get(key)
    ]


def _settings(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """The settings of a recipe by their dotted keys."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _settings(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat
