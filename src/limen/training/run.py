"""The parts of one training run, made from its recipe."""

import dataclasses
import hashlib
import inspect
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from limen.backbones import create_backbone
from limen.data import Batch, FaceSource, create_augmentation, make_loader
from limen.data.feed import WeightedSources, create_order
from limen.data.feed.to_device import on_device
from limen.data.joint import JointSource, open_data
from limen.devices import training_device, usable_device
from limen.errors import LimenError
from limen.functional.margin_softmax.kernels import choose
from limen.heads import SAMPLERS, CenterSGD, ClassSampler, HeadOutput, MarginHead, create_sampler, default_group
from limen.lookup import find
from limen.margins import create_margin, training_options
from limen.models.name_hashes import class_names_sha256
from limen.parts import Part, Surroundings
from limen.quality import QualityHead
from limen.training.accumulation import check_parts
from limen.training.checkpoint.folder import damage
from limen.training.checkpoint.load import read_tensors, read_values, verify
from limen.training.compatibility import check_compatible
from limen.training.distributed import Processes, with_sync_batch_norm
from limen.training.graphs import check_graph
from limen.training.memory import running_out
from limen.training.optimisation import Average, create_optimiser
from limen.training.recipe import Recipe

CENTER_DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16}


class Run:
    """Source, network, head and optimisers of a recipe, as this one of `processes` has them; `step` counts the steps that are done.

    `checkpoint` is where it goes on from, with `state.restore`; what it has to say of the order of images is read at once.
    """

    def __init__(self, recipe: Recipe, processes: Processes, checkpoint: Path | None = None):
        recipe = _with_training_margin(recipe, checkpoint)
        self.recipe, self.processes, self.checkpoint = recipe, processes, checkpoint
        self.device = usable_device(training_device(recipe.device))
        torch.manual_seed(recipe.seed)
        self._open_source()
        self._create_order()
        augment, later = create_augmentation(recipe.data.augment), recipe.data.augment_on == "device"
        if later and self.device.type not in ("cpu", "cuda"):
            raise LimenError(f"data.augment_on: device is for CUDA and CPUs, and the run is on {self.device.type}; set it to workers")
        loader = make_loader(self.source, self.order, augment, recipe.seed, recipe.data.workers, later)
        # before there are centres: a reading process would hold a copy of each page that an update changes
        self.batches = on_device(iter(loader), self.device)
        self._create_networks()
        self._create_optimisers()
        sampler = self.head.sampler
        self.parts: Sequence[Part] = [part for part in (self.order, sampler, self.margin) if part is not None]
        self.around = Surroundings(
            self.source,
            np.bincount(self.source.labels, minlength=len(self.source.class_names)),
            self.head.centers.first,
            lambda mine: np.concatenate(processes.gather(mine)),
        )
        self.step = 0
        self.unreadable: dict[int, str] = {}
        self.seconds = 0.0  # of training, over all resumptions
        self.collapsed = False

    def is_due(self, every: int) -> bool:
        """Whether what is done every so many steps, and after the last, is to be done now."""
        return self.step % every == 0 or self.step == self.total_steps

    def record(self, batch: Batch, output: HeadOutput) -> None:
        """Takes note of a step that is done."""
        unreadable = [index for index, _ in batch.unreadable]
        correct, nearest = output.target_cosine > output.nearest_negative, (output.nearest_negative_index, output.nearest_negative)
        self.order.observe(batch.indices, correct, output.target_cosine, unreadable, nearest)
        self.unreadable.update(batch.unreadable)
        self.step += 1

    def _open_source(self) -> None:
        data = self.recipe.data
        self.source: FaceSource = open_data(dataclasses.asdict(data))
        _check_labels(self.source)
        self.classes_sha256 = class_names_sha256(self.source.class_names)
        labels_sha256 = hashlib.sha256(np.ascontiguousarray(self.source.labels).data).hexdigest()
        self.data_sha256 = class_names_sha256([self.classes_sha256, labels_sha256])

    def _create_order(self) -> None:
        """The order of images, after the steps of the checkpoint. Raises LimenError where the checkpoint belongs to another run."""
        recipe, processes, sampling = self.recipe, self.processes, self.recipe.data.sampling
        weighted = self.source if isinstance(self.source, JointSource) and set(self.source.weights) != {1.0} else None
        if weighted is not None and sampling.name != "shuffled":
            raise LimenError(f"data.sources: weights go with data.sampling.name shuffled, not {sampling.name}; leave one of them out")
        count = len(self.source) if weighted is None else weighted.images_per_epoch
        self.steps_per_epoch = count // recipe.batch_size
        self.total_steps = round(recipe.epochs * self.steps_per_epoch)
        check_parts(recipe.batch_size, processes.world_size, recipe.accumulate)
        group = default_group()
        given = (count, recipe.batch_size, recipe.seed, self.total_steps, 0, processes.rank, processes.world_size)
        gather = None if group is None else group.gather
        if weighted is None:
            self.order = create_order(sampling.name, sampling.options, *given, gather)
        else:
            self.order = WeightedSources(*given, gather, bounds=weighted.bounds, weights=weighted.weights)
        if not self.total_steps:
            raise LimenError(f"epochs: {recipe.epochs} of {self.steps_per_epoch} steps each is no step at all; raise it")
        self.saved: dict[str, Any] = {}
        if self.checkpoint is not None:
            verify(processes, self.checkpoint)
            self.saved = read_values(self.checkpoint)
            with damage(self.checkpoint):
                check_compatible(self.checkpoint, self.saved, recipe, self.data_sha256)
                learnt = self.saved["sampling"] | read_tensors(self.checkpoint, "sampling.")
                self.order.load_state_dict({"step": self.saved["step"]} | learnt)

    def _create_networks(self) -> None:
        recipe, network, classes = self.recipe, self.recipe.backbone, len(self.source.class_names)
        backbone = create_backbone(network.name, network.embedding_size, **network.options)
        if network.sync_batch_norm:
            backbone = with_sync_batch_norm(backbone, self.processes, self.device)
        self.backbone: nn.Module = backbone.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.frozen = "backbone" in recipe.freeze
        self.backbone.requires_grad_(not self.frozen)
        self.margin = create_margin(recipe.margin.name, classes, **recipe.margin.options)
        try:
            choose(self.device, recipe.head.precision, network.embedding_size)
        except ValueError as error:
            raise LimenError(f"head.precision: {error}") from error
        sampler, dtype = sampler_of(recipe, self.total_steps), CENTER_DTYPES[recipe.head.dtype]
        self.memory = partial(running_out, recipe, classes, self.processes.world_size, sampler, dtype.itemsize, self.device)
        head = MarginHead(
            classes,
            network.embedding_size,
            self.margin,
            recipe.head.scale,
            sampler,
            recipe.head.implementation,
            default_group(),
            dtype,
            recipe.head.precision,
        )
        with self.memory():
            self.head = head.to(self.device)
        check_graph(recipe.graph, self.device, self.head.sampler, self.processes.world_size, recipe.accumulate)
        # drawn last, so that all else begins as it would without
        self.quality = QualityHead(network.embedding_size).to(self.device) if recipe.quality.weight is not None else None

    def _create_optimisers(self) -> None:
        config = self.recipe.optimiser
        self.optimiser = create_optimiser(self.backbone, self.head, config, self.quality, self.recipe.quality.lr)
        decay = config.weight_decay if config.center_weight_decay is None else config.center_weight_decay
        self.center_lr = config.lr if config.center_lr is None else config.center_lr
        self.rate = torch.zeros((), device=self.device)  # of learning, of the centres
        if self.recipe.graph == "step":  # which reads the optimiser's rates where they were when it was recorded
            for group in self.optimiser.param_groups:
                group["lr"] = torch.zeros((), device=self.device)
        with self.memory():
            self.center_optimiser = CenterSGD(self.head.centers, config.momentum, decay)
        # of what the bundle holds: a quality head fits the features of the network it was trained on
        self.averaged = nn.ModuleDict({"backbone": self.backbone} | ({"quality": self.quality} if self.quality is not None else {}))
        self.averaging = None if config.ema is None else Average(config.ema)
        self.average = None if self.averaging is None else AveragedModel(self.averaged, multi_avg_fn=self.averaging, use_buffers=True)


def _with_training_margin(recipe: Recipe, checkpoint: Path | None) -> Recipe:
    """`recipe` with all options of its margin that training chooses; what it chooses today is not what an older run began with."""
    begun = None
    if checkpoint is not None:
        with damage(checkpoint):
            begun = dict(read_values(checkpoint)["recipe"]["margin"]["options"])
    options = training_options(recipe.margin.name, recipe.margin.options, begun)
    return dataclasses.replace(recipe, margin=dataclasses.replace(recipe.margin, options=options))


def sampler_of(recipe: Recipe, total_steps: int) -> ClassSampler | None:
    """The class sampler of a recipe, told the seed and the length of the run where it asks for them; None for all classes."""
    sampler = recipe.head.sampler
    if sampler.name == "all":
        return None
    takes = inspect.signature(find("head.sampler.name", sampler.name, SAMPLERS, ClassSampler)).parameters
    own = {"seed": recipe.seed, "total_steps": total_steps}
    return create_sampler(sampler.name, **{name: value for name, value in own.items() if name in takes} | sampler.options)


def _check_labels(source: FaceSource) -> None:
    """Raises LimenError for a label without a class, which an accelerator would answer by ending the process, and for a single class."""
    classes = len(source.class_names)
    if classes < 2:
        raise LimenError(f"{source.locate(0)}: there are no two people to tell apart; data.path has to hold a folder for each")
    outside = np.flatnonzero((source.labels < 0) | (source.labels >= classes))
    if len(outside):
        where, label = source.locate(int(outside[0])), source.labels[outside[0]]
        raise LimenError(f"{where}: label {label} is outside [0, {classes}), as are {len(outside) - 1} others; number the people from 0")
