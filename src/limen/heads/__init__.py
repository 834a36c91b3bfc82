"""Floor 2: class centres, the choice among them, and the loss over them."""

from limen.heads.center_sgd import CenterSGD
from limen.heads.centers import ClassCenters
from limen.heads.collectives import Group, default_group
from limen.heads.margin_head import HeadOutput, MarginHead
from limen.heads.samplers import SAMPLERS, ClassSampler, HardPrototypeMining, PartialFC, create_sampler

__all__ = [
    "SAMPLERS",
    "CenterSGD",
    "ClassCenters",
    "ClassSampler",
    "Group",
    "HardPrototypeMining",
    "HeadOutput",
    "MarginHead",
    "PartialFC",
    "create_sampler",
    "default_group",
]
