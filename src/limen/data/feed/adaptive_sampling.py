"""Adaptive Data Sampling (Liu et al., AdaptiveFace, CVPR 2019): hard images are seen more often, mislabelled ones hardly at all."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from limen.data.feed.image_weights import ImageWeights
from limen.data.feed.order import DRAW, BatchOrder, BatchPlan
from limen.data.feed.outcomes import UNKNOWN, Outcomes
from limen.data.feed.suspects import Suspects
from limen.errors import LimenError
from limen.parts import Surroundings, Tables


class AdaptiveDataSampler(BatchOrder):
    """A batch order that learns from the outcome of every step: call `observe` after each.

    It equals `BatchOrder` until the network has roughly converged: until a period (so many steps) ends after `start_epoch` with a top-1
    accuracy of at least `start_accuracy`. From then on the outcomes move the weights of the images (`ImageWeights` has the rules). Images
    are drawn in proportion to them, with replacement, one from each of as many equal shares of the total weight as a period needs, in
    random order: where n draws expect an image n p times, it comes between n p - 2 and n p + 2 times. An image that cannot be read goes
    to the floor.

    One period of delay: what period q taught decides the images of period q + 2, drawn when q ends, because the loader plans ahead of
    training. So no plan depends on how far ahead, on when the run was interrupted, or on the number of ranks; the feedback of the ranks is
    gathered once a period and stays on their devices until then.

    The paper gives the rules, not the figures; the defaults are ours. `lowering` .95 takes an image that is always correct to the floor
    after 90 looks, `noise_lowering` .2 a mislabelled one after three, yet lets most of them have the second look that `suspects` asks for;
    an image misclassified more often than once in five looks rises.
    The paper's threshold of the cosine is absolute; relative to the median it means the same under every margin and early or late.
    `floor` > 0 lets an image that was taken for noise by mistake return.

    Memory: 13.25 bytes an image (weight float32, score float16, looks uint8, nearest int32 and its score float16, a share of a sum) on
    every rank, beside the permutation of `BatchOrder` until the start; the drawn indices of two periods.

    Args:
        count, batch_size, seed, total_steps, start_step, rank, world_size, gather: as of `BatchOrder`; period p is drawn by numpy's
            default_rng((DRAW, seed, p)); `gather` is needed where there are several ranks.
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
        super().__init__(count, batch_size, seed, total_steps, start_step, rank, world_size, gather)
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
        self.period = int(period)
        self.start_epoch, self.start_accuracy = start_epoch, start_accuracy
        self.started = False
        self.images = ImageWeights(count, lowering, raising, noise_lowering, noise_level, floor, ceiling)
        self._outcomes = Outcomes(world_size, gather)  # of this period
        self._drawn: dict[int, np.ndarray] = {}  # period -> (period * batch_size,) indices, for all ranks
        self._lacks_state = start_step > 0

    def __iter__(self) -> Iterator[BatchPlan]:
        if self._lacks_state:
            raise LimenError(f"start_step: {self.step} steps are done, but none was observed; load the sampler's state")
        share = self.batch_size // self.world_size
        permuted = super().__iter__()
        for step in range(self.step, self.total_steps):
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

    def observe(
        self,
        indices: Tensor,
        correct: Tensor,
        target_cosine: Tensor,
        unreadable: Sequence[int] = (),
        nearest: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        """As of `BatchOrder`; at the end of a period the ranks gather."""
        super().observe(indices, correct, target_cosine, unreadable, nearest)
        unknown = torch.full_like(indices, UNKNOWN), torch.full_like(target_cosine, -torch.inf)
        self._outcomes.add(indices, correct, target_cosine, *(unknown if nearest is None else nearest))
        self.images.send_to_floor(unreadable)
        if self.step % self.period == 0:
            self._end_period()

    def suspects(self, min_looks: int = 2) -> Suspects:
        """The images it believes mislabelled, as `ImageWeights.suspects` finds them."""
        return self.images.suspects(min_looks)

    def log_values(self, around: Surroundings) -> dict[str, Any]:
        counts, edges = self.images.histogram()
        found = {"noise_share": self.suspects().noise_share} if self.started else {}
        return found | {"weight_counts": counts.tolist(), "weight_edges": edges.tolist()}

    def artifacts(self, around: Surroundings) -> Tables:
        suspects = self.suspects()
        return {"suspects.csv": lambda path: suspects.write(path, around.people)}

    def state_dict(self) -> dict[str, Any]:
        return {
            **super().state_dict(),
            "started": self.started,
            **self._settings(),
            **self.images.state_dict(),
            "outcomes": torch.from_numpy(self._outcomes.state()),
            "drawn_periods": torch.tensor(list(self._drawn), dtype=torch.int64),
            "drawn": torch.from_numpy(np.stack(list(self._drawn.values()))) if self._drawn else torch.empty(0, dtype=torch.int64),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Goes on after the step of `state`. Raises LimenError where it belongs to another count, batch size, seed or period."""
        if "weights" not in state:
            raise LimenError("data.sampling: the checkpoint holds no weights of images, as one of shuffled batches; use its settings")
        for name, value in self._settings().items():
            if state[name] != value:
                raise LimenError(f"{name}: the sampler of the checkpoint had {state[name]}, not {value}; use its settings")
        super().load_state_dict(state)
        self.images.load_state_dict(state)
        self.started = state["started"]
        self._outcomes.load(state["outcomes"].numpy())
        self._drawn = dict(zip(state["drawn_periods"].tolist(), state["drawn"].numpy().copy(), strict=True))
        self._lacks_state = False

    def _settings(self) -> dict[str, int]:
        return {"count": self.count, "batch_size": self.batch_size, "seed": self.seed, "period": self.period}

    def _end_period(self) -> None:
        indices, correct, cosine, nearest, nearest_cosine = self._outcomes.take()
        far_enough = self.step >= self.start_epoch * self.steps_per_epoch
        self.started = self.started or bool(far_enough and correct.size and correct.mean() >= self.start_accuracy)
        ended = self.step // self.period - 1
        self._drawn.pop(ended, None)
        if self.started:
            if indices.size:
                self.images.learn(indices, correct, cosine, nearest, nearest_cosine)
            rng = np.random.default_rng((DRAW, self.seed, ended + 2))
            self._drawn[ended + 2] = rng.permutation(self.images.table.draw(self.period * self.batch_size, rng))
