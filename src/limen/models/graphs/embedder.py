"""An embedder from a graph: any recogniser, whoever trained it, beside a small JSON file that states its preprocessing."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from limen.devices import usable_threads
from limen.errors import LimenError
from limen.files import file_sha256
from limen.models.graphs.graph import Graph
from limen.models.graphs.network import Network
from limen.models.graphs.onnxruntime import open_onnx
from limen.models.graphs.openvino import open_openvino
from limen.models.graphs.sidecar import read_sidecar, sidecar_of, write_sidecar
from limen.models.model import default_batch, graph_format
from limen.models.operating_point import OperatingPoint, with_points
from limen.models.preprocessing import Preprocessing
from limen.quality import Calibration
from limen.recogniser import Embeddings, check_images, embeddings_of

RUNTIMES: dict[str, Callable[[Path, str, int | None, str], Graph]] = {"onnxruntime": open_onnx, "openvino": open_openvino}
BACKENDS = {"onnx": ("onnxruntime", "openvino"), "openvino": ("openvino",)}  # who runs a format, the usual one first


class GraphEmbedder:
    """What limen.Embedder is, for an ONNX file or one of OpenVINO's: see `Network` for what its graph has to be.

    The number of images of a batch may be fixed: the last batch is then filled up. The model is tried out when it is loaded. `threads` are
    the runtime's own; None is one for each core. `precision` "bf16" is for OpenVINO.
    Raises LimenError for an unusable model, sidecar, device or backend, and where the runtime is not installed.
    """

    def __init__(
        self, path: str | Path, device: Any = "cpu", threads: int | None = None, precision: str = "float32", backend: str | None = None
    ):
        self.path, self.device = Path(path), str(device)
        self.format = graph_format(path) or "onnx"
        backends = BACKENDS[self.format]
        if backend not in (None, *backends):
            raise LimenError(f"backend {backend}: {path} is not for it; choose from {', '.join(backends)}")
        threads = usable_threads(threads)
        check_runtime(backend or backends[0], precision)
        self._sidecar_path = sidecar_of(self.path)
        graph = self._open(RUNTIMES[backend or backends[0]], threads, precision)
        self._network = Network(self.path, graph, self._sidecar)
        self._model_sha256, self._sidecar_sha256 = file_sha256(self.path), self._hash_of_sidecar()

    def __repr__(self) -> str:
        return f"GraphEmbedder({self.path}, {self.embedding_size}, {self.runtime}, {self.device})"

    def _open(self, runtime: Callable[..., Graph], threads: int | None, precision: str) -> Graph:
        """The graph, at the precision asked for, or where none was, at that it was exported for; reads the sidecar besides."""
        graph = runtime(self.path, self.device, threads, precision)
        self._sidecar = read_sidecar(self._sidecar_path, graph.metadata)
        exported = self._sidecar.exported
        if precision == "float32" and exported is not None and exported.precision == "bf16":
            return runtime(self.path, self.device, threads, "bf16")
        return graph

    def _hash_of_sidecar(self) -> str | None:
        return file_sha256(self._sidecar_path) if self._sidecar_path.exists() else None

    @property
    def preprocessing(self) -> Preprocessing:
        return self._sidecar.preprocessing

    @property
    def licence(self) -> str:
        return self._sidecar.licence

    @property
    def calibration(self) -> Calibration | None:
        return self._sidecar.calibration

    @property
    def operating_points(self) -> tuple[OperatingPoint, ...]:
        return self._sidecar.operating_points

    @property
    def has_quality(self) -> bool:
        return self._network.has_quality

    @property
    def margin(self) -> str | None:
        return self._sidecar.exported.margin if self._sidecar.exported else None

    @property
    def runtime(self) -> str:
        """The library that computes, and its version."""
        return self._network.graph.runtime

    @property
    def precision(self) -> str:
        """What is computed in: "int8" where the file is of eight bits, what the runtime computes the rest in if not in float32."""
        exported, rest = self._sidecar.exported, self._network.graph.precision
        eight = exported is not None and exported.precision == "int8"
        return rest if not eight else "int8" if rest == "float32" else f"int8 and {rest}"

    @property
    def embedding_size(self) -> int:
        return self._network.embedding_size

    @property
    def description(self) -> dict[str, Any]:
        """The switches of the embeddings, to be printed beside every number made from them."""
        graph, exported = self._network.graph, self._sidecar.exported
        return {
            "model_sha256": self._model_sha256,
            **({"sidecar_sha256": self._sidecar_sha256} if self._sidecar_sha256 else {}),
            **({"external_data_sha256": graph.external} if graph.external else {}),
            "architecture": {"name": self.format, "embedding_size": self.embedding_size},
            "backend": self.runtime,
            **({} if self.precision == "float32" else {"precision": self.precision}),
            **({"exported": asdict(exported)} if exported else {}),
            "preprocessing": asdict(self.preprocessing),
            "licence": self.licence,
        }

    @property
    def identity(self) -> dict[str, Any]:
        return {name: value for name, value in self.description.items() if name not in ("sidecar_sha256", "backend", "licence")}

    @property
    def facts(self) -> dict[str, Any]:
        facts = self.description
        facts |= {"quality_head": self.has_quality} if self._sidecar.exported else {}
        facts |= {"calibration": self.calibration.summary if self.calibration else None}
        return {"sha256": facts.pop("model_sha256"), **facts, "operating_points": [point.summary for point in self.operating_points]}

    def calibration_file(self, out: str | Path | None = None) -> Path:
        if out is not None:
            raise LimenError(f"--out {out}: what is found of {self.path} is kept in its sidecar, {self._sidecar_path}; leave --out")
        return self._sidecar_path

    def save_calibration(
        self, calibration: Calibration | None = None, out: str | Path | None = None, points: Sequence[OperatingPoint] = ()
    ) -> Path:
        path, earlier = self.calibration_file(out), self._sidecar
        calibrated = replace(
            earlier, calibration=calibration or earlier.calibration, operating_points=with_points(earlier.operating_points, points)
        )
        write_sidecar(path, calibrated)
        self._sidecar, self._sidecar_sha256 = calibrated, self._hash_of_sidecar()
        return path

    def embed(self, images: np.ndarray, flip: bool | None = None, batch_size: int | None = None) -> Embeddings:
        """Equals limen.Embedder.embed: (N, size, size, 3) uint8 RGB, not OpenCV's BGR -> embeddings; `flip=None` is the sidecar's rule.

        `batch_size` is for models of any batch size. `quality` is None where the graph gives none.
        """
        check_images(images, self.preprocessing.size)
        flip = self.preprocessing.flip if flip is None else flip
        step = self._network.fixed_batch or (default_batch(self.device) if batch_size is None else batch_size)
        feature, quality = np.zeros((len(images), self.embedding_size), np.float32), np.zeros(len(images), np.float32)
        for start in range(0, len(images), step):
            block, rows = images[start : start + step], slice(start, start + step)
            for view in (block, block[:, :, ::-1]) if flip else (block,):
                features, qualities = self._network.run(self._inputs(view))
                feature[rows] += features
                if qualities is not None:
                    quality[rows] += qualities / 2 if flip else qualities
        return embeddings_of(feature, flip, quality if self.has_quality else None)

    def _inputs(self, images: np.ndarray) -> np.ndarray:
        """What the network takes: the pixels, or (B, 3, size, size) float32 of them."""
        if self._network.takes_pixels:
            return images
        preprocessing = self.preprocessing
        channels = images if preprocessing.colour == "RGB" else images[..., ::-1]
        mean, std = np.array(preprocessing.mean, np.float32), np.array(preprocessing.std, np.float32)
        return ((channels / np.float32(255) - mean) / std).transpose(0, 3, 1, 2)


def check_runtime(backend: str, precision: str) -> None:
    """Raises LimenError where the runtime does not have the precision."""
    if precision not in ("float32", "bf16"):
        raise LimenError(f"precision: {precision!r} is not known; choose from float32, bf16")
    if backend == "onnxruntime" and precision != "float32":
        raise LimenError(
            f"precision {precision}: ONNX Runtime computes as the file was exported; leave --precision, or add --backend openvino"
        )
