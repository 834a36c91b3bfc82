"""Hard Prototype Mining (Liu et al., AdaptiveFace, CVPR 2019): the classes most easily mistaken for those of the batch."""

import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from limen.functional.margin_softmax.blocks import GROUP
from limen.heads.centers import ClassCenters
from limen.heads.samplers.base import (
    DRAWN,
    FLOAT,
    LONG,
    OWN,
    ClassSampler,
    Shares,
    check_share,
    random_keys,
    smallest,
    step_generator,
    subset_size,
)
from limen.heads.samplers.prototype_graph import centers_at, graph_bytes, most_similar_classes, unit_centers_of_all_shards
from limen.parts import Surroundings

PAIRS, PAIRS_ELSEWHERE = 1024, 65536  # similarities computed at a time: on a CPU their vectors stay in the cache


class HardPrototypeMining(ClassSampler):
    """The classes of the batch, then the members of their dominant queues, then random others up to a fixed size.

    The dominant queue of a class holds the classes most like it, best first. All queues are one array, `queues` (C_shard, queue) int32 of
    classes counted over all shards, -1 where there are fewer. Every `rebuild_every` steps a graph over all centres fills them anew. After
    a forward pass, for each sample whose best score is not its own class y, every class that scored above cos_y goes to the front of
    the queue of y, best first, and members of that queue whose similarity to y does not exceed the threshold h are popped; raising h
    makes the task harder.

    Ours, where the paper leaves it open: queues are capped, subsets have a fixed size, and if the queues hold more than fits, all first
    members come before all second ones.

    Args:
        queue: members a queue has room for.
        threshold: h, a cosine; or (start, end), raised linearly over `total_steps`.
        subset: share of each shard's classes that takes part; only a batch that has more classes itself exceeds it.
        rebuild_every: steps from graph to graph; the first is built at step 0. At a million classes a graph takes as long as about 700
            steps of the head over a tenth of them: 10,000 steps keep it below a tenth of the training time.
        exact_below: the graph is exact for up to so many classes, approximate above (`limen.heads.samplers.prototype_graph`).
        seed: of the random others and of the approximate graph.

    `rebuild_seconds` is the time spent on graphs so far in this process.

    >>> from limen.heads import HardPrototypeMining, MarginHead
    >>> from limen.margins import ArcFace
    >>> head = MarginHead(100, 16, ArcFace(), sampler=HardPrototypeMining(queue=8, subset=0.2))
    >>> head.sampler.queues.shape
    torch.Size([100, 8])
    """

    per_class = ("queues",)
    queues: Tensor

    def __init__(
        self,
        queue: int = 64,
        threshold: float | Sequence[float] = 0.0,
        total_steps: int | None = None,
        subset: float = 0.1,
        rebuild_every: int = 10_000,
        exact_below: int = 200_000,
        seed: int = 0,
    ):
        super().__init__()
        for name, count in (("queue", queue), ("rebuild_every", rebuild_every)):
            if count < 1:
                raise ValueError(f"{name}={count!r} is not a number of at least 1")
        limits = (threshold, threshold) if isinstance(threshold, int | float) else tuple(threshold)
        if len(limits) != 2 or not all(-1 <= limit <= 1 for limit in limits):
            raise ValueError(f"threshold={threshold!r} is neither a cosine in [-1, 1] nor a pair of them, start and end")
        if limits[0] > limits[1]:
            raise ValueError(f"threshold={threshold!r} would fall; it is raised from start to end")
        if limits[0] != limits[1] and (total_steps is None or total_steps < 1):
            raise ValueError(f"total_steps={total_steps!r}: a threshold that is raised needs the number of steps it is raised over")
        self.threshold, self.total_steps = limits, total_steps
        self.queue, self.seed = queue, seed
        self.subset = self.share = check_share("subset", subset)
        self.rebuild_every, self.exact_below = rebuild_every, exact_below
        self.hardest = queue
        self.rebuild_seconds, self._began = 0.0, 0.0
        self.register_buffer("queues", torch.empty(0, queue, dtype=torch.int32))

    def prepare(self, centers: ClassCenters) -> None:
        self.queues = torch.full((len(centers.weight), self.queue), -1, dtype=torch.int32, device=centers.weight.device)

    def current_threshold(self) -> float:
        """h after the steps begun so far."""
        start, end = self.threshold
        return end if self.total_steps is None else start + (end - start) * min(self.steps_begun / self.total_steps, 1.0)

    def log_values(self, around: Surroundings) -> dict[str, Any]:
        """`rebuild_share`: of the seconds since its first step in this process, those spent on graphs."""
        seconds = time.perf_counter() - self._began
        return super().log_values(around) | {"threshold": self.current_threshold(), "rebuild_share": self.rebuild_seconds / seconds}

    def announce(self, step: int, around: Surroundings) -> list[str]:
        classes = len(around.people.class_names)
        graph = [f"step {step + 1}: building the graph of {classes:,} classes for Hard Prototype Mining"]
        return super().announce(step, around) + (graph if step % self.rebuild_every == 0 else [])

    @torch.no_grad()
    def select(self, labels: Tensor, centers: ClassCenters) -> Tensor:
        if not self._began:
            self._began = time.perf_counter()
        if self.steps_begun % self.rebuild_every == 0:
            self._rebuild(centers)
        keys = random_keys(labels, centers, step_generator(2, self.seed, self.begin_step(), centers))
        members = centers.rows_of(self._queues_of(labels, centers).T.flatten())  # all first members, all second ones, ...
        place = torch.arange(len(members), device=members.device)
        keys.scatter_reduce_(0, torch.where(members >= 0, members, len(keys) - 1), place, "amin")
        size = subset_size(self.subset, centers, len(labels))
        own, mined = (keys[:-1] == OWN).sum(), ((keys[:-1] > OWN) & (keys[:-1] < DRAWN)).sum()
        self.counts = {"own_classes": own, "mined_classes": mined.clamp_max(size - own), "active_classes": size}
        return smallest(keys, size)

    @torch.no_grad()
    def observe(self, labels: Tensor, target_cosine: Tensor, hardest_cosine: Tensor, hardest_class: Tensor, centers: ClassCenters) -> None:
        """Every sample's pushes and its class's queue are one list of (owner, member) pairs of a length that no value decides: what does
        not count has the owner B, which is no sample."""
        batch = len(labels)
        samples = torch.arange(batch, device=labels.device)
        owner_of = torch.where(labels == labels[:, None], samples, batch).amin(1)  # the first sample of its class stands for the class
        harder = (hardest_cosine > target_cosine[:, None]) & (hardest_class >= 0)  # none of a sample whose best score is its own class
        pushed = torch.where(harder, hardest_cosine, -torch.inf).flatten().argsort(descending=True, stable=True)  # best first
        pushed_to = torch.where(harder, owner_of[:, None], batch).flatten()[pushed]
        queues = self._queues_of(labels, centers)
        changes = torch.zeros(batch + 1, dtype=torch.bool, device=labels.device).index_fill(0, pushed_to, True)[:-1]  # whose queue is
        queued_at = torch.where((queues >= 0) & (changes & (owner_of == samples))[:, None], samples[:, None], batch)
        owner, member = torch.cat([pushed_to, queued_at.flatten()]), torch.cat([hardest_class.flatten()[pushed], queues.flatten()])
        keep = (owner < batch) & first_seen(owner * centers.num_classes + member)
        keep &= _similarity(labels, owner.clamp_max(batch - 1), member, centers) > self.current_threshold()
        owner, order = torch.where(keep, owner, batch).sort(stable=True)
        member = member[order]
        length = torch.zeros(batch + 1, dtype=torch.int64, device=labels.device).scatter_add_(0, owner, torch.ones_like(owner))
        place = torch.arange(len(owner), device=owner.device) - (length.cumsum(0) - length)[owner]
        whole = torch.full(
            (batch + 1, self.queue + 1), -1, dtype=torch.int64, device=labels.device
        )  # the last of either: what does not fit
        whole[owner, torch.where(owner < batch, place.clamp_max(self.queue), self.queue)] = member
        self._put(centers.rows_of(labels), torch.where(changes[owner_of][:, None], whole[owner_of, :-1], queues))

    def memory(self, shares: Shares) -> dict[str, int]:
        best = 2 * shares.batch * -(-shares.active // GROUP) * FLOAT + shares.batch * self.hardest * (FLOAT + LONG)
        compared = 0 if shares.all_kept else 16 * self.hardest * GROUP * shares.size * FLOAT  # centres of 16 samples' best groups
        return super().memory(shares) | {
            "dominant queues": shares.held * self.queue * FLOAT,
            "graph that rebuilds the queues": graph_bytes(shares.classes, shares.held, shares.size, self.queue, self.exact_below),
            "best negatives": best + compared,
        }

    def traffic(self, shares: Shares) -> dict[str, int]:
        asked = shares.summed(shares.batch * self.queue * LONG)  # the queues of the batch
        pushed = shares.summed(shares.batch * (self.queue * LONG + shares.size * FLOAT + 2 * self.queue * FLOAT))
        return {"dominant queues, at most": asked + pushed + (shares.ranks - 1) * shares.batch * self.queue * (FLOAT + LONG)}

    untimed = "The seconds leave out the graph that fills the queues every few thousand steps."

    def _rebuild(self, centers: ClassCenters) -> None:
        start = time.perf_counter()
        self.queues = most_similar_classes(centers, self.queue, self.current_threshold(), self.exact_below, self.seed + self.steps_begun)
        if self.queues.is_cuda:
            torch.cuda.synchronize()
        self.rebuild_seconds += time.perf_counter() - start

    def _queues_of(self, classes: Tensor, centers: ClassCenters) -> Tensor:
        """(n, queue) int64, on every rank: the queues of these classes, whichever shards hold them."""
        rows = centers.rows_of(classes)
        if not len(self.queues):
            queues = torch.zeros(len(rows), self.queue, dtype=torch.int64, device=rows.device)
        else:
            queues = torch.where(rows[:, None] >= 0, self.queues[rows.clamp_min(0)].long() + 1, 0)
        return (queues if centers.group is None else centers.group.sum(queues)) - 1

    def _put(self, rows: Tensor, queues: Tensor) -> None:
        """Writes `queues` (B, queue) to `rows`, those of one row being the same; -1 is another shard's, and writes what another writes."""
        if len(self.queues):
            held = rows >= 0
            one = held.int().argmax(keepdim=True)  # (1,) a sample whose class is held, where there is any
            there = torch.where(held.any(), queues[one].int(), self.queues[0])
            self.queues[torch.where(held, rows, rows[one].clamp_min(0))] = torch.where(held[:, None], queues.int(), there)

    def extra_repr(self) -> str:
        return f"queue={self.queue}, threshold={self.threshold}, subset={self.subset}, rebuild_every={self.rebuild_every}"


def first_seen(values: Tensor) -> Tensor:
    """(n,) bool: True where a value stands for the first time."""
    ordered, order = values.sort(stable=True)
    fresh = torch.ones_like(ordered, dtype=torch.bool)
    fresh[1:] = ordered[1:] != ordered[:-1]
    return torch.empty_like(fresh).scatter_(0, order, fresh)


def _similarity(owners: Tensor, owner: Tensor, member: Tensor, centers: ClassCenters) -> Tensor:
    """(n,), on every rank: the cosine of the centres of owners[owner] and member, in blocks."""
    vectors, rows = unit_centers_of_all_shards(centers, owners), centers.rows_of(member)
    parts = torch.arange(len(member), device=member.device).split(PAIRS if member.device.type == "cpu" else PAIRS_ELSEWHERE)
    cosine = torch.cat([(vectors[owner[part]] * centers_at(centers, rows[part])).sum(1) for part in parts])
    return cosine if centers.group is None else centers.group.sum(cosine)
