"""Floor 0: from a photo to aligned faces. Points are (x, y) in pixels, the centre of the first pixel being (0, 0); photos are uint8 RGB."""

from limen.align.faces import RULES, Detector, Face, choose
from limen.align.opening import open_detector
from limen.align.search import FaceSearch
from limen.align.template import SIZE, TEMPLATE, similarity, warp
from limen.align.yunet import YuNet

__all__ = [
    "RULES",
    "SIZE",
    "TEMPLATE",
    "Detector",
    "Face",
    "FaceSearch",
    "YuNet",
    "choose",
    "open_detector",
    "similarity",
    "warp",
]
