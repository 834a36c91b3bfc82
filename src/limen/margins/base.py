"""What a margin is: a change of the target cosine, on (B,)-vectors. A margin never sees the class centres."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from limen.parts import Part


class Margin(nn.Module, Part, ABC):
    """Base of all margins; to write one, implement `forward`. The other methods have defaults that most margins keep.

    With s the scale and L_i the log-sum-exp of the scaled negatives the head computes
    loss_i = logaddexp(L_i, t_i) - t_i, where t_i = s * margin(cos_iy, |z_i|, y_i).

    >>> import torch
    >>> from limen.margins import Margin
    >>> class Half(Margin):
    ...     def forward(self, target_cosine, norm, label):
    ...         return target_cosine - 0.5
    ...
    >>> Half()(torch.tensor([0.75]), torch.tensor([20.0]), torch.tensor([0]))
    tensor([0.2500])
    """

    @abstractmethod
    def forward(self, target_cosine: Tensor, norm: Tensor, label: Tensor) -> Tensor:
        """psi (B,): the target cosine after the margin, from cos_iy (B,), |z_i| (B,) and y_i (B,) int64."""

    def regulariser(self, norm: Tensor) -> Tensor | None:
        """A term () added to the mean loss, from |z_i| (B,)."""
        return None

    def row_scale(self, norm: Tensor) -> Tensor | None:
        """A scale per row (B,) that takes the place of the head's."""
        return None

    in_training: Mapping[str, Any] = MappingProxyType({})
    """Options that a training run chooses where its recipe does not give them."""

    gradient: str = "straight_through"
    """Of a margin with this option: "exact", or d psi / d cosine = 1, see `margined`. Others have nothing to choose."""

    def remedy(self) -> str:
        """What to train with instead, where the features gather or have turned away from all centres."""
        exact = self.gradient == "exact"
        return "margin.options.gradient straight_through" if exact else "a lower optimiser.lr or head.scale"

    per_class: tuple[str, ...] = ()
    """Names of parameters with an entry for each class. Ranks that share the classes hold their own entries, psi of a class is asked of the
    rank that holds it, and the regulariser is summed over ranks: it has to be a sum over classes."""

    gate = None  # CurricularFace's change of hard negatives: a method gate(target_cosine) -> (threshold (B,), shift ())


PAST_PEAK = ("paper", "keep")  # of every angular margin: limen.functional.add_angle and multiply_angle define them
GRADIENTS = ("exact", "straight_through")
STRAIGHT = MappingProxyType({"gradient": "straight_through"})  # in training, of margins whose exact slope is far from 1


def margined(psi: Callable[[Tensor], Tensor], target_cosine: Tensor, gradient: str) -> Tensor:
    """psi(target_cosine) (B,), with its exact gradient or with d psi / d cosine = 1 ("straight_through"). What else psi depends on, such as
    a norm or a learnt margin, keeps its gradient.

    insightface and CVLface write the margined target without gradient, which loses the factor sin(theta + m) / sin(theta).

    >>> import torch
    >>> from limen.margins import margined
    >>> cosine = torch.tensor([0.5], requires_grad=True)
    >>> margined(lambda c: c**3, cosine, "straight_through").backward()
    >>> cosine.grad
    tensor([1.])
    """
    if gradient == "exact":
        return psi(target_cosine)
    fixed = target_cosine.detach()
    return psi(fixed) + (target_cosine - fixed)


@torch.no_grad()
def move_average(average: Tensor, found: Tensor, weight: Tensor | float) -> None:
    """average += weight * (found - average), in place: a moving average of what each batch gives. Of a batch that gives no finite number
    it stays as it was, for one NaN would make all later margins NaN (`MarginHead` says what else such a batch leaves alone)."""
    found = found.to(average)
    average.lerp_(torch.where(found.isfinite(), found, average), weight.to(average) if isinstance(weight, Tensor) else weight)


def check_choice(option: str, value: str, choices: tuple[str, ...]) -> str:
    """`value` where it is one of `choices`; otherwise a ValueError that names them."""
    if value not in choices:
        raise ValueError(f"{option}={value!r} is not one of {', '.join(map(repr, choices))}")
    return value
