"""A face detector of one's own: the ONNX files of SCRFD (Guo et al. 2021, arXiv 2105.04714) with five landmarks and an input of any size.
It needs onnxruntime (pip install 'limen[export]'). Tested on a made-up network of this form; no published file was at hand.

PYTHONPATH=docs/extend limen data align photos/ --out faces/ --detector own_detector:Scrfd:scrfd.onnx
PYTHONPATH=docs/extend limen embed model.safetensors photos/ --out faces.npz --detector own_detector:Scrfd:scrfd.onnx
"""

import cv2
import numpy as np
import onnxruntime

from limen.align import Face
from limen.files import file_sha256

STRIDES, ANCHORS, OVERLAP = (8, 16, 32), 2, 0.4


class Scrfd:
    """At every cell of three maps, two anchors say a score, the distances of a box's four sides, and five points, in strides."""

    sure = 0.0  # not known: a photo is shown turned where no face is found, and only there

    def __init__(self, path: str, min_score: float = 0.5):
        self.session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        self.min_score = min_score
        self.description = {"detector": f"scrfd {file_sha256(path)[:16]}", "min_score": f"{min_score:g}"}

    def detect(self, image: np.ndarray) -> list[Face]:
        height, width = image.shape[:2]
        padded = np.pad(image, ((0, -height % STRIDES[-1]), (0, -width % STRIDES[-1]), (0, 0)))
        pixels = (padded.astype(np.float32) - 127.5) / 128
        outputs = self.session.run(None, {self.session.get_inputs()[0].name: pixels.transpose(2, 0, 1)[None]})
        outputs = [output.reshape(-1, output.shape[-1]) for output in outputs]
        found = []  # rows of score, left, top, width, height, x1, y1, ..., x5, y5
        for stride in STRIDES:
            rows, columns = padded.shape[0] // stride, padded.shape[1] // stride
            score, sides, points = (
                next(output for output in outputs if output.shape == (rows * columns * ANCHORS, size)) for size in (1, 4, 10)
            )
            cells = np.stack(np.meshgrid(np.arange(columns), np.arange(rows)), -1).reshape(-1, 2).repeat(ANCHORS, 0) * stride
            corner, extent = cells - sides[:, :2] * stride, (sides[:, :2] + sides[:, 2:]) * stride
            found.append(np.hstack([score, corner, extent, np.tile(cells, 5) + points * stride])[score[:, 0] >= self.min_score])
        faces = np.concatenate(found).astype(float)
        kept = cv2.dnn.NMSBoxes(faces[:, 1:5].tolist(), faces[:, 0].tolist(), self.min_score, OVERLAP)
        return [Face(face[1:5], float(face[0]), face[5:].reshape(5, 2)) for face in faces[np.array(kept, int)]]
