"""Adaptive Data Sampling (Liu et al., AdaptiveFace, CVPR 2019): hard images are seen more often, mislabelled ones hardly at all."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from limen.data.feed.order import DRAW, BatchOrder, BatchPlan
from limen.data.feed.suspects import Suspects
from limen.data.feed.weighted_draw import WeightTable
from limen.errors import LimenError


class AdaptiveDataSampler(BatchOrder):
    """A batch order that learns from the outcome of every step: call `observe` after each.

    It equals `BatchOrder` until the network has roughly converged: until a period (so many steps) ends after `start_epoch` with a top-1
    accuracy of at least `start_accuracy`. From then on each outcome multiplies the weight of its image, 1 at first, by one factor:

        cosine < noise_level * median   noise_lowering   taken for mislabelled, whether it was classified correctly or not
        correctly classified            lowering
        misclassified                   raising

    and clips it to [floor, ceiling]; `cosine` is that to the image's own class centre, `median` that of all outcomes of the period. An
    image that comes several times in a period is treated in the order of the steps. Images are drawn in proportion to their weights, with
    replacement, one from each of as many equal shares of the total weight as a period needs, in random order: where n draws expect an image
    n p times, it comes between n p - 2 and n p + 2 times.

    One period of delay: what period q taught decides the images of period q + 2, drawn when q ends, because the loader plans ahead of
    training. So no plan depends on how far ahead, on when the run was interrupted, or on the number of ranks; the feedback of the ranks is
    gathered once a period and stays on their devices until then.

    The paper gives the rules, not the figures; the defaults are ours. `lowering` .95 takes an image that is always correct to the floor
    after 90 looks, `noise_lowering` .2 a mislabelled one after three, yet lets most of them have the second look that `suspects` asks for;
    an image misclassified more often than once in five looks rises.
    The paper's threshold of the cosine is absolute; relative to the median it means the same under every margin and early or late.
    `floor` > 0 lets an image that was taken for noise by mistake return.

    Memory: 7.25 bytes an image (weight float32, score float16, looks uint8, a share of a sum) on every rank, beside the permutation of
    `BatchOrder` until the start; the drawn indices of two periods.

    Args:
        count, batch_size, seed, total_steps, start_step, rank, world_size: as of `BatchOrder`; period p is drawn by numpy's
            default_rng((DRAW, seed, p)).
        gather: every rank's tensor, stacked or concatenated in the order of ranks; needed where there are several.
        period: steps between two draws; more than the loader reads ahead (workers * BATCHES_AHEAD).
        start_epoch, start_accuracy: both have to be reached.
        lowering, raising, noise_lowering: the factors.
        noise_level: of the median cosine.
        floor, ceiling: s_min and s_max.

    Raises:
        LimenError: a setting outside its range.
    """

    def __init__(
        self,
        count: int,
        batch_size: int,
        seed: int,
        total_steps: int,
        start_step: int = 0,
        rank: int = 0,
        world_size: int = 1,
        gather: Callable[[Tensor], Tensor] | None = None,
        period: int = 100,
        start_epoch: float = 0.0,
        start_accuracy: float = 0.5,
        lowering: float = 0.95,
        raising: float = 1.25,
        noise_lowering: float = 0.2,
        noise_level: float = 0.5,
        floor: float = 0.01,
        ceiling: float = 4.0,
    ) -> None:
        super().__init__(count, batch_size, seed, total_steps, start_step, rank, world_size)
        ranges = {
            "period": (period, 1, 1e9),
            "start_epoch": (start_epoch, 0, 1e9),
            "start_accuracy": (start_accuracy, 0, 1),
            "lowering": (lowering, 0, 1),
            "raising": (raising, 1, 1e3),
            "noise_lowering": (noise_lowering, 0, 1),
            "noise_level": (noise_level, 0, 1),
            "floor": (floor, 1e-3, 1),
            "ceiling": (ceiling, 1, 1e3),
        }
        for name, (value, low, high) in ranges.items():
            if not low <= value <= high:
                raise LimenError(f"{name}: {value} is not possible; choose from {low:g} to {high:g}")
        if period != int(period):
            raise LimenError(f"period: {period} is no whole number of steps; choose one")
        if world_size > 1 and gather is None:
            raise LimenError(f"gather: {world_size} processes have to share their outcomes; give the function that gathers them")
        self.gather = gather
        self.period = int(period)
        self.start_epoch, self.start_accuracy = start_epoch, start_accuracy
        self.lowering, self.raising, self.noise_lowering, self.noise_level = lowering, raising, noise_lowering, noise_level
        self.floor, self.ceiling = floor, ceiling
        self.step = 0
        """How many steps were observed."""
        self.started = False
        self.weights = WeightTable(count)
        self.scores = np.zeros(count, np.float16)
        """Mean over an image's looks since the start of cosine / median of the period."""
        self.looks = np.zeros(count, np.uint8)
        """Looks since the start; 255 is many."""
        self._drawn: dict[int, np.ndarray] = {}  # period -> (period * batch_size,) indices, for all ranks
        self._waiting: list[tuple[Tensor, Tensor, Tensor]] = []  # this rank's outcomes, one entry a step
        self._gathered = np.empty((0, 3), np.int64)  # all ranks' earlier outcomes of this period

    def __iter__(self) -> Iterator[BatchPlan]:
        if self.start_step != self.step:
            raise LimenError(f"start_step: {self.start_step} steps are done, but {self.step} were observed; load the sampler's state")
        share = self.batch_size // self.world_size
        permuted = super().__iter__()
        for step in range(self.start_step, self.total_steps):
            period, place = divmod(step, self.period)
            if period > self.step // self.period + 1:
                raise LimenError(
                    f"period: batches are read {step - self.step} steps ahead, too far for periods of {self.period}; "
                    "choose one longer than the batches that data.workers read ahead"
                )
            if period in self._drawn:
                permuted = iter(())  # lets go of the permutation: drawing, once begun, goes on
                start = place * self.batch_size + self.rank * share
                yield BatchPlan(step, step // self.steps_per_epoch, self.rank, self._drawn[period][start : start + share])
            else:
                yield next(permuted)

    def observe(self, indices: Tensor, correct: Tensor, target_cosine: Tensor) -> None:
        """Takes this rank's outcome of the next step; every rank calls it for every step. At the end of a period it gathers.

        Args:
            indices: (b,) int64 into the source.
            correct: (b,) bool, target_cosine > nearest_negative, which is among the active classes where a class sampler chooses them.
            target_cosine: (b,), before any margin.
        """
        self._waiting.append((indices, correct, target_cosine.detach()))
        self.step += 1
        if self.step % self.period == 0:
            self._end_period()

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain values, the same on every rank and for every number of ranks, which all have to call it."""
        self._gather()
        return {
            "step": self.step,
            "started": self.started,
            **self._settings(),
            "weights": torch.from_numpy(self.weights.values),
            "scores": torch.from_numpy(self.scores),
            "looks": torch.from_numpy(self.looks),
            "outcomes": torch.from_numpy(self._gathered),
            "drawn_periods": torch.tensor(list(self._drawn), dtype=torch.int64),
            "drawn": torch.from_numpy(np.stack(list(self._drawn.values()))) if self._drawn else torch.empty(0, dtype=torch.int64),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on after the step of `state`, which becomes `start_step`.

        Raises LimenError where it belongs to another count, batch size, seed or period.
        """
        for name, value in self._settings().items():
            if state[name] != value:
                raise LimenError(f"{name}: the sampler of the checkpoint had {state[name]}, not {value}; use its settings")
        self.start_step = self.step = state["step"]
        self.started = state["started"]
        self.weights = WeightTable(self.count, state["weights"].numpy())
        self.scores, self.looks = state["scores"].numpy().copy(), state["looks"].numpy().copy()
        self._waiting, self._gathered = [], state["outcomes"].numpy()
        self._drawn = dict(zip(state["drawn_periods"].tolist(), state["drawn"].numpy().copy(), strict=True))

    def suspects(self, min_looks: int = 2) -> Suspects:
        """The images it believes mislabelled: score below `noise_level` after at least `min_looks` looks, the lowest score first.

        Outcomes of an unfinished last period are left out.
        """
        known = self.looks >= min_looks
        found = np.flatnonzero(known & (self.scores < self.noise_level))
        found = found[np.argsort(self.scores[found], kind="stable")]
        share = len(found) / max(1, int(known.sum()))
        return Suspects(found, self.scores[found], self.weights.values[found], self.looks[found], share)

    def weight_histogram(self, bins: int = 10) -> tuple[np.ndarray, np.ndarray]:
        """(bins,) how many images have weights between neighbours of the (bins + 1,) edges, which divide [floor, ceiling] by ratio."""
        edges = np.geomspace(self.floor, self.ceiling, bins + 1)
        counts = np.zeros(bins, np.int64)
        for start in range(0, self.count, 1 << 20):
            between = np.searchsorted(edges[1:-1], self.weights.values[start : start + (1 << 20)], side="right")
            counts += np.bincount(between, minlength=bins)
        return counts, edges

    def _settings(self) -> dict[str, int]:
        return {"count": self.count, "batch_size": self.batch_size, "seed": self.seed, "period": self.period}

    def _gather(self) -> None:
        """Moves the waiting outcomes of all ranks to `_gathered`, in the order of the global batches whatever the number of ranks."""
        if not self._waiting:
            return
        indices, correct, cosine = (torch.stack(parts) for parts in zip(*self._waiting, strict=True))  # each (steps, b)
        bits = cosine.float().view(torch.int32).long()
        mine = torch.stack((indices.to(cosine.device), correct.to(cosine.device).long(), bits), dim=2)  # one tensor travels once
        ranks = mine if self.gather is None else self.gather(mine)
        steps = ranks.reshape(self.world_size, *mine.shape).transpose(0, 1)
        self._gathered = np.concatenate((self._gathered, steps.reshape(-1, 3).cpu().numpy()))
        self._waiting = []

    def _end_period(self) -> None:
        self._gather()
        indices, correct, bits = self._gathered.T
        self._gathered = np.empty((0, 3), np.int64)
        far_enough = self.step >= self.start_epoch * self.steps_per_epoch
        self.started = self.started or bool(far_enough and correct.mean() >= self.start_accuracy)
        ended = self.step // self.period - 1
        self._drawn.pop(ended, None)
        if self.started:
            self._learn(indices, correct.astype(bool), bits.astype(np.int32).view(np.float32))
            rng = np.random.default_rng((DRAW, self.seed, ended + 2))
            self._drawn[ended + 2] = rng.permutation(self.weights.draw(self.period * self.batch_size, rng))

    def _learn(self, indices: np.ndarray, correct: np.ndarray, cosine: np.ndarray) -> None:
        relative = cosine / max(float(np.median(cosine)), 1e-3)
        factors = np.where(relative < self.noise_level, self.noise_lowering, np.where(correct, self.lowering, self.raising))
        for turn in turns(indices):
            images = indices[turn]
            self.looks[images] = np.minimum(self.looks[images], 254) + 1
            mean = self.scores[images].astype(np.float32)
            self.scores[images] = mean + (relative[turn] - mean) / self.looks[images]
            self.weights.set(images, np.clip(self.weights.values[images] * factors[turn], self.floor, self.ceiling))


def turns(indices: np.ndarray) -> Iterator[np.ndarray]:
    """Places in `indices` (n,): first those where a value comes for the first time, then for the second, and so on."""
    order = np.argsort(indices, kind="stable")
    ordered = indices[order]
    occurrence = np.arange(len(indices)) - np.searchsorted(ordered, ordered)
    for turn in range(int(occurrence.max(initial=-1)) + 1):
        yield order[occurrence == turn]
