"""What a training run will need: memory of each rank, bytes that travel, and the head's share of a step's time.

Memory and traffic are arithmetic over the arrays that the code makes, and hold for any machine. Time is scaled from constants measured on
one machine: the head's grows with classes x samples, the backbone's with images.
"""

import dataclasses
from dataclasses import dataclass

import torch

from limen.errors import LimenError
from limen.heads.footprint import HeadSetup
from limen.heads.samplers import ClassSampler
from limen.training.accumulation import check_parts
from limen.training.memory import head_setup, largest
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
class Setup(HeadSetup):
    """What decides a plan."""

    average: bool = False  # whether a moving average of the weights is kept
    states: int = 1  # numbers that the optimiser keeps for each weight of the backbone
    accumulate: int = 1  # parts in which the backbone computes its share of a batch

    @classmethod
    def of(cls, recipe: Recipe, classes: int, ranks: int, sampler: ClassSampler | None, dtype: torch.dtype, device_type: str) -> "Setup":
        """Of a recipe. Raises LimenError for numbers that make no run."""
        if classes < 2:
            raise LimenError(f"--classes: {classes} is too few; give 2 or more")
        if ranks < 1:
            raise LimenError(f"--gpus: {ranks} is not a number of ranks; give at least 1")
        if recipe.batch_size % ranks:
            raise LimenError(f"batch_size: {recipe.batch_size} images do not divide among {ranks} GPUs; give a multiple of {ranks}")
        if recipe.batch_size < 2 * ranks:
            raise LimenError(f"batch_size: {recipe.batch_size} leaves {ranks} GPUs one image each; BatchNorm needs two")
        check_parts(recipe.batch_size, ranks, recipe.accumulate)
        head = head_setup(recipe, classes, ranks, sampler, dtype.itemsize, device_type)
        states = 2 if recipe.optimiser.name == "AdamW" else int(recipe.optimiser.momentum > 0)
        return cls(**vars(head), average=recipe.optimiser.ema is not None, states=states, accumulate=recipe.accumulate)


def backbone_memory(setup: Setup, backbone: Footprint) -> dict[str, int]:
    """Bytes of the backbone's arrays on a rank, at the height of a step."""
    images = setup.images // setup.accumulate
    items = {
        "backbone and its gradient": 2 * backbone.weights + backbone.buffers,
        "momentum of the backbone": backbone.weights * setup.states,
        "moving average of the backbone": (backbone.weights + backbone.buffers) * setup.average,
        "buckets of DistributedDataParallel": backbone.weights * (setup.ranks > 1),
        "activations for the backward pass": images * backbone.saved_per_image + backbone.saved_besides,
        "gradients of activations": 3 * images * backbone.largest_per_image,  # coming in, going out, and one of a shortcut
    }
    return {name: size for name, size in items.items() if size}


def traffic(setup: Setup, backbone: Footprint) -> dict[str, int]:
    """Bytes that a rank sends in a step, by ring."""
    if setup.ranks == 1:
        return {}
    return setup.traffic() | {"gradient of the backbone": setup.shares.summed(backbone.weights) + backbone.buffers}


def most_classes(setup: Setup, backbone: Footprint, limit: float) -> int:
    """The largest number of classes whose plan needs at most `limit` bytes a rank. Raises LimenError where two are too many."""

    def needs(classes: int) -> int:
        chosen = dataclasses.replace(setup, classes=classes)
        return sum(chosen.memory().values()) + sum(backbone_memory(chosen, backbone).values())

    if needs(2) > limit:
        raise LimenError(
            f"--memory: {limit / 2**30:g} GiB hold no two classes, the backbone and batch need {needs(2) / 2**30:.2f} GiB; lower batch_size"
        )
    return largest(lambda classes: needs(classes) <= limit)
