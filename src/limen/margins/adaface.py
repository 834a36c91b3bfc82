"""AdaFace (Kim et al., CVPR 2022): the margin follows image quality, read from the feature norm."""

import math

import torch
from torch import Tensor

from limen.functional import keep_peak, sine
from limen.margins.base import GRADIENTS, PAST_PEAK, STRAIGHT, Margin, check_choice, margined, move_average

EPSILON = 1e-3  # the release's bound on |cos|, on the angle and on the standard deviation


class AdaFace(Margin):
    """psi = cos(theta - m k) - (m + m k), with k = clip(h * (|z| - norm_mean) / (norm_std + .001), -1, 1) in [-1, 1].

    k = -1 is ArcFace(m), k = 0 CosFace(m). No gradient runs through the norm. As in the release, |z| is clipped to [.001, 100], |cos| to
    1 - .001 and the turned angle to [.001, pi - .001].

    `norm_mean` and `norm_std` are moving averages of the batch's mean and unbiased standard deviation with weight t_alpha. They start at 20
    and 100, as released, so that the first steps (about 500 at t_alpha = .01) are practically CosFace(m): `init_from_first_batch` takes
    the first batch's own statistics instead. They move in training only. A batch without a standard deviation leaves it as it was, and one
    with a norm that is not finite leaves both.

    `gradient` as ArcFace's; the release's is exact, CVLface's straight-through.

    past_peak="keep" changes poor images, k < 0, whose turn g = -m k is positive: past theta = pi / 2 - g / 2 they have
    psi = cos(theta) - 2 sin(g / 2) - (m + m k), where the release's turned angle stops at pi, so that at theta = pi and k = -1 nothing is
    left of the margin. For k >= 0 the margin costs m + m k - 2 sin(m k / 2) or more at every angle, and no less opposite to the centre
    than at a right angle; there only the bound on cos is lifted, where cos < -1 + .001, with slope 1.

    >>> import torch
    >>> from limen.margins import AdaFace
    >>> cosine, norm, label = torch.tensor([0.7, 0.0]), torch.tensor([20.0, 20.0]), torch.tensor([0, 1])
    >>> AdaFace(m=0.4).eval()(cosine, norm, label)  # norms at their mean: k = 0, CosFace(0.4)
    tensor([ 0.3000, -0.4000])
    """

    in_training = STRAIGHT

    norm_mean: Tensor
    norm_std: Tensor
    seen: Tensor

    def __init__(
        self,
        m: float = 0.4,
        h: float = 0.333,
        t_alpha: float = 0.01,
        init_from_first_batch: bool = False,
        gradient: str = "exact",
        past_peak: str = "paper",
    ):
        super().__init__()
        self.m, self.h, self.t_alpha = m, h, t_alpha
        self.init_from_first_batch = init_from_first_batch
        self.past_peak = check_choice("past_peak", past_peak, PAST_PEAK)
        self.gradient = check_choice("gradient", gradient, GRADIENTS)
        self.register_buffer("norm_mean", torch.tensor(20.0))
        self.register_buffer("norm_std", torch.tensor(100.0))
        self.register_buffer("seen", torch.tensor(False))

    def forward(self, target_cosine: Tensor, norm: Tensor, label: Tensor) -> Tensor:
        finite = norm.isfinite().all()
        norm = norm.detach().clamp(1e-3, 100)
        if self.training:
            self._update(norm, finite)
        k = (self.h * (norm - self.norm_mean) / (self.norm_std + EPSILON)).clamp(-1, 1)
        return margined(lambda cosine: self._psi(cosine, k), target_cosine, self.gradient)

    def _psi(self, target_cosine: Tensor, k: Tensor) -> Tensor:
        cosine = target_cosine.clamp(-1 + EPSILON, 1 - EPSILON)
        turned = (torch.atan2(sine(cosine), cosine) - self.m * k).clamp(EPSILON, math.pi - EPSILON).cos()
        if self.past_peak == "keep":
            below = (target_cosine - cosine).clamp_max(0)  # where the bound on |cos| leaves opposite features neither loss nor gradient
            turned = keep_peak(target_cosine, -self.m * k, turned + below)
        return turned - (self.m + self.m * k)

    @torch.no_grad()
    def _update(self, norm: Tensor, finite: Tensor) -> None:
        first = self.init_from_first_batch & ~self.seen
        weight = torch.where(first, 1.0, self.t_alpha)
        known = torch.where(finite, norm, torch.nan)  # an infinite norm was clipped
        move_average(self.norm_mean, known.mean(), weight)
        if len(norm) > 1:
            move_average(self.norm_std, known.std(), weight)
        self.seen.logical_or_(finite)
