"""Floor 0: from a photo to aligned faces. Points are (x, y) in pixels, the centre of the first pixel being (0, 0); photos are uint8 RGB."""

from limen.align.template import SIZE, TEMPLATE, similarity, warp

__all__ = ["SIZE", "TEMPLATE", "similarity", "warp"]
