"""What a training run will need: memory of each rank, bytes that travel, and the head's share of a step's time.

Memory and traffic are arithmetic over the arrays that the code makes, and hold for any machine. Time is scaled from constants measured on
one machine: the head's grows with classes x samples, the backbone's with images.
"""

import dataclasses
import math
from dataclasses import dataclass

import torch

from limen.errors import LimenError
from limen.functional.margin_softmax.blocks import block_size, kept_classes, strip_size
from limen.heads.centers import DRAWN_TOGETHER
from limen.heads.samplers import ClassSampler
from limen.heads.samplers.base import FLOAT, LONG, Shares
from limen.margins import create_margin
from limen.training.recipe import Recipe


@dataclass(frozen=True)
class Footprint:
    """Bytes of a backbone, as `limen.planning.constants` counts them."""

    weights: int
    buffers: int
    saved_per_image: int  # for the backward pass
    saved_besides: int  # whatever the number of images
    largest_per_image: int  # the largest of those saved


@dataclass(frozen=True)
class Setup:
    """What decides a plan. Per rank: `held` classes of the C in all, of which `active` take part in a step, and `images` of the batch."""

    classes: int
    ranks: int
    batch: int
    size: int
    center_bytes: int  # of one value
    momentum: bool
    margins_per_class: int
    gated: bool
    sampler: ClassSampler | None
    implementation: str
    average: bool
    device_type: str

    @classmethod
    def of(cls, recipe: Recipe, classes: int, ranks: int, sampler: ClassSampler | None, dtype: torch.dtype, device_type: str) -> "Setup":
        """Of a recipe. Raises LimenError for numbers that make no run."""
        if classes < 2:
            raise LimenError(f"--classes: {classes} is no task; at least 2 people are to be told apart")
        if ranks < 1:
            raise LimenError(f"--gpus: {ranks} is not a number of ranks; give at least 1")
        if recipe.batch_size % ranks:
            raise LimenError(f"batch_size: {recipe.batch_size} images do not divide among {ranks} GPUs; give a multiple of {ranks}")
        if recipe.batch_size < 2 * ranks:
            raise LimenError(f"batch_size: {recipe.batch_size} leaves {ranks} GPUs one image each; BatchNorm needs two")
        if sampler is not None:
            _share(sampler)
        margin = create_margin(recipe.margin.name, 2, **recipe.margin.options)
        return cls(
            classes,
            ranks,
            recipe.batch_size,
            recipe.backbone.embedding_size,
            dtype.itemsize,
            recipe.optimiser.momentum > 0,
            sum(getattr(margin, name).numel() for name in margin.per_class) // 2,
            margin.gate is not None,
            sampler,
            recipe.head.implementation,
            recipe.optimiser.ema is not None,
            device_type,
        )

    @property
    def held(self) -> int:
        return -(-self.classes // self.ranks)

    @property
    def images(self) -> int:
        return self.batch // self.ranks

    @property
    def active(self) -> int:
        """At most: a batch of more classes than the sampler's share brings its own."""
        return self.held if self.sampler is None else max(math.ceil(round(_share(self.sampler) * self.held, 6)), min(self.batch, self.held))

    @property
    def shares(self) -> Shares:
        return Shares(self.classes, self.held, self.active, self.ranks, self.batch, self.size, self.kept == self.active)

    @property
    def kept(self) -> int:
        """Classes whose exponentials stay for the backward pass."""
        return kept_classes(self.implementation, self.active, self.batch, FLOAT, self.device_type)

    @property
    def block(self) -> int:
        """Classes that are worked on together."""
        return min(block_size(self.batch, FLOAT, self.device_type), self.active)

    @property
    def strip(self) -> int:
        """Classes of a block whose gradient is finished together."""
        return strip_size(self.size, FLOAT, self.device_type, self.block)


def _share(sampler: ClassSampler) -> float:
    """Of the classes of a shard, those that the sampler chooses."""
    if sampler.share is None:
        raise LimenError(f"--sampler: how many classes {type(sampler).__name__} chooses is not known; plan with PartialFC of that rate")
    return sampler.share


def head_memory(setup: Setup) -> dict[str, int]:
    """Bytes of the head's arrays on the rank that holds most classes, at the height of a step; what is 0 is left out."""
    held, active, batch, size, block = setup.held, setup.active, setup.batch, setup.size, setup.block
    centers = held * size * setup.center_bytes
    in_place = setup.sampler is None and setup.center_bytes == FLOAT
    hardest = 0 if setup.sampler is None else setup.sampler.hardest
    rows = (0 if in_place else block) + setup.strip * (2 if in_place else 3)  # values; gradient, its product with them, and momenta
    if setup.center_bytes < FLOAT:
        rows += 2 * setup.strip  # stochastic rounding: the noise, and its exclusive-or with that of the rows
    logits = (setup.kept < active or hardest > 0) + 4 * setup.gated  # (batch, block): what is not kept, and what the gate makes
    items = {
        "class centres": centers,
        "momentum of the centres": centers * setup.momentum,
        # value, momentum, gradient, and the two parts whose sum that is
        "class margins": setup.margins_per_class * held * FLOAT * (4 + setup.momentum),
        "kept exponentials": setup.kept * batch * FLOAT,
        "blocks of classes": (logits * batch * block + rows * size) * FLOAT,
        "norms of the active centres": active * FLOAT,
        # two blocks at the start, on the CPU, whose allocator keeps them
        "draws of the centres": 2 * min(DRAWN_TOGETHER, held) * size * FLOAT * (setup.device_type == "cpu"),
        "embeddings and their gradient": 9 * batch * size * FLOAT,  # raw, of length one, scaled; own centres; the sums that go back
    }
    items |= {} if setup.sampler is None else setup.sampler.memory(setup.shares)
    return {name: size for name, size in items.items() if size}


def backbone_memory(setup: Setup, backbone: Footprint) -> dict[str, int]:
    """Bytes of the backbone's arrays on a rank, at the height of a step."""
    items = {
        "backbone and its gradient": 2 * backbone.weights + backbone.buffers,
        "momentum of the backbone": backbone.weights * setup.momentum,
        "moving average of the backbone": (backbone.weights + backbone.buffers) * setup.average,
        "buckets of DistributedDataParallel": backbone.weights * (setup.ranks > 1),
        "activations for the backward pass": setup.images * backbone.saved_per_image + backbone.saved_besides,
        "gradients of activations": 3 * setup.images * backbone.largest_per_image,  # coming in, going out, and one of a shortcut
    }
    return {name: size for name, size in items.items() if size}


def traffic(setup: Setup, backbone: Footprint) -> dict[str, int]:
    """Bytes that a rank sends in a step, by ring: (K-1) n for gathering n from each, 2 (K-1)/K n for the sum of n."""
    others = setup.ranks - 1
    if not others:
        return {}
    batch, images, size = setup.batch, setup.images, setup.size

    summed = setup.shares.summed
    back = others * images * size * FLOAT
    vectors = others * (images * (FLOAT + LONG) + batch * (2 * FLOAT + LONG)) + summed(2 * batch * FLOAT)
    if setup.margins_per_class:
        vectors += summed(3 * batch * FLOAT + FLOAT)  # the margined cosines, the gradients of cosine and norm, the regulariser
    items = {
        "embeddings": back,
        # gloo's reduce-scatter sends the whole sum to every rank
        "gradient of the embeddings": summed(batch * size * FLOAT) if setup.device_type == "cpu" else back,
        "vectors of the batch": vectors,
        "gradient of the backbone": summed(backbone.weights) + backbone.buffers,
    }
    items |= {} if setup.sampler is None else setup.sampler.traffic(setup.shares)
    return items


def most_classes(setup: Setup, backbone: Footprint, limit: float) -> int:
    """The largest number of classes whose plan needs at most `limit` bytes a rank. Raises LimenError where two are too many."""

    def needs(classes: int) -> int:
        chosen = dataclasses.replace(setup, classes=classes)
        return sum(head_memory(chosen).values()) + sum(backbone_memory(chosen, backbone).values())

    if needs(2) > limit:
        raise LimenError(
            f"--memory: {limit / 2**30:g} GiB hold no two classes, the backbone and batch need {needs(2) / 2**30:.2f} GiB; lower batch_size"
        )
    low, high = 2, 4
    while needs(high) <= limit:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if needs(middle) <= limit else (low, middle)
    return low
