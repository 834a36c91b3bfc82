"""AdaM-Softmax (Liu et al., AdaptiveFace, CVPR 2019): a margin per class, learnt with the network."""

from typing import Any

import torch
from torch import Tensor, nn

from limen.functional import add_angle
from limen.margins import class_margins
from limen.margins.base import GRADIENTS, PAST_PEAK, STRAIGHT, Margin, check_choice, margined
from limen.parts import Surroundings, Tables


class AdaMSoftmax(Margin):
    """psi = cos(theta) - m_y with m (C,) learnable; the loss gains -strength * mean(m), which asks for large margins.

    At equilibrium s * (1 - p_c) * n_c / n_mean = strength, with p_c the probability of class c and n_c its size: classes with few samples
    settle at larger margins. A widely copied strength of 70 with s = 30 has no such point, and all margins run into the clamp.

    Args:
        num_classes: C.
        strength: the paper's lambda; s * .1 to s * .3 lets an average class settle inside the range.
        form: "cosine" is the paper's; "angular" is psi = cos(theta + m_y), in radians.
        gradient, past_peak: of the angular form, as ArcFace's; the margins keep theirs. The cosine form has no peak, and a slope of 1.

    Margins start at U(.3, .4) and are held in [0, 1]. Optimisers leave `class_margin` out of weight decay (training does).

    >>> import torch
    >>> from limen.margins import AdaMSoftmax
    >>> margin = AdaMSoftmax(num_classes=3)
    >>> margin.class_margin.shape  # one learnt margin for each class
    torch.Size([3])
    >>> bool(margin.regulariser(torch.ones(2)) < 0)  # larger margins make the loss smaller
    True
    """

    in_training = STRAIGHT
    per_class = ("class_margin",)

    def __init__(self, num_classes: int, strength: float = 6.4, form: str = "cosine", past_peak: str = "paper", gradient: str = "exact"):
        super().__init__()
        if strength < 0:
            raise ValueError(f"strength={strength!r} would ask for small margins; it is 0 or above, s * .1 to s * .3 as a rule")
        self.num_classes, self.strength = num_classes, strength
        self.form = check_choice("form", form, ("cosine", "angular"))
        check_choice("gradient", gradient, GRADIENTS)
        self.gradient = gradient if form == "angular" else "straight_through"  # psi of the cosine form has no other slope than 1
        self.past_peak = check_choice("past_peak", past_peak, PAST_PEAK)
        self.class_margin = nn.Parameter(torch.empty(num_classes).uniform_(0.3, 0.4))

    def forward(self, target_cosine: Tensor, norm: Tensor, label: Tensor) -> Tensor:
        with torch.no_grad():
            self.class_margin.clamp_(0, 1)
        margin = self.class_margin[label]
        if self.form == "cosine":
            return target_cosine - margin
        return margined(lambda cosine: add_angle(cosine, margin, self.past_peak), target_cosine, self.gradient)

    def regulariser(self, norm: Tensor) -> Tensor:
        return -self.strength * self.class_margin.sum() / self.num_classes

    def log_values(self, around: Surroundings) -> dict[str, Any]:
        return class_margins.statistics(self.class_margin, around)

    def artifacts(self, around: Surroundings) -> Tables:
        margins = class_margins.whole(self.class_margin, around)
        return {"class_margins.csv": lambda path: class_margins.write_table(path, margins, around)}
