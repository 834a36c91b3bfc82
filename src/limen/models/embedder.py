"""From a bundle and aligned images to embeddings: nobody types RGB or BGR, mean or flip at inference."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from limen.errors import LimenError
from limen.models.bundle import Bundle, load_bundle, save_bundle
from limen.models.embeddings import Embeddings, check_images, embeddings_of
from limen.models.onnx_embedder import OnnxEmbedder
from limen.quality import Calibration


class Embedder:
    """A bundle ready for inference on `device`: in eval mode, in float32: an embedding does not depend on its batch, rounding apart.

    `threads` sets PyTorch's number of CPU threads, which is one for the whole process; None leaves it.
    """

    def __init__(self, bundle: Bundle, device: str | torch.device = "cpu", threads: int | None = None):
        self.bundle = bundle
        self.device = usable_device(device)
        if threads is not None:
            if threads < 1:
                raise LimenError(f"threads: {threads} is not a whole number above 0")
            torch.set_num_threads(threads)
        self.backbone = bundle.backbone().to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.quality_head = bundle.quality_head()
        preprocessing = bundle.preprocessing
        self._mean = torch.tensor(preprocessing.mean, device=self.device).view(1, 3, 1, 1)
        self._std = torch.tensor(preprocessing.std, device=self.device).view(1, 3, 1, 1)

    @classmethod
    def load(cls, path: str | Path, device: str | torch.device = "cpu", threads: int | None = None) -> "Embedder | OnnxEmbedder":
        """The embedder of a bundle file, or of an .onnx file beside its sidecar. Raises LimenError for an unusable file or device."""
        if Path(path).suffix.lower() == ".onnx":
            return OnnxEmbedder(path, device, threads)
        return cls(load_bundle(path), device, threads)

    def save(self, path: str | Path) -> None:
        """Writes the bundle file that `load` reads; `description` names that file's SHA-256 from then on."""
        self.bundle.sha256 = save_bundle(path, self.bundle)

    @property
    def calibration(self) -> Calibration | None:
        """What `limen calibrate` found of a quality of this model's images."""
        return self.bundle.calibration

    @property
    def description(self) -> dict[str, Any]:
        """The switches of the embeddings, to be printed beside every number made from them."""
        return {
            "model_sha256": self.bundle.sha256,
            "architecture": asdict(self.bundle.architecture),
            "preprocessing": asdict(self.bundle.preprocessing),
        }

    def embed(self, images: np.ndarray, flip: bool | None = None, batch_size: int = 64) -> Embeddings:
        """Embeds aligned images, (N, size, size, 3) uint8 RGB, whatever colour order the network was trained with.

        The feature is `f(image)`, or with `flip` `f(image) + f(mirror)`, where f is the backbone's raw output; its direction is the vector.
        The quality is the quality head's of `f(image)`, or with `flip` of the mean of the two; as the head is linear, that is the mean of
        its two scores, and an image and its mirror have one score. `flip=None` is the bundle's rule.
        Raises LimenError for images of another kind, and where a feature has no direction.
        """
        check_images(images, self.bundle.preprocessing.size)
        flip = self.bundle.preprocessing.flip if flip is None else flip
        features = [self._features(images[start : start + batch_size], flip) for start in range(0, len(images), batch_size)]
        feature = torch.cat(features).numpy() if features else np.zeros((0, self.bundle.architecture.embedding_size), np.float32)
        return embeddings_of(feature, flip, self._quality(feature / 2 if flip else feature))

    def _quality(self, feature: np.ndarray) -> np.ndarray | None:
        """(N,) float32 score of each feature; summed in float64, so that the row of a batch makes no difference here."""
        if self.quality_head is None:
            return None
        weight, bias = (parameter.detach().double().numpy() for parameter in self.quality_head.parameters())
        return ((feature * weight).sum(1) + bias).astype(np.float32)

    @torch.inference_mode()
    def _features(self, images: np.ndarray, flip: bool) -> torch.Tensor:
        # (B, size, size, 3) seen as (B, 3, size, size) is channels_last without moving a byte
        pixels = torch.from_numpy(images.copy()).to(self.device).permute(0, 3, 1, 2).float()
        if self.bundle.preprocessing.colour == "BGR":
            pixels = pixels.flip(1)
        inputs = (pixels / 255 - self._mean) / self._std
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):  # TF32 is PyTorch's default for convolutions
            features = self.backbone(inputs)
            if flip:
                features = features + self.backbone(inputs.flip(3))
        return features.cpu()


def usable_device(device: str | torch.device) -> torch.device:
    """The device, tried out. Raises LimenError where it is not to be had."""
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:  # AssertionError: a build of PyTorch without that device's support
        raise LimenError(f"device {str(device)!r} cannot be used here ({str(error).splitlines()[0]}); try cpu") from error
    return torch.device(device)
