"""ElasticFace (Boutros et al., CVPR Workshops 2022): margins drawn from a normal distribution, per sample and step."""

import torch
from torch import Tensor

from limen.functional import add_angle
from limen.margins.base import GRADIENTS, PAST_PEAK, STRAIGHT, Margin, check_choice, margined


class _Elastic(Margin):
    """The draw that both forms share.

    Args:
        m, std: mean and standard deviation of the margin.
        plus: the "+" form: the drawn margins are sorted, and the smallest target cosine gets the largest.
        assignment: "ranked" is the paper's; "released" reproduces the published "+" weights, whose code gathers with the sorting order
            where its inverse is needed, so that margins go to samples nearly at random.
    """

    def __init__(self, m: float, std: float, plus: bool, assignment: str):
        super().__init__()
        self.m, self.std, self.plus = m, std, plus
        self.assignment = check_choice("assignment", assignment, ("ranked", "released"))

    def sample(self, count: int, device: torch.device | str | None = None, dtype: torch.dtype | None = None) -> Tensor:
        """`count` margins from N(m, std^2), (count,)."""
        return torch.randn(count, device=device, dtype=dtype) * self.std + self.m

    def draw(self, target_cosine: Tensor) -> Tensor:
        """One margin per sample (B,), in the order that the form asks for."""
        margins = self.sample(len(target_cosine), target_cosine.device, target_cosine.dtype)
        if not self.plus:
            return margins
        falling = target_cosine.detach().argsort(descending=True)
        rising_margins = margins.sort().values
        if self.assignment == "released":
            return rising_margins[falling]
        return torch.empty_like(margins).index_copy_(0, falling, rising_margins)


class ElasticArcFace(_Elastic):
    """psi = cos(theta + E), E ~ N(m, std^2) in radians. The paper's "+" form uses std .0175.

    The paper does not say what holds where theta + E passes pi. past_peak="paper" takes ArcFace's branch there, "released" none, as the
    release does, and "keep" is the largest cost of the margin from pi / 2 - E / 2 on, as ArcFace's. `gradient` as ArcFace's; the release's
    is exact.

    >>> import torch
    >>> from limen.margins import ElasticArcFace
    >>> cosine, norm, label = torch.tensor([0.7, 0.0]), torch.tensor([20.0, 20.0]), torch.tensor([0, 1])
    >>> ElasticArcFace(m=0.5, std=0.0)(cosine, norm, label)  # without spread it is ArcFace
    tensor([ 0.2719, -0.4794])
    >>> margin = ElasticArcFace(std=0.0175, plus=True)  # ElasticFace-Arc+ of the paper
    """

    in_training = STRAIGHT

    def __init__(
        self,
        m: float = 0.5,
        std: float = 0.05,
        plus: bool = False,
        assignment: str = "ranked",
        past_peak: str = "paper",
        gradient: str = "exact",
    ):
        super().__init__(m, std, plus, assignment)
        self.gradient = check_choice("gradient", gradient, GRADIENTS)
        self.past_peak = check_choice("past_peak", past_peak, (*PAST_PEAK, "released"))

    def forward(self, target_cosine: Tensor, norm: Tensor, label: Tensor) -> Tensor:
        margins = self.draw(target_cosine)
        return margined(lambda cosine: add_angle(cosine, margins, self.past_peak), target_cosine, self.gradient)


class ElasticCosFace(_Elastic):
    """psi = cos(theta) - E, E ~ N(m, std^2). The paper's "+" form uses std .025.

    >>> import torch
    >>> from limen.margins import ElasticCosFace
    >>> cosine, norm, label = torch.tensor([0.7, 0.0]), torch.tensor([20.0, 20.0]), torch.tensor([0, 1])
    >>> ElasticCosFace(m=0.35, std=0.0)(cosine, norm, label)  # without spread it is CosFace
    tensor([ 0.3500, -0.3500])
    >>> margin = ElasticCosFace(std=0.025, plus=True)  # ElasticFace-Cos+ of the paper
    """

    def __init__(self, m: float = 0.35, std: float = 0.05, plus: bool = False, assignment: str = "ranked"):
        super().__init__(m, std, plus, assignment)

    def forward(self, target_cosine: Tensor, norm: Tensor, label: Tensor) -> Tensor:
        return target_cosine - self.draw(target_cosine)
