"""limen: train face recognisers with adaptive margins, and referee them.

These are the public names; each is imported when first asked for, so that `limen --help` does not wait for PyTorch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from limen import data, heads, margins, metrics, quality
    from limen.backbones import create_backbone
    from limen.errors import LimenError
    from limen.heads import HeadOutput, MarginHead
    from limen.inference.measures import create_measure
    from limen.models.embedder import Embedder
    from limen.models.export import export_onnx
    from limen.protocols import Result, evaluate
    from limen.recogniser import Embeddings
    from limen.training import train

__version__ = "0.1.0"

_ROOMS = ("data", "heads", "margins", "metrics", "quality")
_HOME = {
    "Embedder": "models.embedder",
    "Embeddings": "recogniser",
    "HeadOutput": "heads",
    "LimenError": "errors",
    "MarginHead": "heads",
    "Result": "protocols",
    "create_backbone": "backbones",
    "create_measure": "inference.measures",
    "evaluate": "protocols",
    "export_onnx": "models.export",
    "import_release": "models.releases",
    "train": "training",
}

__all__ = [
    "Embedder",
    "Embeddings",
    "HeadOutput",
    "LimenError",
    "MarginHead",
    "Result",
    "create_backbone",
    "create_measure",
    "data",
    "evaluate",
    "export_onnx",
    "heads",
    "import_release",
    "margins",
    "metrics",
    "quality",
    "train",
]


def __getattr__(name: str) -> Any:
    if name in _ROOMS:
        return import_module(f"limen.{name}")
    if name in _HOME:
        return getattr(import_module(f"limen.{_HOME[name]}"), name)
    raise AttributeError(f"module 'limen' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
