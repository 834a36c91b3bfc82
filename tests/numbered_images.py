"""An image source for tests: every image is its own number in all pixels, and some cannot be read."""

import numpy as np

from limen.errors import UnreadableImage


class NumberedImages:
    """`count` grey images up to 256; those in `broken` cannot be read. `place` is where they say they lie, made of their number."""

    def __init__(self, count, broken=(), place="{}.jpg".format):
        self.count, self.broken, self.locate = count, broken, place

    def __len__(self):
        return self.count

    def image(self, index):
        if index in self.broken:
            raise UnreadableImage(f"{self.locate(index)}: is empty")
        return np.full((112, 112, 3), index, np.uint8)
