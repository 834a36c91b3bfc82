"""Floor 0: from a photo to aligned faces. Points are (x, y) in pixels, the centre of the first pixel being (0, 0); photos are uint8 RGB."""

from limen.align.faces import RULES, Detector, Face, choose
from limen.align.opening import open_detector
from limen.align.search import SIDE, FaceSearch
from limen.align.template import SIZE, TEMPLATE, similarity, warp
from limen.align.yunet import MIN_SCORE, YuNet

__all__ = [
    "MIN_SCORE",
    "RULES",
    "SIDE",
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
