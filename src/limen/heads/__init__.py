"""Floor 2: class centres and the loss over them."""

from limen.heads.centers import ClassCenters
from limen.heads.margin_head import HeadOutput, MarginHead

__all__ = ["ClassCenters", "HeadOutput", "MarginHead"]
