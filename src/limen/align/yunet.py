"""YuNet (Wu, Peng, Yu 2023) through OpenCV's FaceDetectorYN."""

import threading

import cv2
import numpy as np

from limen.align.faces import Face
from limen.errors import LimenError

MIN_SCORE, OVERLAP, MOST = 0.6, 0.3, 5000
LEAST = 64  # pixels of a side: of smaller ones OpenCV 4.14 reads memory that nobody wrote, and finds faces of infinite size


class YuNet:
    """A Detector. OpenCV's own holds state, so each thread has one.

    Args:
        model: the bytes of the ONNX file.
        min_score: faces below it are left out.
        name: of the model in its description.
        where: what to call the file in messages.

    Raises:
        LimenError: the model is of another network.
    """

    sure = 0.9  # on LFW's photos .5 % of the upright faces and most of those that lie on a side score less

    def __init__(self, model: bytes, min_score: float = MIN_SCORE, name: str = "yunet", where: str = "detector"):
        if not 0 < min_score < 1:
            raise LimenError(f"min_score: {min_score} is not between 0 and 1")
        self._model = np.frombuffer(model, np.uint8)
        self._min_score, self._name = min_score, name
        self._own = threading.local()
        try:
            self.detect(np.zeros((LEAST, LEAST, 3), np.uint8))
        except cv2.error as error:
            raise LimenError(f"{where}: is not a YuNet model that OpenCV {cv2.__version__} can run; give one of those") from error

    @property
    def description(self) -> dict[str, str]:
        return {"detector": self._name, "min_score": f"{self._min_score:g}"}

    def detect(self, image: np.ndarray) -> list[Face]:
        """The faces in an (H, W, 3) uint8 RGB image."""
        if not hasattr(self._own, "network"):
            size = (LEAST, LEAST)
            self._own.network = cv2.FaceDetectorYN.create("onnx", self._model, np.empty(0, np.uint8), size, self._min_score, OVERLAP, MOST)
        below, beside = (max(0, LEAST - side) for side in image.shape[:2])
        if below or beside:
            image = np.pad(image, ((0, below), (0, beside), (0, 0)))
        network, (height, width) = self._own.network, image.shape[:2]
        if network.getInputSize() != (width, height):
            network.setInputSize((width, height))
        _, rows = network.detect(cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        # A row: the box; eyes, nose and corners of the mouth, those on the image's left first; the score.
        return [Face(row[:4], float(row[14]), row[4:14].reshape(5, 2)) for row in np.asarray([] if rows is None else rows, float)]
