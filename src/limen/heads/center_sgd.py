"""SGD of the class centres inside the backward pass, a block at a time: no (C, D) gradient ever exists."""

from functools import cached_property
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from limen.functional.margin_softmax.blocks import Rows
from limen.functional.margin_softmax.kernels import CenterState
from limen.heads.centers import ClassCenters


class CenterSGD:
    """`head(features, labels, update=sgd.at(lr))` moves the centres in the backward pass of that batch.

    For centres that took part in the step it equals `torch.optim.SGD`: v = momentum * v + g + weight_decay * w, w = w - lr * v. All
    others stay untouched, their momenta too: torch's, given a gradient of zeros, would let them decay and coast on. Without a class
    sampler all centres take part, and nothing differs.

    The step is computed in float32. bfloat16 centres and momenta are rounded stochastically, up or down with the probability that makes
    the expected value exact: rounding to nearest would lose every step smaller than 1/512 of a value.

    Args:
        centers: the centres to move.
        momentum, weight_decay: as of `torch.optim.SGD`; without momentum no second (C, D) array is kept.

    >>> import torch
    >>> from limen.heads import CenterSGD, MarginHead
    >>> from limen.margins import CosFace
    >>> head = MarginHead(10, 16, CosFace())
    >>> sgd, before = CenterSGD(head.centers, momentum=0.9), head.centers.weight.clone()
    >>> head(torch.randn(4, 16, requires_grad=True), torch.arange(4), update=sgd.at(0.1)).loss.backward()
    >>> bool((head.centers.weight != before).any()), head.centers.weight.grad is None
    (True, True)
    """

    def __init__(self, centers: ClassCenters, momentum: float = 0.9, weight_decay: float = 5e-4):
        self.weight = centers.weight  # the parameter, whose memory moves when the head does
        self.momentum, self.weight_decay = momentum, weight_decay
        self.velocity = torch.zeros_like(self.weight.data) if momentum else None
        self._noise: Tensor | None = None
        self._state: CenterState | None = None
        self._made_of: tuple[Any, ...] = ()

    def at(self, lr: float | Tensor) -> "CenterUpdate":
        """The update of one backward pass, at this learning rate."""
        return CenterUpdate(self, lr)

    def state_for(self, kernels: ModuleType, dtype: torch.dtype) -> CenterState:
        """The centres with what products in `dtype` read of them. Updates keep it up to date; it is made anew where the centres were
        changed otherwise, to the bit as the updates leave it, and is no part of a checkpoint."""
        weight = self.weight
        made_of = kernels, dtype, weight.dtype, weight.device, weight._version, weight.untyped_storage()._cdata
        if self._state is None or self._made_of != made_of:
            values, exact = weight.data, torch.promote_types(dtype, torch.float32)
            shadow = None if weight.dtype == dtype else torch.empty_like(values, dtype=dtype)
            self._state = CenterState(values, self.velocity, shadow, values.new_empty(len(values), dtype=exact))
            kernels.refresh(self._state)
            self._made_of = made_of
        return self._state

    @torch.no_grad()
    def move(self, lr: float | Tensor, rows: Rows, value: Tensor, gradient: Tensor, finite: Tensor) -> None:
        """One step of the centres at `rows`, given their values and gradient (n, D), both overwritten. Where `finite` () is False the
        gradient is 0, and selecting a decay of 0, a momentum of 1 and a rate of 0 leaves centres and momenta as they are."""
        chosen = ((self.weight_decay, 0.0), (self.momentum, 1.0), (lr, 0.0))
        decay, momentum, rate = (torch.where(finite, scalar(moving, value), still) for moving, still in chosen)
        if self.weight_decay:
            gradient.addcmul_(value, decay)
        velocity = gradient
        if self.velocity is not None:
            in_place = isinstance(rows, slice) and self.velocity.dtype == gradient.dtype
            velocity = self.velocity[rows]
            torch.addcmul(gradient, velocity, momentum, out=velocity if in_place else gradient)
            if not in_place:
                velocity = gradient
                self._put(self.velocity, rows, gradient)
        value.addcmul_(velocity, rate, value=-1)
        if not (isinstance(rows, slice) and self.weight.dtype == value.dtype):  # there `value` is the weight's own memory
            self._put(self.weight.data, rows, value)

    def _put(self, whole: Tensor, rows: Rows, value: Tensor) -> None:
        if whole.dtype == torch.bfloat16:
            value = self._rounded(value)
        if isinstance(rows, slice):
            whole[rows] = value
        else:
            whole.index_copy_(0, rows, value.to(whole.dtype))

    def _rounded(self, value: Tensor) -> Tensor:
        """bfloat16 of float32, stochastically: noise below the last kept bit is added, and the rest cut off.

        The noise of an element is a fixed one, exclusive-or one that is drawn for its row each time: uniform over all 16 bits.
        """
        if self._noise is None or len(self._noise) < len(value):
            generator = torch.Generator(value.device).manual_seed(0)
            self._noise = torch.randint(1 << 16, value.shape, generator=generator, dtype=torch.int32, device=value.device)
        row = torch.randint(1 << 16, (len(value), 1), dtype=torch.int32, device=value.device)
        bits = value.view(torch.int32).add_(self._noise[: len(value)] ^ row).bitwise_and_(-(1 << 16))
        return bits.view(torch.float32).to(torch.bfloat16)

    def state_dict(self) -> dict[str, Tensor]:
        """The momenta (C, D) of this rank's centres, under "velocity"; empty without momentum."""
        return {} if self.velocity is None else {"velocity": self.velocity}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        if self.velocity is not None:
            self.velocity.copy_(state["velocity"])


def scalar(value: float | Tensor, like: Tensor) -> Tensor:
    """() on the device, without a copy from the host, for which a step would wait."""
    return value.to(like.dtype) if isinstance(value, Tensor) else like.new_full((), value)


class CenterUpdate:
    """One step of `sgd` at a learning rate, inside one backward pass: a block of rows at a time, or, with kernels, by `state`."""

    def __init__(self, sgd: CenterSGD, lr: float | Tensor):
        self.sgd, self.rate = sgd, lr
        self.momentum, self.weight_decay = sgd.momentum, sgd.weight_decay
        self.state: CenterState = CenterState(sgd.weight.data, sgd.velocity, None, sgd.weight.data[:0, 0])

    def __call__(self, rows: Rows, value: Tensor, gradient: Tensor, finite: Tensor) -> None:
        self.sgd.move(self.rate, rows, value, gradient, finite)

    def products(self, kernels: ModuleType, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """(C, D) the centres in `dtype`, and (C,) 1 / |W_j| of those values."""
        self.state = self.sgd.state_for(kernels, dtype)
        return self.state.weight if self.state.shadow is None else self.state.shadow, self.state.inverse_norm

    @cached_property
    def lr(self) -> Tensor:
        return scalar(self.rate, self.state.inverse_norm)

    @cached_property
    def seed(self) -> Tensor:
        """() int64 on the device, of the stochastic rounding."""
        return torch.randint(1 << 31, (), device=self.sgd.weight.device)


def update_memory(strip: int, size: int, center_bytes: int, in_place: bool) -> int:
    """Bytes of what an update of `strip` centres (n, size) makes: momenta where they are not changed in place; where centres are rounded,
    noise and its exclusive-or with that of the rows."""
    return ((not in_place) + 2 * (center_bytes < 4)) * strip * size * 4
