"""An embedder from an ONNX file: any recogniser, whoever trained it, beside a small JSON file that states its preprocessing."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from limen.errors import LimenError
from limen.files import file_sha256
from limen.models.model import BATCH
from limen.models.onnx.session import Session
from limen.models.onnx.sidecar import add_calibration, read_sidecar, sidecar_of
from limen.quality import Calibration
from limen.recogniser import Embeddings, check_images, embeddings_of


class OnnxEmbedder:
    """What limen.Embedder is, for an ONNX file with one input, (B, 3, size, size) float32, and one output, (B, D) float32.

    B may be fixed: the last batch is then filled up. The model is tried out when it is loaded. `threads` are ONNX Runtime's own; None is
    one for each core. Raises LimenError for an unusable model, sidecar or device, and where onnxruntime is not installed.
    """

    has_quality, margin = False, None

    def __init__(self, path: str | Path, device: Any = "cpu", threads: int | None = None, precision: str = "float32"):
        if precision != "float32":
            raise LimenError(f"precision {precision}: {path} computes as it was exported; leave --precision, or export it anew")
        self.path, self.device = Path(path), str(device)
        self._session, sidecar = Session(self.path, self.device, threads), sidecar_of(self.path)
        self.preprocessing, self.licence, self.calibration = read_sidecar(sidecar)
        self.embedding_size = self._session.try_out(self.preprocessing.size)
        self._model_sha256, self._sidecar_sha256 = file_sha256(self.path), file_sha256(sidecar)

    def __repr__(self) -> str:
        return f"OnnxEmbedder({self.path}, {self.embedding_size}, {self.device})"

    @property
    def description(self) -> dict[str, Any]:
        """The switches of the embeddings, to be printed beside every number made from them."""
        return {
            "model_sha256": self._model_sha256,
            "sidecar_sha256": self._sidecar_sha256,
            **({"external_data_sha256": self._session.external} if self._session.external else {}),
            "architecture": {"name": "onnx", "embedding_size": self.embedding_size},
            "preprocessing": asdict(self.preprocessing),
            "licence": self.licence,
        }

    @property
    def identity(self) -> dict[str, Any]:
        return {name: value for name, value in self.description.items() if name not in ("sidecar_sha256", "licence")}

    @property
    def facts(self) -> dict[str, Any]:
        facts = self.description
        return {"sha256": facts.pop("model_sha256"), **facts, "calibration": self.calibration.summary if self.calibration else None}

    def calibration_file(self, out: str | Path | None = None) -> Path:
        if out is not None:
            raise LimenError(f"--out {out}: what is found of an ONNX file is kept in its sidecar, {sidecar_of(self.path)}; leave --out")
        return sidecar_of(self.path)

    def save_calibration(self, calibration: Calibration, out: str | Path | None = None) -> Path:
        path = self.calibration_file(out)
        add_calibration(path, calibration)
        self.calibration, self._sidecar_sha256 = calibration, file_sha256(path)
        return path

    def embed(self, images: np.ndarray, flip: bool | None = None, batch_size: int = BATCH) -> Embeddings:
        """Equals limen.Embedder.embed: (N, size, size, 3) uint8 RGB, not OpenCV's BGR -> embeddings; `flip=None` is the sidecar's rule.

        `batch_size` is for models of any batch size. `quality` is None.
        """
        check_images(images, self.preprocessing.size)
        flip = self.preprocessing.flip if flip is None else flip
        step = self._session.fixed_batch or batch_size
        feature = np.zeros((len(images), self.embedding_size), np.float32)
        for start in range(0, len(images), step):
            inputs = self._inputs(images[start : start + step])
            found = self._session.run(inputs)
            feature[start : start + step] = found + self._session.run(inputs[..., ::-1]) if flip else found
        return embeddings_of(feature, flip)

    def _inputs(self, images: np.ndarray) -> np.ndarray:
        """(B, 3, size, size) float32, as the network wants it."""
        preprocessing = self.preprocessing
        channels = images if preprocessing.colour == "RGB" else images[..., ::-1]
        mean, std = np.array(preprocessing.mean, np.float32), np.array(preprocessing.std, np.float32)
        return ((channels / np.float32(255) - mean) / std).transpose(0, 3, 1, 2)
