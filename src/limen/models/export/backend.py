"""A bundle whose network another runtime computes."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from limen.models.bundle import Bundle
from limen.models.embedder import Embedder
from limen.models.export import write_model
from limen.models.export.gate import TOLERANCE, check_parity, made_images
from limen.models.graphs.embedder import GraphEmbedder, check_runtime
from limen.models.model import BATCH
from limen.recogniser import Embeddings


class BackendEmbedder(Embedder):
    """Equals `Embedder(bundle)`, but ONNX Runtime or OpenVINO runs the network: exported to a temporary file and proved equal first.

    `precision` "bf16" is for OpenVINO. Raises LimenError where the runtime or the exporter is not installed, and where the two differ.
    """

    def __init__(self, bundle: Bundle, backend: str, device: str, threads: int | None, precision: str, path: Path | None):
        super().__init__(bundle, "cpu", None, precision, path)
        check_runtime(backend, precision)
        with tempfile.TemporaryDirectory(prefix="limen-") as folder:
            file = Path(folder) / "model.onnx"
            write_model(self, file, "onnx")
            self._graph = GraphEmbedder(file, device, threads, precision, backend)
        check_parity(Embedder(bundle), self._graph, made_images(self.preprocessing.size), TOLERANCE[precision])
        self.device, self.precision = torch.device(device), self._graph.precision
        del self.backbone  # the runtime has the weights

    @property
    def description(self) -> dict[str, Any]:
        return super().description | {"backend": self._graph.runtime}

    @property
    def identity(self) -> dict[str, Any]:
        return {name: value for name, value in super().identity.items() if name != "backend"}

    def embed(self, images: np.ndarray, flip: bool | None = None, batch_size: int = BATCH) -> Embeddings:
        return self._graph.embed(images, self.preprocessing.flip if flip is None else flip, batch_size)
