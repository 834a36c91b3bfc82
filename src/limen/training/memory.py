"""What the head of a recipe takes, and what to say where its memory ran out."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from limen.heads.footprint import HeadSetup
from limen.heads.samplers import ClassSampler
from limen.margins import create_margin
from limen.training.recipe import Recipe

USABLE = 0.95  # of a GPU's memory: its context and the allocator's rests take the others


def head_setup(recipe: Recipe, classes: int, ranks: int, sampler: ClassSampler | None, center_bytes: int, device_type: str) -> HeadSetup:
    margin = create_margin(recipe.margin.name, 2, **recipe.margin.options)
    return HeadSetup(
        classes,
        ranks,
        recipe.batch_size,
        recipe.backbone.embedding_size,
        center_bytes,
        recipe.optimiser.momentum > 0,
        sum(getattr(margin, name).numel() for name in margin.per_class) // 2,
        margin.gate is not None,
        sampler,
        recipe.head.implementation,
        device_type,
        recipe.head.precision,
    )


def largest(fits: Callable[[int], bool]) -> int:
    """The largest number of classes from 2 on that `fits`, which it does up to some number; 2 has to."""
    low, high = 2, 4
    while fits(high):
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


@contextmanager
def running_out(
    recipe: Recipe, classes: int, ranks: int, sampler: ClassSampler | None, center_bytes: int, device: torch.device
) -> Iterator[None]:
    """A GPU whose memory runs out within the block: raises MemoryError that says how many classes would fit beside all that is no head."""
    try:
        yield
    except torch.OutOfMemoryError as error:
        known = device_memory(device)
        if known is None:
            raise
        total, taken = known

        def needs(count: int) -> int:
            return sum(head_setup(recipe, count, ranks, sampler, center_bytes, device.type).memory().values())

        beside = max(0, taken - needs(classes))
        room = USABLE * total - beside
        fit = f"about {largest(lambda count: needs(count) <= room):,} classes" if needs(2) <= room else "not even two classes"
        reason = str(error).splitlines()[0]
        raise MemoryError(
            f"{reason} for the head of {classes:,} classes: {fit} would fit beside the {beside / 2**30:.1f} GiB of all else"
        ) from error


def device_memory(device: torch.device) -> tuple[int, int] | None:
    """Bytes of a GPU in all, and of the most that tensors have taken there so far; None of a CPU."""
    if device.type != "cuda":
        return None
    return torch.cuda.get_device_properties(device).total_memory, torch.cuda.max_memory_allocated(device)
