"""Photos with faces that need no data: a face is a white half over a grey half, and a detector that knows those, upright, alone."""

import cv2
import numpy as np

from limen.align import SIZE, TEMPLATE, Face

GREY = 128


def draw(photo, left, top, side):
    """Draws an upright face into `photo` and gives it."""
    photo[top : top + side // 2, left : left + side] = 255
    photo[top + side // 2 : top + side, left : left + side] = GREY
    return Face(np.array([left, top, side, side], float), 1.0, points_in(left, top, side))


def points_in(left, top, side):
    """The template in a square, whose edges are half a pixel beyond the centres of its first and last pixels."""
    return (TEMPLATE + 0.5) * side / SIZE - 0.5 + (left, top)


class Squares:
    """A Detector of such faces of 8 to 400 pixels. Its score is the share of the box that is as it should be."""

    sure = 0.5

    def __init__(self, least=8, most=400):
        self.least, self.most, self.asked = least, most, []

    @property
    def description(self):
        return {"detector": "squares"}

    def detect(self, image):
        self.asked.append(image.shape[:2])
        white = (image.min(2) > 220).astype(np.uint8)
        count, _, boxes, _ = cv2.connectedComponentsWithStats(white, connectivity=4)
        found = []
        for left, top, width, height, _ in boxes[1:count].tolist():
            below = image[top + height : top + 2 * height, left : left + width].astype(int)
            known = self.least <= width <= self.most and 1.8 < width / height < 2.2 and len(below) >= 0.8 * height
            if known and np.median(np.abs(below - GREY)) < 20:
                found.append(Face(np.array([left, top, width, width], float), 0.9, points_in(left, top, width)))
        return found
