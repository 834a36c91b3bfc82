"""A bundle's network as one graph with limen's outputs, in an ONNX file."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import nn

from limen.errors import LimenError
from limen.models.bundle import Bundle
from limen.models.graphs.graph import METADATA, first_line

OUTPUTS = ("embedding", "norm", "quality")
SHORTEST = 1e-12  # a feature of length zero gives a vector of zeros, which every embedder refuses as one without direction


class ExportedNetwork(nn.Module):
    """image -> embedding (B, D) of unit length, norm (B,) of the raw feature and, where the bundle has a quality head, quality (B,).

    The image is (B, 3, size, size) float32 as the network wants it, or with `takes_pixels` (B, size, size, 3) uint8 RGB.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, bundle: Bundle, takes_pixels: bool):
        super().__init__()
        self.backbone, self.quality_head, self.takes_pixels = bundle.backbone(), bundle.quality_head(), takes_pixels
        self.preprocessing = bundle.preprocessing
        self.register_buffer("mean", torch.tensor(self.preprocessing.mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(self.preprocessing.std).view(1, 3, 1, 1))

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, ...]:
        if self.takes_pixels:
            pixels = image.permute(0, 3, 1, 2).float()
            channels = pixels[:, [2, 1, 0]] if self.preprocessing.colour == "BGR" else pixels
            image = (channels / 255 - self.mean) / self.std
        feature = self.backbone(image)
        norm = torch.linalg.vector_norm(feature, dim=1)
        embedding = feature / norm.clamp_min(SHORTEST)[:, None]
        return (embedding, norm) if self.quality_head is None else (embedding, norm, self.quality_head(feature))

    def example(self) -> torch.Tensor:
        size = self.preprocessing.size
        if self.takes_pixels:
            return torch.zeros(2, size, size, 3, dtype=torch.uint8)
        return torch.zeros(2, 3, size, size)


def write_onnx(bundle: Bundle, path: Path, takes_pixels: bool) -> None:
    """Raises LimenError where the exporter is not installed, or cannot write one of the network's operations."""
    try:
        import onnx  # noqa: F401  (PyTorch asks for both only when much is done)
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise LimenError(f"an export needs onnx and onnxscript ({error}); pip install 'limen[export]'") from error
    network = ExportedNetwork(bundle, takes_pixels).eval()
    names = OUTPUTS if network.quality_head is not None else OUTPUTS[:2]
    try:
        with _quiet():
            torch.onnx.export(
                network,
                (network.example(),),
                path,
                input_names=["image"],
                output_names=list(names),
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                external_data=False,
                verbose=False,
            )
    except OSError:
        raise
    except Exception as error:  # the exporter's exceptions have no base class in common
        architecture = bundle.architecture.name
        raise LimenError(f"{architecture}: PyTorch's ONNX exporter cannot write this network ({first_line(error)}); change it") from error


def write_metadata(path: Path, text: str) -> None:
    """Keeps the text of the sidecar in an ONNX file itself."""
    import onnx

    model = onnx.load(path)
    onnx.helper.set_model_props(model, {METADATA: text})
    onnx.save(model, path)


@contextmanager
def _quiet() -> Iterator[None]:
    """The exporter's notes, of missing packages that limen does not use for one, are not the user's."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)
