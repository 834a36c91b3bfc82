"""From a bundle and aligned images to embeddings: nobody types RGB or BGR, mean or flip at inference."""

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from limen.devices import WithoutTF32, computing_on, usable_device, usable_threads
from limen.errors import LimenError
from limen.models.bundle import Bundle, save_bundle
from limen.models.model import Model, default_batch, graph_format, open_model
from limen.models.operating_point import OperatingPoint, with_points
from limen.models.preprocessing import Preprocessing
from limen.quality import Calibration
from limen.recogniser import Embeddings, check_images, embeddings_of

PRECISIONS = ("float32", "bf16")


class Embedder:
    """A bundle ready for inference on `device`, in eval mode: an embedding does not depend on its batch, rounding apart.

    `threads` is PyTorch's number of CPU threads while `embed` runs; None leaves it. It is one for the whole process, so two threads of a
    program that embed at once should not ask for two numbers. `precision` "bf16" runs the network in bfloat16 where PyTorch can, which
    moves a cosine by about 0.01; everything after the network is float32 either way.

    >>> import limen
    >>> from limen.data import SyntheticFaces
    >>> from limen.models.bundle import Architecture, Bundle
    >>> tensors = {f"backbone.{name}": value for name, value in limen.create_backbone("tiny", 32).state_dict().items()}
    >>> embedder = limen.Embedder(Bundle(Architecture("tiny", 32, {}), tensors))  # or Embedder.load("model.safetensors")
    >>> found = embedder.embed(SyntheticFaces(1, 1).image(0)[None])
    >>> found.vectors.shape, found.norms.shape
    ((1, 32), (1,))
    """

    def __init__(
        self,
        bundle: Bundle,
        device: str | torch.device = "cpu",
        threads: int | None = None,
        precision: str = "float32",
        path: Path | None = None,
    ):
        if precision not in PRECISIONS:
            raise LimenError(f"precision: {precision!r} is not known; choose from {', '.join(PRECISIONS)}")
        self.bundle, self.path, self.precision = bundle, path, precision
        self.device = usable_device(device)
        self.threads = usable_threads(threads)
        self.backbone = bundle.backbone().to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.quality_head = bundle.quality_head()
        self._mean = torch.tensor(self.preprocessing.mean, device=self.device).view(1, 3, 1, 1)
        self._std = torch.tensor(self.preprocessing.std, device=self.device).view(1, 3, 1, 1)

    def __repr__(self) -> str:
        return f"Embedder({self.bundle.architecture.name}, {self.bundle.architecture.embedding_size}, {self.path}, {self.device})"

    @staticmethod
    def load(
        path: str | Path,
        device: str | torch.device = "cpu",
        threads: int | None = None,
        precision: str = "float32",
        backend: str | None = None,
    ) -> Model:
        """Equals `open_model`: the embedder of a bundle file, or of an .onnx or OpenVINO file beside its sidecar."""
        return open_model(path, device, threads, precision, backend)

    def save(self, path: str | Path) -> None:
        """Writes the bundle file that `load` reads; `description` names that file's SHA-256 from then on."""
        self.bundle.sha256 = save_bundle(path, self.bundle)
        self.path = Path(path)

    @property
    def preprocessing(self) -> Preprocessing:
        return self.bundle.preprocessing

    @property
    def has_quality(self) -> bool:
        return self.quality_head is not None

    @property
    def margin(self) -> str | None:
        return self.bundle.margin

    @property
    def calibration(self) -> Calibration | None:
        return self.bundle.calibration

    @property
    def operating_points(self) -> tuple[OperatingPoint, ...]:
        return self.bundle.operating_points

    def calibration_file(self, out: str | Path | None = None) -> Path:
        if out is None and self.path is None:
            raise LimenError("this model has no file of its own; name one to keep its calibration in (--out FILE)")
        path = Path(out or self.path or "")
        if graph_format(path):
            raise LimenError(f"--out {path}: a bundle under that name would be taken for an ONNX or OpenVINO file; choose another")
        return path

    def save_calibration(
        self, calibration: Calibration | None = None, out: str | Path | None = None, points: Sequence[OperatingPoint] = ()
    ) -> Path:
        path, earlier = self.calibration_file(out), self.bundle
        calibrated = replace(
            earlier, calibration=calibration or earlier.calibration, operating_points=with_points(earlier.operating_points, points)
        )
        calibrated.sha256 = save_bundle(path, calibrated)
        self.bundle, self.path = calibrated, path
        return path

    @property
    def description(self) -> dict[str, Any]:
        """The switches of the embeddings, to be printed beside every number made from them."""
        return {
            "model_sha256": self.bundle.sha256,
            "architecture": asdict(self.bundle.architecture),
            "preprocessing": asdict(self.preprocessing),
            **({} if self.precision == "float32" else {"precision": self.precision}),
            **({"collapsed": True} if self.bundle.training.get("collapsed") else {}),  # in training: its numbers say nothing of its recipe
        }

    @property
    def identity(self) -> dict[str, Any]:
        return self.description | {"model_sha256": self.bundle.weights_sha256}  # of the weights alone: a calibration changes the file

    @property
    def facts(self) -> dict[str, Any]:
        return self.bundle.facts

    def embed(self, images: np.ndarray, flip: bool | None = None, batch_size: int | None = None) -> Embeddings:
        """Embeds aligned images, (N, size, size, 3) uint8 RGB: those of OpenCV are BGR, so hand in `image[..., ::-1]`.

        They are RGB whatever colour order the network was trained with.

        The feature is `f(image)`, or with `flip` `f(image) + f(mirror)`, where f is the backbone's raw output; its direction is the vector.
        The quality is the quality head's of `f(image)`, or with `flip` of the mean of the two; as the head is linear, that is the mean of
        its two scores, and an image and its mirror have one score. `flip=None` is the bundle's rule.
        Raises LimenError for images of another kind, and NoDirection where a feature has none.
        """
        check_images(images, self.preprocessing.size)
        flip = self.preprocessing.flip if flip is None else flip
        step = default_batch(self.device) if batch_size is None else batch_size
        with computing_on(self.threads):
            features = [self._features(images[start : start + step], flip) for start in range(0, len(images), step)]
        feature = torch.cat(features).numpy() if features else np.zeros((0, self.bundle.architecture.embedding_size), np.float32)
        return embeddings_of(feature, flip, self._quality(feature / 2 if flip else feature))

    def _quality(self, feature: np.ndarray) -> np.ndarray | None:
        """(N,) float32 score of each feature; summed in float64, so that the row of a batch makes no difference here."""
        if self.quality_head is None:
            return None
        weight, bias = (parameter.detach().double().numpy() for parameter in self.quality_head.parameters())
        return ((feature * weight).sum(1) + bias).astype(np.float32)

    def inputs(self, images: np.ndarray) -> torch.Tensor:
        """(B, 3, size, size) float32, as the network wants it."""
        # (B, size, size, 3) seen as (B, 3, size, size) is channels_last without moving a byte
        pixels = torch.from_numpy(images.copy()).to(self.device).permute(0, 3, 1, 2).float()
        if self.preprocessing.colour == "BGR":
            pixels = pixels.flip(1)
        return (pixels / 255 - self._mean) / self._std

    @torch.inference_mode()
    def _features(self, images: np.ndarray, flip: bool) -> torch.Tensor:
        inputs = self.inputs(images)
        autocast = torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16")
        with autocast, WithoutTF32() if self.device.type == "cuda" else nullcontext():
            features = self.backbone(inputs).float()
            if flip:
                features = features + self.backbone(inputs.flip(3)).float()
        return features.cpu()
