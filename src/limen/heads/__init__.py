"""Floor 2: class centres and the loss over them."""

from limen.heads.center_sgd import CenterSGD
from limen.heads.centers import ClassCenters
from limen.heads.collectives import Group, default_group
from limen.heads.margin_head import HeadOutput, MarginHead

__all__ = ["CenterSGD", "ClassCenters", "Group", "HeadOutput", "MarginHead", "default_group"]
