"""What a class sampler is, and the draws that samplers share."""

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from limen.heads.centers import ClassCenters
from limen.parts import Part, Surroundings

FLOAT, LONG = 4, 8  # bytes


class Shares(NamedTuple):
    """What decides the memory and the traffic of a sampler on one of `ranks` ranks."""

    classes: int  # of all ranks
    held: int  # of this rank
    active: int  # of those, how many take part in a step
    ranks: int
    batch: int  # samples of all ranks
    size: int  # of an embedding
    all_kept: bool  # whether the logits of all active classes stay for the backward pass

    def summed(self, count: int) -> int:
        """Bytes that a rank sends for the sum over ranks of `count` bytes, by ring."""
        return 2 * (self.ranks - 1) * count // self.ranks


class ClassSampler(nn.Module, Part):
    """Chooses rows of a shard's centres for one step. Its buffers are its whole state: a resumed run chooses what an unbroken one would."""

    hardest = 0  # how many best-scoring negatives of each sample `observe` is to be told; 0: `observe` is not called
    per_class: tuple[str, ...] = ()  # the buffers with one row for each class of the shard
    capturable = False  # whether a CUDA graph may play its choice again: no host takes part in it
    share: float | None = None  # of a shard's classes, those it chooses; None where it is not known before a run

    step: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.counts: dict[str, int | Tensor] = {}
        """What the last step chose in this shard, for the log: the numbers of the batch's own classes and of all that took part. They may
        be on the device, which waits for none of them before the log asks."""
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def _apply(self, *arguments: Any, **options: Any) -> "ClassSampler":
        """The number of steps stays on the host, wherever the rest goes: a step asks for it."""
        super()._apply(*arguments, **options)
        self.step = self.step.cpu()
        return self

    @property
    def steps_begun(self) -> int:
        return int(self.step)

    def begin_step(self) -> int:
        """The number of the step that begins."""
        self.step += 1
        return self.steps_begun - 1

    def prepare(self, centers: ClassCenters) -> None:
        """Called once, before any step and before a state is loaded: makes the buffers that are as long as the shard."""

    def select(self, labels: Tensor, centers: ClassCenters) -> Tensor:
        """(A,) int64, ascending: the rows of this shard's centres that take part. They hold every class of `labels`, the (B,) classes
        of the global batch, that the shard owns."""
        raise NotImplementedError

    def observe(self, labels: Tensor, target_cosine: Tensor, hardest_cosine: Tensor, hardest_class: Tensor, centers: ClassCenters) -> None:
        """Told after the forward pass what it scored: (B,), (B,) and for each sample its (B, hardest) best negatives, best first, with
        their classes counted over all shards; cosine -inf and class -1 where there are fewer."""

    def memory(self, shares: Shares) -> dict[str, int]:
        """Bytes of each of its arrays on a rank, by name, for `limen plan`."""
        return {"choice of the active classes": 3 * LONG * shares.held + 2 * LONG * shares.active}

    def traffic(self, shares: Shares) -> dict[str, int]:
        """Bytes that a rank sends for it in a step, by name, for `limen plan`."""
        return {}

    untimed = ""  # what the seconds of a plan leave out, as a sentence

    def log_values(self, around: Surroundings) -> dict[str, Any]:
        return {name: int(count) for name, count in self.counts.items()}

    def announce(self, step: int, around: Surroundings) -> list[str]:
        if step == 1 and self.share is not None and 0 < len(around.class_sizes) * self.share <= int(self.counts.get("own_classes", 0)):
            return ["head.sampler chooses none: the batch's own classes fill its share; raise the share, or lower batch_size"]
        return []


def check_share(name: str, value: float) -> float:
    if not 0 < value <= 1:
        raise ValueError(f"{name}={value!r} is not a share of the classes: above 0, at most 1")
    return value


def subset_size(share: float, centers: ClassCenters, batch: int) -> int:
    """ceil(share * C) of a shard with C classes, but room for `batch` of them where there are so many: each sample may bring its own."""
    total = len(centers.weight)
    return max(math.ceil(round(share * total, 6)), min(batch, total))  # a rounding error does not count as one more


def step_generator(tag: int, seed: int, step: int, centers: ClassCenters) -> torch.Generator:
    """A generator of this rank and step alone, on the device of the centres; `tag` tells one use of a seed from another."""
    rank = 0 if centers.group is None else centers.group.rank
    state = np.random.SeedSequence((tag, seed, rank, step)).generate_state(2)
    return torch.Generator(centers.weight.device).manual_seed(int(state[0]) << 31 | int(state[1]) >> 1)


OWN, DRAWN = -1, 1 << 32  # keys of a batch's own classes, and the least of those drawn; whoever asks for others gives keys from 0 on


def random_keys(labels: Tensor, centers: ClassCenters, generator: torch.Generator) -> Tensor:
    """(C + 1,) int64: OWN for the rows of this shard's centres that the labels name, a random number from DRAWN on for all others. The last
    place is for the classes of other shards."""
    total = len(centers.weight)
    keys = torch.randint(DRAWN, 1 << 62, (total + 1,), generator=generator, device=labels.device)
    rows = centers.rows_of(labels)
    keys[torch.where(rows >= 0, rows, total)] = OWN
    return keys


def smallest(keys: Tensor, size: int) -> Tensor:
    """(size,) int64, ascending: the rows with the smallest of `random_keys`. All sets of classes that were drawn are equally likely; no
    value is asked for, so nothing waits for the device."""
    return keys[:-1].topk(size, largest=False, sorted=False).indices.sort().values
