"""A bundle whose network another runtime computes."""

import hashlib
import json
import os
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from limen.errors import LimenError
from limen.files import REFUSALS, explain
from limen.models.bundle import Bundle, source_sha256
from limen.models.embedder import Embedder
from limen.models.export import write_model
from limen.models.export.gate import TOLERANCE, check_parity, made_images
from limen.models.graphs.embedder import GraphEmbedder, check_runtime
from limen.recogniser import Embeddings


class BackendEmbedder(Embedder):
    """Equals `Embedder(bundle)`, but ONNX Runtime or OpenVINO runs the network: exported to a temporary file and proved equal first.

    `precision` "bf16" is for OpenVINO. `cache` is a folder that keeps the file for the next time, which then is proved anew, but not
    written; one that is damaged is written again. Raises LimenError where the runtime or the exporter is not installed, and where the two
    differ.
    """

    def __init__(
        self,
        bundle: Bundle,
        backend: str,
        device: str,
        threads: int | None,
        precision: str,
        path: Path | None,
        cache: str | Path | None = None,
    ):
        super().__init__(bundle, "cpu", None, precision, path)
        check_runtime(backend, precision)
        with tempfile.TemporaryDirectory(prefix="limen-") as folder:
            file = self._cached(Path(folder) if cache is None else Path(cache) / "graphs")
            kept = file.exists()
            try:
                self._graph = self._proved(file, device, threads, backend)
            except LimenError:
                if not kept:
                    raise
                file.unlink(missing_ok=True)
                self._graph = self._proved(file, device, threads, backend)
        self.device, self.precision = torch.device(device), self._graph.precision
        del self.backbone  # the runtime has the weights

    def _proved(self, file: Path, device: str, threads: int | None, backend: str) -> GraphEmbedder:
        """The network in `file`, which is written where it is not there."""
        if not file.exists():
            self._write(file)
        graph = GraphEmbedder(file, device, threads, self.precision, backend)
        check_parity(Embedder(self.bundle), graph, made_images(self.preprocessing.size), TOLERANCE[self.precision])
        return graph

    def _cached(self, folder: Path) -> Path:
        """The place of the ONNX file of this bundle. Its name is a hash of all that decides its content."""
        decides = [
            self.bundle.weights_sha256,
            asdict(self.preprocessing),
            asdict(self.bundle.architecture),
            source_sha256(),
            torch.__version__,
        ]
        name = hashlib.sha256(json.dumps(decides, sort_keys=True).encode()).hexdigest()[:32]
        return folder / f"{name}.onnx"

    def _write(self, file: Path) -> None:
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".", dir=file.parent) as draft:
                write_model(self, Path(draft) / file.name, "onnx")
                os.replace(Path(draft) / file.name, file)  # the sidecar's text is inside
        except REFUSALS as error:
            raise LimenError(f"{file.parent}: {explain(error)}") from error

    @property
    def description(self) -> dict[str, Any]:
        return super().description | {"backend": self._graph.runtime}

    @property
    def identity(self) -> dict[str, Any]:
        return {name: value for name, value in super().identity.items() if name != "backend"}

    def embed(self, images: np.ndarray, flip: bool | None = None, batch_size: int | None = None) -> Embeddings:
        return self._graph.embed(images, self.preprocessing.flip if flip is None else flip, batch_size)
